"""Cuts of ``ctapipe-gammalearn-irf``: from files, to files, and the same summary in any order."""

import json
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table
from ctapipe.tools.compute_irf import IrfTool as CtapipeTool

from ctapipe_gammalearn.io import dl2_events, dl2_tables
from ctapipe_gammalearn.irf import comparison
from ctapipe_gammalearn.irf.bootstrap import bootstrap
from ctapipe_gammalearn.irf.cuts_file import cuts_hdus, read_cuts
from ctapipe_gammalearn.irf.fits import write_fits
from ctapipe_gammalearn.irf.metrics import effective_area
from tests.irf.dl2 import PREFIXES, write_dl2
from tests.irf.test_ctapipe_agreement import TRUE, run_ctapipe
from tests.irf.toy import toy
from tests.tools.test_irf import benchmark, run

EFFICIENCY = {"cuts_mode": "efficiency", "efficiency": 0.7}
FILE = {"cuts_mode": "file"}


@pytest.fixture(scope="module")
def samples():
    return toy(8000, 8000, 2000, seed=6)


@pytest.fixture(scope="module")
def dl2(samples, tmp_path_factory):
    """Options that give files of gammas, protons and electrons."""
    return write(samples, tmp_path_factory.mktemp("dl2"))


def write(samples, folder, **how):
    """Write files and return their options."""
    for kind, sample in samples.items():
        write_dl2(folder / f"{kind}.dl2.h5", sample, **how.get(kind, {}))
    return [word for kind in samples for word in (f"--{kind}", folder / f"{kind}.dl2.h5")]


@pytest.fixture(scope="module")
def out(dl2, tmp_path_factory):
    """Folder of a finished run."""
    folder = tmp_path_factory.mktemp("irf")
    assert run(folder, *dl2, "-o", folder / "out", settings=EFFICIENCY) == 0
    return folder / "out"


def cuts_of(folder):
    """Options that give the cuts that a run wrote."""
    return [w for n in ("reference", "network") for w in ("--cuts", folder / f"cuts_{n}.fits")]


def summary(folder):
    """Summary without the names and hashes of the input."""
    content = json.loads((folder / "summary.json").read_text())
    return {k: v for k, v in content.items() if k != "inputs"}


def test_cuts_that_were_written_choose_the_same_events(dl2, out, tmp_path):
    assert run(tmp_path, *dl2, *cuts_of(out), "-o", tmp_path / "a", settings=FILE) == 0
    again = run(tmp_path, *dl2, *cuts_of(tmp_path / "a"), "-o", tmp_path / "b", settings=FILE)
    assert again == 0
    for name in ("reference", "network"):
        first, second = (read_cuts(tmp_path / f / f"cuts_{name}.fits")[0] for f in "ab")
        np.testing.assert_array_equal(first.gammaness, second.gammaness)
        a, b = (Table.read(tmp_path / f / f"irf_{name}_point.fits.gz", hdu=1) for f in "ab")
        np.testing.assert_array_equal(a["EFFAREA"], b["EFFAREA"])
    original = Table.read(out / "irf_network_point.fits.gz", hdu="EFFECTIVE AREA")
    # the table ends at 3 GeV, the original cuts go on
    within = original["ENERG_LO"] > 0.01
    np.testing.assert_array_equal(a["EFFAREA"][:, 0][within], original["EFFAREA"][:, 0][within])
    assert summary(tmp_path / "a")["verdict"] == summary(tmp_path / "b")["verdict"]
    files = json.loads((tmp_path / "a/summary.json").read_text())["inputs"]["cuts"]
    assert [f["name"] for f in files] == ["cuts_reference.fits", "cuts_network.fits"]


def test_ctapipe_makes_the_same_response_of_our_cuts(dl2, out, tmp_path):
    """Nothing passes in some bins, which must not stop it."""
    run_ctapipe(
        dl2[1].parent, CtapipeTool, "gamma", cuts=out / "cuts_network.fits",
        spatial_selection_applied=True, output=tmp_path / "irf.fits",
        benchmark_output=tmp_path / "b.fits",
    )  # fmt: skip
    theirs = Table.read(tmp_path / "irf.fits", hdu="RAD_MAX")["RAD_MAX"].squeeze()
    cuts = read_cuts(out / "cuts_network.fits")[0]
    good = cuts.evaluable
    assert 5 < good.sum() < len(good)
    np.testing.assert_array_equal(theirs[good], cuts.theta_deg[good])
    names = {"network": PREFIXES["dl"]}
    gamma = dl2_events.read_sample([dl2[1]], "gamma", names)[0]
    passes = cuts.select(gamma.reconstructions["network"])
    area = effective_area(gamma.true_energy[passes], gamma.thrown, TRUE)["area"]
    theirs = Table.read(tmp_path / "irf.fits", hdu="EFFECTIVE AREA")["EFFAREA"].squeeze()
    np.testing.assert_allclose(area, theirs, rtol=1e-9)
    assert passes.sum() > 1000


def test_events_of_too_few_telescopes_fail(samples, out, tmp_path):
    n_tels = 1 + np.arange(8000) % 4
    files = write(samples, tmp_path, gamma={"n_tels": n_tels}, proton={"n_tels": 3})
    gamma = dl2_events.read_sample([files[1]], "gamma", {"network": PREFIXES["dl"]})[0]
    np.testing.assert_array_equal(gamma.reconstructions["network"].multiplicity, n_tels)
    cuts = read_cuts(out / "cuts_network.fits")[0]
    cuts = replace(cuts, multiplicity=np.full(len(cuts.gammaness), 3.0))
    write_fits(tmp_path / "c.fits", cuts_hdus(cuts, "NetParticle", [], (0.3, 0.5)), finite=False)
    options = ["--cuts", out / "cuts_reference.fits", "--cuts", tmp_path / "c.fits"]
    assert run(tmp_path, *files, *options, "-o", tmp_path / "out", settings=FILE) == 0
    few, all_of_them = (benchmark(f, "signal", "network")["n"] for f in (tmp_path / "out", out))
    assert abs(few.sum() / all_of_them.sum() - 0.5) < 0.03
    assert read_cuts(tmp_path / "out/cuts_network.fits")[0].multiplicity.min() == 3


def test_shuffled_events_chunks_and_threads_give_the_same_summary(
    samples, dl2, out, tmp_path, monkeypatch
):
    rng = np.random.default_rng(0)
    order = {kind: {"order": rng.permutation(len(s))} for kind, s in samples.items()}
    shuffled = write(samples, tmp_path, **order)
    monkeypatch.setattr(dl2_tables, "CHUNK", 1000)
    monkeypatch.setattr(
        comparison,
        "bootstrap",
        lambda plans, n, seed, _, progress: bootstrap(plans, n, seed, 2, progress),
    )
    assert run(tmp_path, *shuffled, "-o", tmp_path / "out", settings=EFFICIENCY) == 0
    assert summary(tmp_path / "out") == summary(out)
    for path in (out / "benchmarks").iterdir():
        ours, theirs = (Table.read(p) for p in (path, tmp_path / "out/benchmarks" / path.name))
        for name in ours.colnames:
            if ours[name].dtype.kind == "f":
                np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-12, err_msg=path.name)
            else:
                assert list(theirs[name]) == list(ours[name])


def test_no_background_left_gives_a_limit_that_is_no_result(dl2, tmp_path):
    """Of protons only: none passes this cut."""
    hard = {"cuts_mode": "fixed", "gammaness_cut": 0.97, "theta_cut": 0.2}
    assert run(tmp_path, *dl2[:4], "-o", tmp_path / "out", settings=hard) == 0
    rows = benchmark(tmp_path / "out", "sensitivity", "network")
    rows = rows[(rows["limited_by"] == "no_mc_background") & (rows["n"] > 20)]
    assert len(rows) > 2
    assert np.isfinite(rows["value"]).all()
    assert not rows["valid"].any()
    verdict = summary(tmp_path / "out")["verdict"]["network"]["endpoints"]
    assert next(r for r in verdict if r["name"] == "sensitivity")["outcome"] == "not evaluable"


def test_the_same_columns_twice_make_no_difference_at_all(dl2, tmp_path):
    same = {"ref": PREFIXES["ref"], "dl": PREFIXES["ref"]}
    assert run(tmp_path, *dl2, "-o", tmp_path / "out", settings=EFFICIENCY, prefixes=same) == 0
    rows = summary(tmp_path / "out")["verdict"]["network"]["endpoints"]
    known = [row for row in rows if row["effect"] is not None]
    assert len(known) >= 4
    for row in known:
        assert (row["effect"], row["ci95"], row["p"]) == (0, [0, 0], 1)
        assert row["outcome"] == "equivalent"


@pytest.mark.parametrize(
    "options, settings, message",
    [
        ([], FILE, "give --cuts with mode file"),
        (["--cuts", "NETWORK"], EFFICIENCY, "give --cuts with mode file"),
        (["--cuts", "NETWORK"], FILE, "no file for the gammaness of reference"),
        (["--cuts", "NETWORK", "--cuts", "NETWORK"], FILE, "a second file of cuts for network"),
        (["--cuts", "nix.fits"], FILE, "nix.fits: no such file"),
        (["--cuts", "DL2"], FILE, "no FITS file"),
    ],
)
def test_unfit_cuts_are_one_line_and_exit_code_2(
    options, settings, message, dl2, out, tmp_path, capsys
):
    words = {"NETWORK": out / "cuts_network.fits", "DL2": dl2[1]}
    options = [words.get(word, word) for word in options]
    assert run(tmp_path, *dl2, *options, "-o", tmp_path / "out", settings=settings) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "out").exists()


def test_cuts_in_another_gammaness_are_refused(dl2, out, tmp_path, capsys):
    other = PREFIXES | {"dl": PREFIXES["dl"] | {"gammaness": PREFIXES["ref"]["gammaness"]}}
    options = [*dl2, *cuts_of(out), "-o", tmp_path / "out"]
    assert run(tmp_path, *options, settings=FILE, prefixes=other) == 2
    assert "cuts in the gammaness of NetParticle, not of RefParticle" in capsys.readouterr().err
