"""``ctapipe-gammalearn-irf`` on DL2 files of an instrument whose response is known exactly."""

import json
import shutil

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table
from ctapipe.core import run_tool

from ctapipe_gammalearn.tools.irf import IrfTool
from tests.irf.dl2 import PREFIXES, write_dl2
from tests.irf.toy import exact_theta, toy

FIXED = {"cuts_mode": "fixed", "gammaness_cut": 0.6, "theta_cut": 0.2}
FEW = {"html": False, "n_replicas": 40, "background_ring": [0.0, 3.0]}


def run(folder, *options, settings=None, prefixes=PREFIXES):
    """Exit code of the command with a configuration of its own."""
    reconstructors = {"reference": prefixes["ref"] | {"label": "Hillas+RF"}}
    reconstructors["network"] = prefixes["dl"] | {"label": "network"}
    path = folder / "irf.yaml"
    values = {"reconstructors": reconstructors, **FIXED, **FEW, **(settings or {})}
    path.write_text(yaml.safe_dump({"IrfTool": values}), encoding="utf-8")
    argv = ["--config", path, *options]
    return run_tool(IrfTool(), argv=[str(word) for word in argv], cwd=folder, raises=False)


@pytest.fixture(scope="module")
def dl2(tmp_path_factory):
    """Options that give a file of gammas and one of protons."""
    folder = tmp_path_factory.mktemp("dl2")
    for kind, sample in toy(12_000, 12_000, seed=3, scale={"ref": 1.0, "dl": 0.8}).items():
        write_dl2(folder / f"{kind}.dl2.h5", sample)
    return ["--gamma", folder / "gamma.dl2.h5", "--proton", folder / "proton.dl2.h5"]


@pytest.fixture(scope="module")
def out(dl2, tmp_path_factory):
    """Folder of a finished run."""
    folder = tmp_path_factory.mktemp("irf")
    assert run(folder, *dl2, "-o", folder / "out") == 0
    return folder / "out"


def benchmark(folder, name, reconstructor):
    """Rows of a benchmark table."""
    table = Table.read(folder / "benchmarks" / f"{name}.ecsv")
    return table[table["reconstructor"] == reconstructor]


def test_the_angular_resolution_is_that_of_the_instrument(out):
    for name, scale in (("reference", 1.0), ("network", 0.8)):
        found = benchmark(out, "theta68", name)
        found = found[found["n"] > 500]
        assert len(found) >= 5
        exact = [exact_theta(r["e_min"], r["e_max"], scale=scale) for r in found]
        error = 0.64 / np.sqrt(found["n"]) * exact
        assert np.all(np.abs(found["value"] - exact) < 4 * error)


def test_the_better_reconstructor_is_called_better(out):
    verdict = json.loads((out / "summary.json").read_text())["verdict"]["network"]
    row = next(r for r in verdict["endpoints"] if r["name"] == "theta68")
    assert row["outcome"] == "better"
    assert row["effect"] == pytest.approx(np.log(0.8), abs=0.05)


def test_the_same_columns_twice_make_no_difference(dl2, tmp_path):
    same = {"ref": PREFIXES["ref"], "dl": PREFIXES["ref"]}
    assert run(tmp_path, *dl2, "-o", tmp_path / "out", prefixes=same) == 0
    verdict = json.loads((tmp_path / "out/summary.json").read_text())["verdict"]["network"]
    effects = [row["effect"] for row in verdict["endpoints"] if row["effect"] is not None]
    assert len(effects) >= 4
    assert not any(effects)


def test_the_same_input_gives_the_same_summary(out, dl2, tmp_path):
    assert run(tmp_path, *dl2, "-o", tmp_path / "out") == 0
    assert (tmp_path / "out/summary.json").read_bytes() == (out / "summary.json").read_bytes()


def test_response_functions_are_complete_and_finite(out):
    for name in ("reference", "network"):
        for kind in ("point", "full"):
            with fits.open(out / f"irf_{name}_{kind}.fits.gz") as hdus:
                hdus.verify("exception")
                names = [hdu.name for hdu in hdus[1:]]
                assert names[:4] == ["EFFECTIVE AREA", "ENERGY DISPERSION", "PSF", "BACKGROUND"]
                assert ("RAD_MAX" in names) == (kind == "point")
                area = hdus["EFFECTIVE AREA"].data["EFFAREA"]
                assert np.isfinite(area).all()
                assert area.max() > 1e5


def test_few_protons_leave_the_sensitivity_open(dl2, tmp_path, capsys):
    few = toy(4000, 300, seed=4)["proton"]
    write_dl2(tmp_path / "few.dl2.h5", few)
    gamma = dl2[:2]
    optimised = {"cuts_mode": "optimised"}
    options = [*gamma, "--proton", tmp_path / "few.dl2.h5", "-o", tmp_path / "out"]
    assert run(tmp_path, *options, settings=optimised) == 0
    printed = capsys.readouterr().out
    assert "not enough background events" in printed
    assert "is better" not in printed
    assert not benchmark(tmp_path / "out", "sensitivity", "network")["valid"].any()


def test_results_are_not_replaced_by_accident(out, dl2, capsys):
    assert run(out.parent, *dl2, "-o", out) == 2
    assert "use --overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, settings, message",
    [
        (["GAMMA", "-o", "out"], {}, "give DL2 files with --proton"),
        (["PROTON", "-o", "out"], {}, "give DL2 files with --gamma"),
        (["GAMMA", "PROTON"], {}, "give a folder with -o"),
        (["GAMMA", "PROTON", "-o", "a/b/c"], {}, "its parent must exist"),
        (["GAMMA", "--proton", "nix.h5", "-o", "out"], {}, "nix.h5: no such file"),
        (["GAMMA", "--proton", "cut.h5", "-o", "out"], {}, "cut.h5"),
        (["--gamma", "P", "PROTON", "-o", "out"], {}, "gamma"),
        (["GAMMA", "PROTON", "-o", "out"], {"reference": "nobody"}, "no 'nobody'"),
        (["GAMMA", "PROTON", "-o", "out"], {"spectra": {"gamma": "CRAB"}}, "no spectrum 'CRAB'"),
        (["GAMMA", "PROTON", "-o", "out"], {"endpoints": ["speed"]}, "unknown speed"),
        (["GAMMA", "PROTON", "-o", "out"], {"background_ring": [1.0, 1.0]}, "two rising"),
        (["GAMMA", "PROTON", "-o", "out"], {"source_ring": [2.0, 3.0]}, "change source_ring"),
        (
            ["GAMMA", "PROTON", "-o", "out"],
            {"quality": [["bright", "true_energy > 1e6"]]},
            "loosen quality",
        ),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(options, settings, message, dl2, tmp_path, capsys):
    data = dl2[3].read_bytes()
    (tmp_path / "cut.h5").write_bytes(data[: len(data) // 3])
    words = []
    for word in options:
        words += {"GAMMA": dl2[:2], "PROTON": dl2[2:], "P": [dl2[3]]}.get(word, [word])
    assert run(tmp_path, *words, settings=settings) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "out").exists()


def test_an_unknown_prefix_suggests_a_known_one(dl2, tmp_path, capsys):
    wrong = PREFIXES | {"dl": PREFIXES["dl"] | {"energy": "NetEnergie"}}
    assert run(tmp_path, *dl2, "-o", tmp_path / "out", prefixes=wrong) == 2
    assert "NetEnergy" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
