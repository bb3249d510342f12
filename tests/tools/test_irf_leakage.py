"""``ctapipe-gammalearn-irf`` on events that a reconstructor was trained on; what goes beside."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import yaml
from ctapipe.core import run_tool

from ctapipe_gammalearn.fingerprints import sketch
from ctapipe_gammalearn.io.shower_records import read_prints, run_record
from ctapipe_gammalearn.tools.irf import IrfTool
from tests.irf.dl2 import PREFIXES, write_dl2
from tests.irf.toy import toy

SETTINGS = {
    "cuts_mode": "fixed", "gammaness_cut": 0.6, "n_replicas": 20, "background_ring": [0.0, 3.0],
}  # fmt: skip
SHIPPED = files("ctapipe_gammalearn") / "resources/lst_patch.safetensors"


@pytest.fixture(scope="module")
def dl2(tmp_path_factory):
    """Files of gammas and protons by kind."""
    folder = tmp_path_factory.mktemp("dl2")
    for kind, sample in toy(4000, 4000, seed=3).items():
        write_dl2(folder / f"{kind}.dl2.h5", sample, obs_id=5)
    return {kind: folder / f"{kind}.dl2.h5" for kind in ("gamma", "proton")}


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory):
    """A file of gammas that shares its run number and settings with none of ``dl2``."""
    path = tmp_path_factory.mktemp("train") / "train.dl1.h5"
    sample = toy(500, 0, seed=8)["gamma"]
    write_dl2(path, replace(sample, thrown=replace(sample.thrown, index=-1.8)), obs_id=6)
    return path


def write_model(path, training):
    """A file with the model card that a training leaves, and no weights."""
    card = json.dumps({"training": training})
    header = json.dumps({"__metadata__": {"ctapipe_gammalearn": card}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return str(path)


def record(path, prints):
    """Record of a training on a file."""
    return {"samples": [run_record(path)], "showers": sketch(prints)}


def configured(folder, network=None, reference=None, settings=None):
    """Configuration with further entries of the two reconstructors."""
    reconstructors = {
        "network": PREFIXES["dl"] | {"label": "net"} | (network or {}),
        "reference": PREFIXES["ref"] | {"label": "forest"} | (reference or {}),
    }
    path = folder / "irf.yaml"
    values = {"reconstructors": reconstructors, **SETTINGS, **(settings or {})}
    path.write_text(yaml.safe_dump({"IrfTool": values}), encoding="utf-8")
    return path


def run(folder, dl2, *options, **entries):
    """Exit code of the command."""
    argv = ["--config", configured(folder, **entries), "-o", folder / "out", "--no-html", *options]
    argv += [word for kind, path in dl2.items() for word in (f"--{kind}", path)]
    return run_tool(IrfTool(), argv=[str(word) for word in argv], cwd=folder, raises=False)


def summary(folder):
    """What the command wrote."""
    return json.loads((folder / "out/summary.json").read_text(encoding="utf-8"))


@pytest.fixture
def one_shared(tmp_path, dl2, trained_on):
    """Model whose training had one of the gammas; all its showers are beside it."""
    prints = np.union1d(read_prints(trained_on), read_prints(dl2["gamma"])[-1:])
    np.save(tmp_path / "training_showers.npy", prints)
    return {"model": write_model(tmp_path / "model.safetensors", record(trained_on, prints))}


def test_one_shared_shower_withholds_the_verdict(one_shared, dl2, tmp_path, capsys):
    assert run(tmp_path, dl2, network=one_shared) == 0
    printed = capsys.readouterr().out
    assert "WARNING: net was trained on 1 of the 4000 showers of gamma" in printed
    assert "training of forest unknown" in printed
    found = summary(tmp_path)
    assert found["leakage"]["network"]["overlap"] is True
    assert found["leakage"]["network"]["shared"]["gamma"]["found"] == 1
    assert found["leakage"]["network"]["shared"]["proton"]["found"] == 0
    assert found["leakage"]["reference"]["overlap"] is None
    verdict = found["verdict"]["network"]
    assert verdict["headline"].startswith("Verdict withheld")
    assert {row["outcome"] for row in verdict["endpoints"]} == {"withheld"}
    assert "better" not in printed


def test_a_verdict_may_be_asked_for_nevertheless(one_shared, dl2, tmp_path):
    assert run(tmp_path, dl2, "--allow-leakage", network=one_shared) == 0
    verdict = summary(tmp_path)["verdict"]["network"]
    assert verdict["headline"].startswith("In spite of an overlap with the training of net: ")
    assert "withheld" not in {row["outcome"] for row in verdict["endpoints"]}


def test_independent_events_are_said_to_be(dl2, trained_on, tmp_path):
    prints = read_prints(trained_on)
    network = {"model": write_model(tmp_path / "model.safetensors", record(trained_on, prints))}
    assert run(tmp_path, dl2, network=network, reference={"training": [str(trained_on)]}) == 0
    found = summary(tmp_path)
    for name, label in (("network", "net"), ("reference", "forest")):
        assert found["leakage"][name]["overlap"] is False
        sentence = f"{label}: none of the 500 showers of its training is here"
        assert found["leakage"][name]["sentences"] == [sentence]
    assert "withheld" not in found["verdict"]["network"]["headline"]


def test_a_forest_trained_on_these_files_withholds_the_verdict(dl2, tmp_path):
    assert run(tmp_path, dl2, reference={"training": [str(dl2["proton"])]}) == 0
    found = summary(tmp_path)
    assert found["leakage"]["reference"]["shared"]["proton"]["found"] == 4000
    assert found["verdict"]["network"]["headline"].endswith("training of forest; compare on others")


def test_equal_runs_are_named_where_a_model_lists_no_showers(dl2, tmp_path):
    model = write_model(tmp_path / "m.safetensors", {"samples": [run_record(dl2["gamma"])]})
    assert run(tmp_path, dl2, network={"model": model}) == 0
    found = summary(tmp_path)["leakage"]["network"]
    assert found["overlap"] is True
    assert len(found["runs"]) == 1
    assert "gamma.dl2.h5: same run numbers" in found["runs"][0]


def test_the_list_of_another_model_is_not_taken(dl2, trained_on, tmp_path):
    prints = read_prints(trained_on)
    model = write_model(tmp_path / "model.safetensors", record(trained_on, prints))
    np.save(tmp_path / "training_showers.npy", read_prints(dl2["gamma"]))
    assert run(tmp_path, dl2, network={"model": model}) == 0
    assert summary(tmp_path)["leakage"]["network"]["overlap"] is False


def test_files_beside_a_model_add_to_its_showers(dl2, trained_on, tmp_path):
    """As those of a first training, from which it was started."""
    prints = read_prints(trained_on)
    model = write_model(tmp_path / "m.safetensors", record(trained_on, prints))
    network = {"model": model, "training": [str(dl2["gamma"])]}
    assert run(tmp_path, dl2, network=network) == 0
    found = summary(tmp_path)["leakage"]["network"]
    assert (found["showers_known"], found["of"]) == (4500, 4500)
    assert found["shared"]["gamma"]["found"] == 4000


NO_TORCH = """
import importlib.abc
import sys

class NoTorch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "lightning", "safetensors"):
            raise ModuleNotFoundError(f"no {name} here", name=name)

sys.meta_path.insert(0, NoTorch())
from ctapipe_gammalearn.tools.irf import main
main()
"""


def test_a_shipped_model_is_read_without_torch(dl2, tmp_path):
    """Its card names runs and lists no showers."""
    config = configured(tmp_path, network={"model": str(SHIPPED)})
    argv = ["--config", config, "-o", tmp_path / "out"]
    argv += [word for kind, path in dl2.items() for word in (f"--{kind}", path)]
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH, *map(str, argv)],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "net: single showers were not compared, its training lists none" in done.stdout
    assert summary(tmp_path)["leakage"]["network"]["overlap"] is False


def test_curves_and_times_go_into_the_results(dl2, tmp_path):
    times = {"machine": "2 cores", "ms_per_event": {"network": 6.0, "reference": 3}}
    (tmp_path / "timing.json").write_text(json.dumps(times), encoding="utf-8")
    settings = {"overlays": ["MAGIC-2016-a2", "LST1-2023-sensitivity_src_indep"]}
    options = "--timing", tmp_path / "timing.json"
    assert run(tmp_path, dl2, *options, settings=settings) == 0
    expected = times | {"ms_range": {}, "ratio": {"network": 2.0, "reference": 1.0}}
    assert summary(tmp_path)["timing"] == expected
    assert (tmp_path / "out/benchmarks/overlays.ecsv").is_file()


TIMES = {
    "no json": ("{", "not JSON"),
    "a list": ("[]", "give machine and ms_per_event"),
    "other keys": ('{"machine": "x", "ms": {}}', "give machine and ms_per_event"),
    "no times": ('{"machine": "x", "ms_per_event": {}}', "a time by reconstructor"),
    "unknown": ('{"machine": "x", "ms_per_event": {"nobody": 1}}', "no reconstructor 'nobody'"),
    "negative": ('{"machine": "x", "ms_per_event": {"network": -1}}', "give a positive number"),
    "text": ('{"machine": "x", "ms_per_event": {"network": "1"}}', "give a positive number"),
    "falling": (
        '{"machine": "x", "ms_per_event": {"network": 1}, "ms_range": {"network": [2, 1]}}',
        "give two rising times",
    ),
    "not a number": ('{"machine": "x", "ms_per_event": {"network": NaN}}', "give a positive"),
}


@pytest.mark.parametrize("name", TIMES)
def test_unusable_times_are_one_line(name, dl2, tmp_path, capsys):
    text, message = TIMES[name]
    (tmp_path / "timing.json").write_text(text, encoding="utf-8")
    assert run(tmp_path, dl2, "--timing", tmp_path / "timing.json") == 2
    error = capsys.readouterr().err
    assert "timing.json" in error
    assert message in error


FAULTS = {
    "model missing": ({"network": {"model": "nix.safetensors"}}, "nix.safetensors: no such file"),
    "no model": ({"network": {"model": "irf.yaml"}}, "irf.yaml: no model file"),
    "model a list": ({"network": {"model": ["a"]}}, "model is one file, training a list"),
    "training a file": ({"reference": {"training": "a.h5"}}, "model is one file, training a list"),
    "no training file": ({"reference": {"training": ["irf.yaml"]}}, "cannot be read as HDF5"),
    "other key": ({"reference": {"weights": "a"}}, "and perhaps label, model and training"),
    "unknown curve": ({"settings": {"overlays": ["MAGIC-2016-a9"]}}, "did you mean MAGIC-2016-a2"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_wrong_entries_are_one_line_and_exit_code_2(name, dl2, tmp_path, capsys, monkeypatch):
    entries, message = FAULTS[name]
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path, dl2, **entries) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_one_event_of_each_kind_gives_no_verdict(tmp_path, capsys):
    """Sections are marked as not evaluable."""
    one = {}
    for kind, sample in toy(1, 1).items():
        one[kind] = tmp_path / f"{kind}.h5"
        write_dl2(one[kind], sample)
    assert run(tmp_path, one, settings={"cuts_mode": "optimised"}) == 0
    rows = summary(tmp_path)["verdict"]["network"]["endpoints"]
    assert {row["outcome"] for row in rows} == {"not evaluable"}
    assert "Traceback" not in capsys.readouterr().err


def test_other_arrays_are_refused(dl2, tmp_path, capsys):
    other = tmp_path / "proton.h5"
    write_dl2(other, toy(0, 10)["proton"], pointing=(60.0, 180.0))
    assert run(tmp_path, dl2 | {"proton": other}) == 2
    assert "pointing alt 60" in capsys.readouterr().err
