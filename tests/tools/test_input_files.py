"""Input files that are not there, in all commands: one short line that names them."""

import re

import pytest
from ctapipe.core import run_tool

from ctapipe_gammalearn.tools.convert import ConvertCheckpoint
from ctapipe_gammalearn.tools.evaluate import EvaluateTool
from ctapipe_gammalearn.tools.init import InitModel
from ctapipe_gammalearn.tools.irf import IrfTool
from ctapipe_gammalearn.tools.simulate import SimulateTool
from ctapipe_gammalearn.tools.train import TrainTool
from ctapipe_gammalearn.tools.zoo import FetchModels

MISSING = {
    "train": (TrainTool, ["-i", "nix", "-o", "out"]),
    "train, second": (TrainTool, ["-i", "there", "-i", "nix", "-o", "out"]),
    "train, recipe": (TrainTool, ["-i", "there", "-o", "out", "--config=nix"]),
    "train, start": (TrainTool, ["-i", "there", "-o", "out", "--init-from=nix"]),
    "evaluate": (EvaluateTool, ["-i", "nix", "-m", "there", "-o", "out"]),
    "evaluate, model": (EvaluateTool, ["-i", "there", "-m", "nix", "-o", "out"]),
    "evaluate, DL2": (EvaluateTool, ["-i", "there", "--dl2", "nix", "-o", "out"]),
    "convert": (ConvertCheckpoint, ["nix", "--camera=LSTCam", "-o", "out.safetensors"]),
    "convert, table": (ConvertCheckpoint, ["there", "-o", "o.safetensors", "--mapping-table=nix"]),
    "convert, hints": (ConvertCheckpoint, ["there", "-o", "o.safetensors", "--settings-json=nix"]),
    "init, table": (InitModel, ["--camera=LSTCam", "-o", "o.safetensors", "--mapping-table=nix"]),
    "simulate, options": (SimulateTool, ["-o", "out", "--run-options=nix"]),
}


def messages(tool, options, folder, capsys):
    """What the command says besides ctapipe's reference to its help."""
    assert run_tool(tool(), argv=options, cwd=folder, raises=False) == 2
    lines = capsys.readouterr().err.splitlines()
    return [re.sub(r".*\(tool\.run\): ", "", line) for line in lines if "--help" not in line]


@pytest.mark.parametrize("case", MISSING)
def test_missing_file_is_one_short_line(case, tmp_path, capsys):
    (tmp_path / "there").write_text("x")
    assert messages(*MISSING[case], tmp_path, capsys) == ["nix: no such file"]
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_folder_in_place_of_a_file_is_one_short_line(tmp_path, capsys):
    (tmp_path / "there").mkdir()
    options = ["-i", "there", "-m", "there", "-o", "out"]
    assert messages(EvaluateTool, options, tmp_path, capsys) == ["there: a folder; give a file"]


@pytest.mark.parametrize("tool", [EvaluateTool, IrfTool, SimulateTool, TrainTool])
def test_unknown_option_of_the_shell_is_refused(tool, tmp_path, monkeypatch, capsys):
    """Without arguments from Python the tool takes those of the process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [tool.name, "--bogus", "3"])
    with pytest.raises(SystemExit) as stop:
        tool().run()
    assert stop.value.code == 2
    assert "unknown option --bogus" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_folder_of_models_that_is_not_there_is_one_short_line(tmp_path, capsys):
    options = ["lst-patch", "-o", "nix"]
    (message,) = messages(FetchModels, options, tmp_path, capsys)
    assert message == f"{tmp_path / 'nix'}: no such folder; make it first"
