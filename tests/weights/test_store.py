import hashlib
import json
import os
import shutil

import numpy as np
import pytest
import torch

from ctapipe_gammalearn.exceptions import DeviceError, ModelFileError
from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.nn import Architecture, Mapping
from ctapipe_gammalearn.weights import random_model, read_model, write_model
from ctapipe_gammalearn.weights.store import Model, network_tensors, weights_sha256
from ctapipe_gammalearn.weights.synthetic import synthetic_images

from .conftest import edit

HEX = {"num_layers": 1, "block_features": (4, 6), "reduced": (1, 2), "fc_width": 8}


def square_mapping(lattice, side=12):
    """Each pixel into the cell of an image below it."""
    scale = side / 0.5
    cell = [np.floor((v + 0.25) * scale).astype("i4") for v in (lattice.pix_x, lattice.pix_y)]
    pixel = np.arange(lattice.n_pixels, dtype="i4")
    weight = np.ones(lattice.n_pixels, "f4")
    return Mapping(pixel, cell[0] * side + cell[1], weight, (side, side), lattice.n_pixels)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": "gelu"},
        {"activation": "leaky_relu:0.01", "norm": "none"},
        {"attention": "se"},
        {"attention": "none", "reduced": ()},
        {"outputs": {"class": 3}},
        {"outputs": {"energy": 1}, "num_channels": 1},
        {"variant": "cartesian", "output_size": (3, 3)},
    ],
    ids=str,
)
def test_round_trip_gives_the_same_network(lattice, tmp_path, options):
    architecture = Architecture(**HEX | options)
    mapping = square_mapping(lattice) if architecture.variant == "cartesian" else None
    tasks = None
    if architecture.outputs.get("class") == 3:
        from ctapipe_gammalearn.weights.initialise import default_tasks

        tasks = default_tasks(["class"], (0, 101, 1))
    model = random_model(lattice, "Hex61", architecture, tasks=tasks, mapping=mapping)
    written = write_model(tmp_path / "a.safetensors", model)
    read = read_model(tmp_path / "a.safetensors")
    assert read.card == written.card
    assert read.card.architecture == architecture
    assert read.sha256 == hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()
    assert read.card.weights_sha256 == weights_sha256(network_tensors(model.network))
    assert not read.network.training
    np.testing.assert_array_equal(read.lattice.pix_x, lattice.pix_x)
    np.testing.assert_array_equal(read.lattice.neighbours, lattice.neighbours)
    images = torch.tensor(synthetic_images(lattice, 5, architecture.num_channels, 9))
    for task, output in model.network(images).items():
        torch.testing.assert_close(read.network(images)[task], output, rtol=0, atol=0)


def test_same_model_gives_the_same_bytes(model, tmp_path):
    for name in "ab":
        write_model(tmp_path / f"{name}.safetensors", model)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_square_camera(tmp_path):
    x, y = (v.ravel() * 0.006 for v in np.mgrid[:8, :8].astype(float))
    lattice = CameraLattice.from_positions(x, y, "square")
    model = random_model(lattice, "Square64", Architecture(**HEX))
    written = write_model(tmp_path / "a.safetensors", model)
    assert written.lattice.n_taps == 9


@pytest.mark.parametrize("engine", ["raster", "gather", "indexedconv"])
def test_every_engine_passes_the_self_test(model_file, engine):
    assert read_model(model_file, engine).card.status == "untrained"


def test_table_of_the_other_rotation_is_refused(edit_model, lattice):
    other = CameraLattice.from_positions(lattice.pix_x, lattice.pix_y, "hexagonal", 40.893)
    path = edit_model(tensors=lambda t: t | {"lattice.neighbours": other.neighbours})
    with pytest.raises(ModelFileError, match="not that of the pixel positions and rotation"):
        read_model(path)


def test_unknown_engine(model_file):
    with pytest.raises(DeviceError, match="warp"):
        read_model(model_file, "warp")


# ---------------------------------------------------------------- refused contents


def change(name, new):
    """Edit of one tensor."""
    return lambda tensors: tensors | {name: new(tensors[name].copy())}


def set_first(value):
    """Put a value into the first element."""

    def new(array):
        array.flat[0] = value
        return array

    return new


BIAS = "backbone.cv0.bias"
VAR = "backbone.block0_layer1.conv_block.bn2.running_var"
TABLE = "lattice.neighbours"


def permuted(table):
    """Skip the permutation: scan order taken as pixel order."""
    rank = np.argsort(table[3])
    return np.where(table >= 0, rank[table], -1).astype("i4")


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (change(BIAS, set_first(np.nan)), "non-finite"),
        (change(BIAS, set_first(np.inf)), "non-finite"),
        (change(BIAS, set_first(0.5)), "weights_sha256"),
        (change(VAR, set_first(0.0)), "not positive"),
        (change(BIAS, lambda a: a.astype("f8")), "float64"),
        (change(BIAS, lambda a: a.view("i4")), "int32"),
        (change(BIAS, lambda a: a[:-1]), "cv0"),
        (lambda t: {k: v for k, v in t.items() if k != BIAS}, BIAS),
        (lambda t: {k: v for k, v in t.items() if not k.startswith("direction")}, "outputs"),
        (lambda t: t | {"extra.weight": np.zeros(3, "f4")}, "extra.weight"),
        (lambda t: t | {"../../x": np.zeros(0, "f4")}, "x"),
        (lambda t: t | {"mapping.pixel": np.zeros(3, "i4")}, "mapping.pixel"),
        (lambda t: {k: v for k, v in t.items() if k != TABLE}, TABLE),
        (lambda t: {k: v for k, v in t.items() if k != "check.input"}, "check.input"),
        (
            lambda t: t | {"backbone.block1_layer999.conv_block.cv2.weight": np.zeros(1, "f4")},
            "999",
        ),
        (change("fusion.weight", lambda a: a[:, :-1]), "fusion"),
        (change("check.output", lambda a: a + 0.01), "reproduce"),
        (change("check.output", lambda a: a[:, :-1]), "reproduce"),
        (change("check.input", lambda a: a[:, :1]), "check.input"),
        (change(TABLE, lambda a: a[::-1]), "table"),
        (change(TABLE, permuted), "table"),
        (change(TABLE, set_first(5)), "table"),
        (change(TABLE, set_first(10**6)), "outside"),
        (change(TABLE, lambda a: a.astype("f4")), "float32"),
        (change("lattice.pixel_xy", lambda a: a[::-1]), "table"),
        (change("lattice.pixel_xy", lambda a: a[:-1]), "61"),
        (change("lattice.pixel_xy", lambda a: a * 1.001), "camera"),
        (change("lattice.pixel_xy", lambda a: a * 0), "lattice"),
    ],
)
def test_sealed_but_wrong_tensors_are_refused(edit_model, edit, text):
    path = edit_model(tensors=edit)
    with pytest.raises(ModelFileError, match=text) as error:
        read_model(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "; " in message
    assert "\n" not in message


def card_edit(**values):
    """Edit of keys "section__key" of the card text."""

    def change(text):
        card = json.loads(text)
        for name, value in values.items():
            section, _, key = name.partition("__")
            card[section][key] = value
        return json.dumps(card)

    return change


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (card_edit(camera__pix_rotation_deg=40.893), "table"),
        (card_edit(camera__pix_rotation_deg=160.893), "table"),
        (card_edit(camera__pix_rotation_deg=12.0), "axis"),
        (card_edit(camera__lattice_sha256="0"), "lattice_sha256"),
        (card_edit(camera__positions_sha256="0"), "positions_sha256"),
        (card_edit(camera__pitch_m=0.06), "pitch_m"),
        (card_edit(camera__n_pixels=1855), "1855"),
        (card_edit(camera__shape="square"), "lattice|cell|table"),
        (card_edit(architecture__fc_width=9), "fc_width"),
        (card_edit(architecture__num_layers=10**9), "num_layers"),
        (card_edit(architecture__variant="cartesian"), "output_size"),
        (card_edit(architecture__activation="gelu"), "reproduce"),
        (lambda text: text[:-1], "not JSON"),
        (lambda text: "[]", "type dict"),
    ],
)
def test_sealed_but_wrong_cards_are_refused(edit_model, edit, text):
    path = edit_model(card=edit)
    with pytest.raises(ModelFileError, match=text) as error:
        read_model(path)
    assert "\n" not in str(error.value)


def test_cartesian_sizes_are_bounded_before_anything_is_allocated(lattice, tmp_path):
    architecture = Architecture(**HEX, variant="cartesian", output_size=(3, 3))
    model = random_model(lattice, "Hex61", architecture, mapping=square_mapping(lattice))
    for i, change in enumerate(
        [
            {"card": card_edit(architecture__output_size=[10**6, 10**6])},
            {"tensors": lambda t: t | {"mapping.shape": np.array([10**5, 10**5], "i4")}},
            {"tensors": lambda t: t | {"mapping.shape": np.array([3, 3], "i4")}},
            {"tensors": lambda t: t | {"mapping.pixel": t["mapping.pixel"] + 1}},
        ]
    ):
        path = tmp_path / f"{i}.safetensors"
        write_model(path, model)
        edit(path, **change)
        with pytest.raises(ModelFileError, match=r"fusion|mapping"):
            read_model(path)


# ---------------------------------------------------------------- writing


def test_existing_file_is_not_touched(model, model_file):
    before = model_file.read_bytes()
    with pytest.raises(ModelFileError, match="--overwrite"):
        write_model(model_file, model)
    assert model_file.read_bytes() == before
    assert os.listdir(model_file.parent) == [model_file.name]
    write_model(model_file, model, overwrite=True)
    assert os.listdir(model_file.parent) == [model_file.name]


@pytest.mark.parametrize("overwrite", [False, True])
def test_failed_write_leaves_what_was_there(model, model_file, monkeypatch, overwrite):
    before = model_file.read_bytes()
    target = model_file if overwrite else model_file.with_name("new.safetensors")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_model(target, model, overwrite=overwrite)
    assert model_file.read_bytes() == before
    assert os.listdir(model_file.parent) == [model_file.name]


def test_unreadable_model_is_never_written(model, tmp_path):
    broken = random_model(model.lattice, "Hex61", model.card.architecture)
    with torch.no_grad():
        broken.network.fusion.weight[0, 0] = float("nan")
    with pytest.raises(ModelFileError, match="not written"):
        write_model(tmp_path / "a.safetensors", broken)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["", "missing/a.safetensors"])
def test_impossible_names(model, tmp_path, name):
    with pytest.raises(ModelFileError, match="folder"):
        write_model(tmp_path / name, model)


def test_symbolic_link_to_a_model_is_read(model_file):
    link = model_file.with_name("link.safetensors")
    link.symlink_to(model_file)
    assert read_model(link).sha256 == read_model(model_file).sha256


def test_training_mode_survives_writing(model, tmp_path):
    network = random_model(model.lattice, "Hex61", model.card.architecture).network.train()
    write_model(tmp_path / "a.safetensors", Model(model.card, network, model.lattice))
    assert network.training


def test_file_is_plain_safetensors(model_file, tmp_path):
    from safetensors.torch import load_file

    shutil.copy(model_file, tmp_path / "copy.safetensors")
    tensors = load_file(tmp_path / "copy.safetensors")
    assert tensors["lattice.neighbours"].shape == (7, 61)
