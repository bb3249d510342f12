"""Real-data part of ``ctapipe-gammalearn-irf`` on a made-up night with a known number of gammas."""

import json
import re

import numpy as np
import pytest
import yaml
from astropy.coordinates import angular_separation
from astropy.table import Table
from ctapipe.core import run_tool

from ctapipe_gammalearn.exceptions import IRFError
from ctapipe_gammalearn.tools.irf import IrfTool
from ctapipe_gammalearn.tools.irf_observation import source_position
from tests.irf.dl2 import PREFIXES, write_dl2
from tests.irf.observation_dl2 import CRAB, night, write_ctapipe, write_lstchain
from tests.irf.toy import toy

THETA, GAMMANESS = 0.15, 0.7
FIXED = {"cuts_mode": "fixed", "gammaness_cut": GAMMANESS, "theta_cut": THETA}
FIGURES = {
    "theta2_reference", "theta2_network", "gammaness", "significance", "energy", "intensity",
    "runs", "equal_background_network",
}  # fmt: skip


def run(folder, *options, settings=None, prefixes=PREFIXES):
    """Exit code of the command with a configuration of its own."""
    reconstructors = {"reference": prefixes["ref"] | {"label": "Hillas+RF"}}
    reconstructors["network"] = prefixes["dl"] | {"label": "network"}
    path = folder / "irf.yaml"
    values = {"reconstructors": reconstructors, **FIXED, "off_regions": 3, **(settings or {})}
    path.write_text(yaml.safe_dump({"IrfTool": values}), encoding="utf-8")
    argv = ["--config", path, *options]
    return run_tool(IrfTool(), argv=[str(word) for word in argv], cwd=folder, raises=False)


@pytest.fixture(scope="module")
def runs():
    """Four runs of the night."""
    return night(4, 120)


@pytest.fixture(scope="module")
def observed(runs, tmp_path_factory):
    """Options that give a file for each run, and the source."""
    folder, words = tmp_path_factory.mktemp("observed"), ["--source", "Crab"]
    for one in runs:
        write_ctapipe(folder / f"{one.obs_id}.h5", one)
        words += ["--observation", folder / f"{one.obs_id}.h5"]
    return words


@pytest.fixture(scope="module")
def out(observed, tmp_path_factory):
    """Folder of a finished run."""
    folder = tmp_path_factory.mktemp("irf")
    assert run(folder, *observed, "-o", folder / "out") == 0
    return folder / "out"


def summary(folder):
    """Section of the observation."""
    return json.loads((folder / "summary.json").read_text())["observation"]


def true_gammas(runs, name, gammaness=GAMMANESS):
    """Gammas that pass the cuts, by what was put in."""
    total = 0
    for one in runs:
        theta = np.rad2deg(angular_separation(*np.deg2rad(CRAB), one.ra, one.dec))
        total += np.sum(one.is_gamma & (theta <= THETA) & (one.gammaness[name] >= gammaness))
    return int(total)


def test_the_excess_is_the_number_of_gammas(out, runs):
    for name, truth in (("reference", "ref"), ("network", "dl")):
        found = summary(out)["reconstructors"][name]
        # three off regions each
        assert found["alpha"] == pytest.approx(1 / 3)
        spread = np.sqrt(found["background"] * 4 / 3)
        assert abs(found["excess"] - true_gammas(runs, truth)) < 4 * spread
        assert found["significance"] > 15
    minutes = summary(out)["live_h"] * 60
    assert minutes == pytest.approx(4 * 5 * 0.96, rel=0.01)
    assert found["excess_per_min"] == pytest.approx(found["excess"] / minutes)


def test_the_better_classifier_is_better_at_equal_background(out, runs):
    row = {r["policy"]: r for r in summary(out)["comparison"]["network"]}["equal background"]
    assert row["candidate"]["background"] <= row["reference"]["background"]
    assert row["candidate"]["background"] == pytest.approx(row["reference"]["background"], rel=0.02)
    assert row["difference"] == pytest.approx(
        row["candidate"]["excess"] - row["reference"]["excess"]
    )
    assert row["p"] < 1e-6
    assert row["difference"] > 0
    table = Table.read(out / "benchmarks/observation_equal_background.ecsv")
    assert np.all(table["candidate_background_per_min"] <= table["background_per_min"] * 1.000001)
    assert np.all(table["ratio"][3:] > 1)


def test_every_figure_has_its_table_and_is_in_the_page(out):
    page = (out / "report.html").read_text(encoding="utf-8")
    assert {p.stem.removeprefix("observation_") for p in (out / "figures").iterdir()} == FIGURES
    for name in FIGURES:
        assert f'id="observation_{name}"' in page
    for link in set(re.findall(r'href="(benchmarks/[^"]+)"', page)):
        assert len(Table.read(out / link)) > 0
    assert "no verdict" in page
    assert not re.findall(r'(?:src|href)="https?:', page)


def test_numbers_of_the_page_are_those_of_the_summary(out):
    page = (out / "report.html").read_text(encoding="utf-8")
    keys = re.findall(r'data-key="(observation\.[^"]+)">([^<]*)<', page)
    assert len(keys) > 30
    for key, text in keys:
        value = json.loads((out / "summary.json").read_text())
        for part in key.split("."):
            value = value[int(part)] if isinstance(value, list) else value[part]
        if not isinstance(value, str):
            shown = float(text.replace("−", "-"))
            assert shown == pytest.approx(value, rel=0.05, abs=0.06)


def test_theta2_is_flat_without_a_source_and_peaks_with_one(out, runs):
    table = Table.read(out / "benchmarks/observation_theta2.ecsv")
    rows = table[table["reconstructor"] == "reference"]
    inside = rows["theta2_max"] <= THETA**2 * 1.001
    found = summary(out)["reconstructors"]["reference"]
    assert rows["on"][inside].sum() == found["n_on"]
    assert rows["off"][inside].sum() == pytest.approx(found["background"])
    outside = ~inside
    # beyond the source on and off are alike
    error = np.hypot(rows["on_error"][outside], rows["off_error"][outside])
    assert np.all(np.abs(rows["on"] - rows["off"])[outside] < 4 * np.maximum(error, 1))
    assert rows["on"][0] > 3 * rows["off"][0]


def test_bins_and_runs_add_up(out):
    found = summary(out)["reconstructors"]["network"]
    for name in ("energy", "intensity", "runs"):
        table = Table.read(out / f"benchmarks/observation_{name}.ecsv")
        rows = table[table["reconstructor"] == "network"]
        for column in ("n_on", "n_off", "excess"):
            assert rows[column].sum() == pytest.approx(found[column], rel=0.01)


def test_a_cut_is_chosen_on_the_other_half_of_the_runs(observed, tmp_path):
    assert (
        run(tmp_path, *observed, "-o", tmp_path / "out", settings={"cuts_mode": "optimised"}) == 0
    )
    observation = summary(tmp_path / "out")
    assert "one half" in observation["cuts"]
    table = Table.read(tmp_path / "out/benchmarks/observation_gammaness.ecsv")
    for name, found in observation["reconstructors"].items():
        assert len(found["gammaness_cuts"]) == 2
        rows = table[table["reconstructor"] == name]
        # the curve, which is of all data, may be higher than the honest number only by chance
        assert found["significance"] <= rows["significance"].max() + 0.5
    dl, ref = (observation["reconstructors"][n]["significance"] for n in ("network", "reference"))
    assert dl > ref


def test_the_same_columns_twice_make_no_difference(observed, tmp_path):
    same = {"ref": PREFIXES["ref"], "dl": PREFIXES["ref"]}
    assert run(tmp_path, *observed, "-o", tmp_path / "out", "--no-html", prefixes=same) == 0
    for row in summary(tmp_path / "out")["comparison"]["network"]:
        assert row["difference"] == 0
        assert row["p"] == 1
        assert row["candidate"] == row["reference"]
    assert not (tmp_path / "out/report.html").exists()


@pytest.mark.parametrize("layout", ["table", "fixed"])
def test_files_of_lstchain_give_the_same_numbers(runs, out, tmp_path, layout):
    write_lstchain(tmp_path / "lst.h5", runs, layout)
    path = tmp_path / "irf.yaml"
    path.write_text(yaml.safe_dump({"IrfTool": FIXED | {"off_regions": 3}}), encoding="utf-8")
    words = ["--config", path, "--observation", tmp_path / "lst.h5", "-o", tmp_path / "out",
             "--source", f"{CRAB[0]} {CRAB[1]}"]  # fmt: skip
    assert run_tool(IrfTool(), argv=[str(w) for w in words], cwd=tmp_path, raises=False) == 0
    found = summary(tmp_path / "out")["reconstructors"]["lstchain"]
    expected = summary(out)["reconstructors"]["network"]
    for key in ("n_on", "n_off", "alpha", "excess", "significance"):
        assert found[key] == pytest.approx(expected[key])


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Options that give simulated gammas and protons, of the same scores as the network's."""
    folder, words = tmp_path_factory.mktemp("simulated"), []
    for kind, sample in toy(6000, 4000, seed=3).items():
        write_dl2(folder / f"{kind}.h5", sample)
        words += [f"--{kind}", folder / f"{kind}.h5"]
    return words


@pytest.mark.slow
def test_with_simulations_there_is_a_verdict_and_a_check(observed, simulated, tmp_path):
    few = {"n_replicas": 20, "background_ring": [0.0, 3.0]}
    assert run(tmp_path, *observed, *simulated, "-o", tmp_path / "out", settings=few) == 0
    whole = json.loads((tmp_path / "out/summary.json").read_text())
    assert whole["verdict"]["network"]["headline"]
    assert len(whole["inputs"]["observation"]) == 4
    found = whole["observation"]
    policies = [row["policy"] for row in found["comparison"]["network"]]
    assert policies[2:] == ["80% of simulated gammas", "50% of simulated gammas"]
    checks = {n: {r["check"]: r for r in rows} for n, rows in found["agreement"].items()}
    # gammaness of the network is simulated as it was made, that of the other is not
    assert checks["network"]["gammaness"]["simulation"] == pytest.approx(1 - 0.7**6, abs=0.02)
    assert checks["network"]["gammaness"]["ratio"] == pytest.approx(1, abs=0.1)
    assert checks["reference"]["gammaness"]["outcome"] == "differs"
    assert any("more than 10 % apart" in note for note in whole["warnings"])
    assert checks["network"]["rate"]["simulation"] > 0
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert 'id="observation_simulation_network"' in page


def test_cuts_of_simulations_are_used_on_observations(observed, simulated, tmp_path):
    settings = {"n_replicas": 20, "background_ring": [0.0, 3.0], "cuts_mode": "efficiency"}
    words = [*observed, *simulated, "-o", tmp_path / "out", "--no-html"]
    assert run(tmp_path, *words, settings=settings) == 0
    found = summary(tmp_path / "out")
    assert found["cuts"] == "chosen on simulations"
    # wide at low energies: no wider than the off regions allow
    assert found["radius_deg"] == pytest.approx(0.4 / 1.5, rel=0.01)
    assert any("must fit" in note for note in found["notes"])
    assert found["reconstructors"]["network"]["gammaness_cuts"] == [None, None]
    assert found["agreement"]["network"][0]["simulation"] == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    "words, settings, message",
    [
        (["ONE"], {}, "give --source"),
        (["ONE", "--source", "Krab"], {}, "none of Crab"),
        (["ONE", "--source", "400 0"], {}, "not on the sky"),
        (["ONE", "--source", "10 10"], {}, "run 1817: source"),
        (["ONE", "--source", f"{CRAB[0]} {CRAB[1] + 0.35}"], {}, "wobble"),
        (["ONE", "--source", "Crab"], {"theta_cut": 0.3}, "lower theta_cut"),
        (["ONE", "--source", "Crab"], {"cuts_mode": "optimised"}, "one run"),
        (["ONE", "--source", "Crab"], {"cuts_mode": "efficiency"}, "needs simulated gammas"),
        (["ONE", "--source", "Crab"], {"excluded": [[83.6, 22.0, 2.0]]}, "no off region"),
        (["ONE", "--source", "Crab"], {"quality": [["q", "multiplicity > 9"]]}, "loosen quality"),
        (["--observation", "nix.h5", "--source", "Crab"], {}, "nix.h5: no such file"),
        (["ONE", "--source", "Crab"], {"reconstructors": {}}, "name its reconstructors"),
        (["ONE", "--source", "Crab", "GAMMA"], {}, "give DL2 files with --proton"),
        (["ONE", "--source", "10 10", "GAMMA", "PROTON"], {}, "run 1817: source"),
    ],
)
def test_wrong_input_is_one_line(observed, simulated, tmp_path, capsys, words, settings, message):
    given = {"ONE": observed[2:4], "GAMMA": simulated[:2], "PROTON": simulated[2:]}
    options = [w for word in words for w in given.get(word, [word])]
    assert run(tmp_path, *options, "-o", tmp_path / "out", settings=settings) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["Crab", "crab", "83.6331 22.0145", " 83.6331  +22.0145 "])
def test_sources_by_name_and_position(text):
    _, position = source_position(text)
    np.testing.assert_allclose(np.rad2deg(position), CRAB)


@pytest.mark.parametrize("text", ["", "83.6", "1 2 3", "nan 0", "83.6 91"])
def test_no_position_is_refused(text):
    with pytest.raises(IRFError, match="source"):
        source_position(text)


def test_simulations_of_other_reconstructors_are_not_compared(runs, simulated, tmp_path):
    """A file of lstchain beside simulations of ctapipe."""
    write_lstchain(tmp_path / "lst.h5", runs, "table")
    words = ["--observation", tmp_path / "lst.h5", "--source", "Crab", *simulated, "--no-html"]
    settings = {"n_replicas": 20, "background_ring": [0.0, 3.0]}
    assert run(tmp_path, *words, "-o", tmp_path / "out", settings=settings) == 0
    whole = json.loads((tmp_path / "out/summary.json").read_text())
    assert not whole["observation"]["agreement"]
    assert whole["observation"]["reconstructors"]["lstchain"]["significance"] > 15
    assert any("other reconstructors" in text for text in whole["warnings"])
