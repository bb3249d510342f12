"""Selections in files of cuts, and cuts of images, against ctapipe's own tools."""

import json

import numpy as np
import pytest
import yaml
from astropy.table import Table
from ctapipe.core import run_tool
from ctapipe.io import read_table, write_table
from ctapipe.irf import OptimizationResult
from ctapipe.tools.compute_irf import IrfTool as CtapipeTool
from packaging.version import Version

from ctapipe_gammalearn.compat import CTAPIPE_VERSION
from ctapipe_gammalearn.io.dl2_events import read_sample
from ctapipe_gammalearn.irf.cuts import fixed_cuts
from ctapipe_gammalearn.irf.cuts_file import cuts_hdus, read_cuts
from ctapipe_gammalearn.irf.fits import write_fits
from ctapipe_gammalearn.irf.metrics import effective_area
from tests.irf.dl2 import GROUPS, PREFIXES, write_dl2
from tests.irf.test_ctapipe_agreement import CONFIG, TRUE, run_ctapipe
from tests.irf.toy import toy
from tests.tools.test_irf import benchmark, run

FILE = {"cuts_mode": "file"}
NET = PREFIXES["dl"]
VALID = [(part, f"{prefix}_is_valid") for part, prefix in NET.items()]
STRICT = [
    ("two telescopes", "np.count_nonzero(NetGeometry_telescopes, axis=1) >= 2"),
    ("energy", "NetEnergy_energy > 0.3"),
    ("energy", "RefEnergy_energy < 20"),
]


@pytest.fixture(scope="module")
def dl2(tmp_path_factory):
    """Options that give files of gammas, protons and electrons of one to four telescopes."""
    folder = tmp_path_factory.mktemp("dl2")
    options = []
    for kind, sample in toy(8000, 8000, 2000, seed=6).items():
        write_dl2(folder / f"{kind}.dl2.h5", sample, n_tels=1 + np.arange(len(sample)) % 4)
        options += [f"--{kind}", folder / f"{kind}.dl2.h5"]
    return options


def write_cuts(path, criteria, suffix=""):
    """A file of fixed cuts for each reconstructor, as options; criteria of the network's."""
    options = []
    for name, prefix, texts in (("ref", "RefParticle", []), ("dl", "NetParticle", criteria)):
        hdus = cuts_hdus(fixed_cuts(0.5, 0.3), prefix + suffix, texts, (0.3, 0.5))
        write_fits(path / f"{name}.fits", hdus, overwrite=True, finite=False)
        options += ["--cuts", path / f"{name}.fits"]
    return options


def selected_area(path, cuts, level="subarray", criteria=None):
    """Effective area of the network after cuts."""
    selections = {"network": criteria} if criteria else None
    sample = read_sample([path], "gamma", {"network": NET}, level, criteria=selections)[0]
    passes = cuts.select(sample.reconstructions["network"])
    return effective_area(sample.true_energy[passes], sample.thrown, TRUE)["area"]


def test_a_selection_of_the_file_chooses_the_events_that_ctapipe_chooses(dl2, tmp_path):
    options = write_cuts(tmp_path, VALID + STRICT)
    run_ctapipe(
        dl2[1].parent, CtapipeTool, "gamma", cuts=options[-1], spatial_selection_applied=True,
        output=tmp_path / "irf.fits", benchmark_output=tmp_path / "b.fits",
    )  # fmt: skip
    theirs = Table.read(tmp_path / "irf.fits", hdu="EFFECTIVE AREA")["EFFAREA"].squeeze()
    cuts = read_cuts(options[-1])[0]
    area = selected_area(dl2[1], cuts, criteria=STRICT)
    np.testing.assert_allclose(area, theirs, rtol=1e-9)
    assert area.sum() < 0.8 * selected_area(dl2[1], cuts).sum()


def test_the_selection_is_applied_told_and_passed_on(dl2, tmp_path, capsys):
    assert run(
        tmp_path, *dl2, *write_cuts(tmp_path, VALID), "-o", tmp_path / "a", settings=FILE
    ) == 0  # fmt: skip
    assert "have to pass" not in capsys.readouterr().out
    options = write_cuts(tmp_path, VALID + STRICT[:1])
    assert run(tmp_path, *dl2, *options, "-o", tmp_path / "b", settings=FILE) == 0
    assert "events of network have to pass 'two telescopes'" in capsys.readouterr().out
    n = {f: benchmark(tmp_path / f, "signal", "network")["n"].sum() for f in "ab"}
    assert abs(n["b"] / n["a"] - 0.75) < 0.02
    ours, theirs = (benchmark(tmp_path / f, "signal", "reference")["n"] for f in "ab")
    np.testing.assert_array_equal(ours, theirs)
    assert STRICT[0] in read_cuts(tmp_path / "b/cuts_network.fits")[2]
    settings = json.loads((tmp_path / "b/summary.json").read_text())["settings"]
    assert settings["criteria"] == {"network": [list(STRICT[0])]}


@pytest.mark.parametrize(
    "text", ["Nothing_energy > 1", "NetEnergy_energy >", "np.nothing(NetEnergy_energy)", "row"]
)
def test_a_selection_that_cannot_be_applied_is_refused(text, dl2, tmp_path, capsys):
    options = write_cuts(tmp_path, [("q", text)])
    code = run(tmp_path, *dl2, *options, "-o", tmp_path / "out", settings=FILE)
    assert code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "gamma.dl2.h5: a criterion" in error or "no expression" in error
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def images(dl2, tmp_path_factory):
    """Options as ``dl2``, with the same results at the level of one telescope."""
    for path in dl2[1::2]:
        for prefixes in PREFIXES.values():
            for part, group in GROUPS.items():
                prefix = prefixes[part]
                table = read_table(path, f"/dl2/event/subarray/{group}/{prefix}")
                table.remove_column(f"{prefix}_telescopes")
                for name in table.colnames[2:]:
                    table.rename_column(name, name.replace(prefix, f"{prefix}_tel"))
                table.add_column(np.ones(len(table), np.int16), 2, "tel_id")
                write_table(table, path, f"/dl2/event/telescope/{group}/{prefix}/tel_001")
    return [*dl2, "--level", "telescope"]


def test_cuts_of_images_are_read_by_ctapipe_and_come_back(images, tmp_path):
    settings = {"cuts_mode": "efficiency", "efficiency": 0.7}
    assert run(tmp_path, *images, "-o", tmp_path / "a", settings=settings) == 0
    cuts = [w for n in ("reference", "network") for w in ("--cuts", tmp_path / f"a/cuts_{n}.fits")]
    assert run(tmp_path, *images, *cuts, "-o", tmp_path / "b", settings=FILE) == 0
    theirs = OptimizationResult.read(tmp_path / "a/cuts_network.fits")
    assert theirs.clf_prefix == "NetParticle_tel"
    expected = [(f"valid {part}", f"{prefix}_tel_is_valid") for part, prefix in NET.items()]
    assert [tuple(c) for c in theirs.quality_query.quality_criteria] == expected
    theirs.write(tmp_path / "again.fits", overwrite=True)
    ours, again = (
        read_cuts(p) for p in (tmp_path / "a/cuts_network.fits", tmp_path / "again.fits")
    )
    assert ours[1:] == again[1:]
    np.testing.assert_array_equal(ours[0].gammaness, again[0].gammaness)
    np.testing.assert_array_equal(ours[0].theta_deg, again[0].theta_deg)
    # those of another level are not for these
    other = write_cuts(tmp_path, VALID)
    assert run(tmp_path, *images, *other, "-o", tmp_path / "c", settings=FILE) == 2


def test_a_selection_of_images(images, tmp_path):
    strict = [("energy", "NetEnergy_tel_energy > 0.3")]
    cuts = read_cuts(write_cuts(tmp_path, [], "_tel")[-1])[0]
    area = selected_area(images[1], cuts, "telescope", strict)
    np.testing.assert_array_equal(area, selected_area(images[1], cuts, criteria=STRICT[1:2]))


@pytest.mark.skipif(
    Version(CTAPIPE_VERSION) >= Version("0.31"),
    reason="since 0.31 ctapipe asks for telescopes, which tables of images do not have",
)
def test_ctapipe_makes_the_same_response_of_images(images, tmp_path):
    options = write_cuts(tmp_path, [(p, f"{x}_tel_is_valid") for p, x in NET.items()], "_tel")
    config = CONFIG | {
        "DL2EventLoader": {"event_reader_function": "read_telescope_events_chunked"},
        "DL2EventPreprocessor": {
            "energy_reconstructor": "NetEnergy_tel", "geometry_reconstructor": "NetGeometry_tel",
            "gammaness_classifier": "NetParticle_tel",
        },
    }  # fmt: skip
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    argv = ["--config", tmp_path / "c.yaml", "--cuts", options[-1], "--spatial-selection-applied"]
    argv += ["--output", tmp_path / "irf.fits"]
    for kind in ("gamma", "proton", "electron"):
        argv += [f"--{kind}-file", images[1].parent / f"{kind}.dl2.h5"]
    run_tool(CtapipeTool(), argv=[str(word) for word in argv], cwd=tmp_path)
    theirs = Table.read(tmp_path / "irf.fits", hdu="EFFECTIVE AREA")["EFFAREA"].squeeze()
    area = selected_area(images[1], read_cuts(options[-1])[0], "telescope")
    np.testing.assert_allclose(area, theirs, rtol=1e-9)
