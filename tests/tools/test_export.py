"""The command that exports a model."""

import pytest
from ctapipe.core import run_tool

from ctapipe_gammalearn.inference import exported
from ctapipe_gammalearn.nn import Architecture
from ctapipe_gammalearn.tools.export import ExportModel
from ctapipe_gammalearn.weights import random_model, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory, hexagonal_camera):
    """Path of a small model."""
    path = tmp_path_factory.mktemp("export") / "model.safetensors"
    small = Architecture(num_layers=1, block_features=(4, 6), reduced=(1, 1), fc_width=8)
    write_model(path, random_model(hexagonal_camera, "made-up", small, seed=1))
    return path


def export(*words):
    """Exit code of the command."""
    return run_tool(ExportModel(), argv=[str(word) for word in words], raises=False)


def test_a_file_is_not_replaced_by_accident(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(exported, "_write_pt2", lambda path, *_: path.write_text("new"))
    monkeypatch.setattr(exported, "_read_pt2", lambda path: None)
    monkeypatch.setattr(exported, "largest_difference", lambda *_: 2e-7)
    out = tmp_path / "model.pt2"
    assert export(model, "-o", out) == 0
    said = f"{out}: written, differs from the predictor by at most 2e-07\n"
    assert capsys.readouterr().out == said
    out.write_text("old")
    assert export(model, "-o", out) != 0
    assert out.read_text() == "old"
    assert export(model, "-o", out, "--overwrite") == 0
    assert out.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "model.tflite"], "the name must end in .onnx or .pt2"),
        (["-o", "nix/model.onnx"], "its folder does not exist"),
        ([], "give the file to write with -o"),
    ],
)
def test_wrong_usage_is_one_line(model, tmp_path, words, message, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert export(model, *words) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_one_line(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(exported, "find_spec", lambda name: None)
    assert export(model, "-o", tmp_path / "model.onnx") == 2
    assert "pip install 'ctapipe_gammalearn[onnx]'" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_leaves_nothing(model, tmp_path, capsys, monkeypatch):
    def full(path, *_):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exported, "_write_pt2", full)
    assert export(model, "-o", tmp_path / "model.pt2") == 74
    assert "cannot be written (No space left on device)" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
