"""The command that makes data sets: its files, its errors, and what survives a kill."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tables
from ctapipe.core import run_tool
from ctapipe.io import TableLoader

from ctapipe_gammalearn.io.simulated_files import verify
from ctapipe_gammalearn.simulation import dataset
from ctapipe_gammalearn.tools.simulate import SimulateTool

COMMAND = [sys.executable, "-c", "from ctapipe_gammalearn.tools.simulate import main; main()"]


def simulate(*options):
    """Exit code of the command, run in this process."""
    return run_tool(SimulateTool(), argv=[str(o) for o in options], raises=False)


def contents(path):
    """All rows of all tables of a file."""
    with tables.open_file(path) as file:
        leaves = file.walk_nodes("/", "Leaf")
        return {node._v_pathname: node.read().tobytes() for node in leaves}


def all_contents(folder):
    """Contents of all files of a data set."""
    return {path.name: contents(path) for path in sorted(folder.glob("*.dl1.h5"))}


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """A small data set of images, in runs of 25 showers."""
    folder = tmp_path_factory.mktemp("simulate") / "data"
    options = ["--samples=train_gamma_diffuse,test_muon", "--scale=0.12", "--jobs=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dataset.CHUNK, "tiny", 25)
        assert simulate("-o", folder, *options, "--images-only") == 0
        yield folder, options


def test_data_set_holds_what_was_asked_for(data_set):
    folder, _ = data_set
    names = {p.name for p in folder.iterdir()}
    samples = ("train_gamma_diffuse", "test_muon")
    assert names == {f"{s}.{end}" for s in samples for end in ("dl1.h5", "shower.yaml")}
    with TableLoader(folder / "train_gamma_diffuse.dl1.h5") as loader:
        images = loader.read_telescope_events(dl1_images=True, dl1_parameters=False, simulated=True)
        config = loader.read_simulation_configuration()
        thrown = loader.read_shower_distribution()
    assert set(config["obs_id"]) == {10_001, 10_002, 10_003}
    assert sum(config["n_showers"]) == 60
    assert sum(thrown["n_entries"]) == 600
    assert len(images) > 10
    assert images["image"].shape[1] == 1855
    showers = images["event_id"] // 100
    assert np.all(images["obs_id"] == 10_001 + showers // 25)
    assert not verify(folder / "train_gamma_diffuse.dl1.h5")


def test_the_same_command_finds_nothing_left_to_do(data_set, capsys):
    folder, options = data_set
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert simulate("-o", folder, *options, "--images-only") == 0
    assert "2 were there" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == before


def test_files_of_other_settings_are_kept(data_set):
    folder, options = data_set
    before = all_contents(folder)
    assert simulate("-o", folder, *options, "--images-only", "--seed=2") == 2
    assert simulate("-o", folder, *options) == 2
    assert all_contents(folder) == before


def test_chunks_and_processes_do_not_change_the_events(data_set, tmp_path, monkeypatch):
    folder, _ = data_set
    monkeypatch.setitem(dataset.CHUNK, "tiny", 40)
    options = ["--samples=train_gamma_diffuse", "--scale=0.12", "--images-only"]
    assert simulate("-o", tmp_path / "d", *options, "--jobs=2") == 0
    ours, theirs = (contents(f / "train_gamma_diffuse.dl1.h5") for f in (folder, tmp_path / "d"))
    with tables.open_file(folder / "train_gamma_diffuse.dl1.h5") as file:
        image = file.root.dl1.event.telescope.images.tel_001.cols.image[:]
    with tables.open_file(tmp_path / "d" / "train_gamma_diffuse.dl1.h5") as file:
        assert np.array_equal(file.root.dl1.event.telescope.images.tel_001.cols.image[:], image)
    assert ours.keys() == theirs.keys()


def test_runs_without_events_still_count_as_thrown(tmp_path, monkeypatch):
    """Otherwise effective areas would be too large."""
    monkeypatch.setitem(dataset.CHUNK, "tiny", 2)
    options = ["--samples=test_helium", "--scale=0.03", "--jobs=1", "--images-only"]
    assert simulate("-o", tmp_path / "d", *options) == 0
    with tables.open_file(tmp_path / "d" / "test_helium.dl1.h5") as file:
        config = file.root.configuration.simulation.run.read()
    assert len(config) == 3
    assert config["n_showers"].sum() == 6


BAD = {
    "no output": [],
    "unknown option": ["-o", "d", "--colour=red"],
    "unknown preset": ["-o", "d", "--preset=huge"],
    "unknown sample": ["-o", "d", "--samples=test_wimp"],
    "unknown array": ["-o", "d", "--array=5LST"],
    "scale zero": ["-o", "d", "--scale=0"],
    "parent does not exist": ["-o", "a/b/c"],
    "output is a file": ["-o", "file"],
    "bad options": ["-o", "d", "--run-options=bad.yaml"],
    "options no YAML": ["-o", "d", "--run-options=file"],
    "spare word": ["-o", "d", "more"],
}


@pytest.mark.parametrize("options", BAD.values(), ids=list(BAD))
def test_wrong_usage_ends_with_2_and_writes_nothing(tmp_path, monkeypatch, options, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "bad.yaml").write_text("energy_min: 100.0\n")
    before = sorted(tmp_path.rglob("*"))
    try:
        code = run_tool(SimulateTool(), argv=options, cwd=tmp_path, raises=False)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert sorted(tmp_path.rglob("*")) == before
    assert "Traceback" not in capsys.readouterr().err


@pytest.fixture
def sound(data_set, tmp_path):
    """A copy of a complete file."""
    return shutil.copy(data_set[0] / "test_muon.dl1.h5", tmp_path / "x.dl1.h5")


def damage_rows(path):
    """Rows as they read when they never reached the disk."""
    with tables.open_file(path, "a") as file:
        table = file.root.dl1.event.subarray.trigger
        table.modify_column(2, 3, column=np.zeros(1, np.int64), colname="obs_id")


def drop_table(path):
    with tables.open_file(path, "a") as file:
        file.remove_node("/simulation/event/subarray/shower")


def cut(path):
    os.truncate(path, os.path.getsize(path) // 2)


def lose_mark(path):
    with tables.open_file(path, "a") as file:
        del file.root._v_attrs["CTAPIPE_GAMMALEARN_COMPLETE"]


@pytest.mark.parametrize("damage", [damage_rows, drop_table, cut, lose_mark])
def test_damaged_files_are_found(sound, damage):
    assert not verify(sound)
    damage(sound)
    assert verify(sound)


def environment():
    """Environment of a process of the command."""
    package = os.path.dirname(os.path.dirname(sys.modules["ctapipe_gammalearn"].__file__))
    return os.environ | {"PYTHONPATH": package}


@pytest.mark.slow
@pytest.mark.parametrize("signum, code", [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_interrupted_command_goes_on_to_the_same_files(tmp_path, signum, code):
    options = ["--samples=train_proton,test_gamma_point", "--scale=0.5", "--jobs=2"]
    command = [*COMMAND, *options, "-o"]
    subprocess.run([*command, tmp_path / "whole"], env=environment(), check=True)
    process = subprocess.Popen([*command, tmp_path / "cut"], env=environment())
    limit = time.monotonic() + 60
    while not list(tmp_path.glob("cut/.parts/.*.part.h5")) and time.monotonic() < limit:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signum)
    assert process.wait(60) == code
    assert not list(tmp_path.glob("cut/*.dl1.h5")) or signum == signal.SIGKILL
    subprocess.run([*command, tmp_path / "cut"], env=environment(), check=True)
    assert all_contents(tmp_path / "cut") == all_contents(tmp_path / "whole")
    assert not (tmp_path / "cut" / ".parts").exists()


@pytest.mark.slow
def test_killed_workers_do_not_survive_the_command(tmp_path):
    command = [*COMMAND, "--scale=5", "--jobs=2", "-o", tmp_path / "d"]
    process = subprocess.Popen(command, env=environment())
    limit = time.monotonic() + 60
    while not list(tmp_path.glob("d/.parts/.*.part.h5")) and time.monotonic() < limit:
        time.sleep(0.05)
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    process.kill()
    process.wait()
    time.sleep(3)
    assert children
    assert not [pid for pid in children if os.path.exists(f"/proc/{pid}")]
