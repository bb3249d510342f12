"""Exported models give what the predictor gives; files that would not are not written."""

import json
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from ctapipe_gammalearn.exceptions import DeviceError, ModelFileError
from ctapipe_gammalearn.inference import Predictor, exported
from ctapipe_gammalearn.inference.exported import TOLERANCE, export_model, largest_difference
from ctapipe_gammalearn.inference.whole import WholeModel
from ctapipe_gammalearn.nn import Architecture
from ctapipe_gammalearn.nn.engines import camera_mapping
from ctapipe_gammalearn.weights import random_model, trained_model
from tests.helpers import shower_network
from tests.inference.test_likelihood import CALIBRATION, lattice  # noqa: F401

PAGE = Path(__file__).parents[2] / "docs/user_guide/export.rst"
SMALL = dict(num_layers=1, block_features=(4, 6), reduced=(1, 1), fc_width=8)


def shower_model(lattice, direction=12, cartesian=False):  # noqa: F811
    """Model with its own input stage, six rotations, all tasks and a calibration."""
    network = shower_network(lattice, 5.0, direction, (6, 6) if cartesian else None)
    with torch.no_grad():  # outputs that differ from image to image
        for head in (network.energy, network.impact, network.classifier):
            head.weight.mul_(30)
    return trained_model(network, lattice, "made-up", calibration=CALIBRATION)


@pytest.fixture(scope="module")
def models(lattice, square_camera, hexagonal_camera):  # noqa: F811
    """One model of each kind."""
    cartesian = Architecture(variant="cartesian", output_size=(5, 5), **SMALL)
    one_channel = Architecture(num_channels=1, **SMALL)
    mapping = camera_mapping(hexagonal_camera)
    return {
        "published": random_model(hexagonal_camera, "made-up", Architecture(**SMALL), seed=1),
        "square": random_model(square_camera, "made-up", Architecture(**SMALL), seed=1),
        "charge": random_model(hexagonal_camera, "made-up", one_channel, seed=1),
        "cartesian": random_model(
            hexagonal_camera, "made-up", cartesian, mapping=mapping, seed=1
        ),
        "mixture": shower_model(lattice),
        "axis": shower_model(lattice, direction=7),
        "cartesian shower": shower_model(lattice, cartesian=True),
    }  # fmt: skip


KINDS = ["published", "square", "charge", "cartesian", "mixture", "axis", "cartesian shower"]


def quick_ones(*quick):
    """All kinds of models; those that are not ``quick`` are marked as slow."""
    return [k if k in quick else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_model_is_the_predictor(models, kind):
    whole = WholeModel(models[kind])

    def run(*images):
        return [values.numpy() for values in whole(*map(torch.as_tensor, images))]

    assert largest_difference(run, models[kind], whole) < TOLERANCE


def test_a_difference_is_found(models):
    whole = WholeModel(models["mixture"])

    def run(*images):
        values = whole(*(torch.as_tensor(image) for image in images))
        return [v.numpy() * (1 if v.dtype == torch.bool else 1.001) for v in values]

    assert largest_difference(run, models["mixture"], whole) > 10 * TOLERANCE


@pytest.mark.parametrize("kind", quick_ones("published"))
def test_torch_file(models, kind, tmp_path):
    path = tmp_path / "model.pt2"
    assert export_model(path, models[kind]) < TOLERANCE
    extra = {"model_card": "", "camera": ""}
    torch.export.load(path, extra_files=extra)
    text = {k: v if isinstance(v, str) else v.decode() for k, v in extra.items()}
    assert text["camera"] == "made-up"
    assert json.loads(text["model_card"]) == json.loads(models[kind].card.to_json())
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt2"]


@pytest.mark.parametrize("kind", quick_ones("square"))
def test_onnx_file_and_the_example_of_the_documentation(models, kind, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    model = models[kind]
    assert export_model(tmp_path / "model.onnx", model) < TOLERANCE
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    if kind == "charge":  # the example has times
        return
    monkeypatch.chdir(tmp_path)
    found = re.search(r"code-block:: py\n\n((?:    .*\n|\n)+)", PAGE.read_text(encoding="utf-8"))
    names = {}
    exec(compile(textwrap.dedent(found[1]), str(PAGE), "exec"), names)
    expected = Predictor(model, device="cpu").predict(names["image"], names["peak_time"])
    np.testing.assert_allclose(names["values"]["gammaness"], expected.gammaness, rtol=1e-4)
    np.testing.assert_array_equal(names["values"]["is_valid"], expected.is_valid)
    np.testing.assert_allclose(names["pix_x"], model.lattice.pix_x, atol=1e-6)


def test_a_file_with_other_numbers_is_not_written(models, tmp_path, monkeypatch):
    old = tmp_path / "model.pt2"
    old.write_text("old")
    monkeypatch.setattr(exported, "_write_pt2", lambda path, *_: path.write_text("new"))
    monkeypatch.setattr(
        exported, "_read_pt2", lambda _: lambda *x: [np.ones(len(x[0]), bool)] + 6 * [x[0][:, 0]]
    )
    with pytest.raises(ModelFileError, match="not written: its numbers differ"):
        export_model(old, models["published"])
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt2"]
    assert old.read_text() == "old"


def test_missing_packages_are_named(models, tmp_path, monkeypatch):
    monkeypatch.setattr(exported, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r"needs onnx: pip install 'ctapipe_gammalearn\[onnx\]'"):
        export_model(tmp_path / "model.onnx", models["published"])
