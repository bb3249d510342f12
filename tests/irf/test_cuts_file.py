"""Files of cuts: ctapipe reads ours, and what is no file of cuts is refused."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from ctapipe.irf import OptimizationResult
from numpy.testing import assert_allclose, assert_array_equal

from ctapipe_gammalearn.exceptions import IRFError
from ctapipe_gammalearn.irf.cuts import efficiency_cuts, fixed_cuts
from ctapipe_gammalearn.irf.cuts_file import MORE_BINS, cuts_hdus, read_cuts
from ctapipe_gammalearn.irf.fits import write_fits
from ctapipe_gammalearn.irf.samples import RECO_EDGES, Reconstruction

from .toy import toy

CRITERIA = [("valid energy", "NetEnergy_is_valid")]
RING = (0.3, 0.5)


def write(path, cuts):
    """Write a file of cuts."""
    write_fits(path, cuts_hdus(cuts, "NetParticle", CRITERIA, RING), overwrite=True, finite=False)
    return path


@pytest.fixture(scope="module")
def chosen():
    """Cuts, some bins of which nothing passes, and the events of which they were chosen."""
    samples = toy(4000, 0, scale={"dl": 1.0})
    weights = {"gamma": np.ones(4000)}
    return efficiency_cuts(samples, weights, "dl"), samples["gamma"].reconstructions["dl"]


@pytest.fixture
def path(tmp_path, chosen):
    return write(tmp_path / "cuts.fits", chosen[0])


def test_cuts_come_back_as_they_were(path, chosen):
    cuts, classifier, criteria = read_cuts(path)
    assert classifier == "NetParticle"
    assert criteria == CRITERIA
    inner = slice(MORE_BINS, -MORE_BINS)
    assert_array_equal(cuts.edges[inner], RECO_EDGES)
    for name in ("gammaness", "gamma_efficiency", "theta_efficiency"):
        assert_array_equal(getattr(cuts, name)[inner], getattr(chosen[0], name))
    assert_allclose(cuts.theta_deg[inner], chosen[0].theta_deg, rtol=2e-9)
    assert 5 < np.isnan(cuts.gammaness[inner]).sum() < 20
    assert_array_equal(cuts.evaluable_in(RECO_EDGES), chosen[0].evaluable)
    assert_array_equal(cuts.select(chosen[1]), chosen[0].select(chosen[1]))


def test_edges_are_equal_steps_that_go_on_beyond_the_range(path):
    steps = np.diff(np.log(read_cuts(path)[0].edges))
    assert len(steps) == len(RECO_EDGES) - 1 + 2 * MORE_BINS
    assert_allclose(steps, 0.2 * np.log(10), rtol=1e-9)


def test_energies_beyond_the_table_fail_as_in_ctapipe(tmp_path):
    cuts, _, _ = read_cuts(write(tmp_path / "cuts.fits", fixed_cuts(0.5, 0.2)))
    energy = cuts.edges[[0, -1]] * [[0.999, 0.999], [1.001, 1.001]]
    columns = np.full((3, 4), [[0.9], [0.1], [0.4]])
    found = Reconstruction(energy.ravel(), *columns, np.ones(4, bool))
    assert_array_equal(cuts.select(found), [False, True, True, False])


def test_ctapipe_reads_our_file(path, chosen):
    found = OptimizationResult.read(path)
    assert found.clf_prefix == "NetParticle"
    assert found.quality_query.quality_criteria == CRITERIA
    assert u.isclose(found.valid_energy.min, RECO_EDGES[0] * u.TeV)
    assert u.isclose(found.valid_offset.max, RING[1] * u.deg)
    inner, good = slice(MORE_BINS, -MORE_BINS), chosen[0].evaluable
    score, theta = (t["cut"][inner] for t in (found.gh_cuts, found.spatial_selection_table))
    assert_array_equal(score[good], chosen[0].gammaness[good])
    assert_allclose(theta[good].to_value(u.deg), chosen[0].theta_deg[good], rtol=2e-9)
    # it interpolates theta, and a NaN would stop it
    assert np.isinf(score[~good]).all()
    assert np.isfinite(theta).all()


def test_cuts_in_telescopes_come_back(tmp_path, chosen):
    fewest = np.repeat([2.0, 3.0], [10, 11])
    cuts = fixed_cuts(0.5, 0.2)
    cuts = type(cuts)(**{**vars(cuts), "multiplicity": fewest, "beyond": False})
    found, _, _ = read_cuts(write(tmp_path / "cuts.fits", cuts))
    assert_array_equal(found.multiplicity, fewest)
    assert_array_equal(found.edges, RECO_EDGES)
    columns = [np.full(3, v) for v in (1.0, 0.9, 0.1, 0.4)]
    seen = Reconstruction(*columns, np.ones(3, bool), np.array([1, 2, 3]))
    assert_array_equal(found.select(seen), [False, True, True])
    with pytest.raises(IRFError, match="no column _telescopes"):
        found.select(chosen[1])


def test_bins_of_other_edges_meet_several_cuts(path):
    cuts, _, _ = read_cuts(path)
    good = cuts.edges[:-1][cuts.evaluable]
    low, high = good[0], cuts.edges[np.flatnonzero(cuts.evaluable)[-1] + 1]
    edges = np.array([cuts.edges[0] / 2, low, (low * high) ** 0.5, high, cuts.edges[-1]])
    assert_array_equal(cuts.evaluable_in(edges), [False, True, True, False])


def change(path, name, edit):
    """Replace a table, or take it away."""
    with fits.open(path) as hdus:
        kept = [hdu.copy() for hdu in hdus if hdu.name != name]
        if edit:
            table = QTable.read(hdus[name])
            kept.append(fits.BinTableHDU(edit(table), name=name))
        fits.HDUList(kept).writeto(path, overwrite=True)


def other_bins(table):
    return table[1:]


def gap(table):
    return table[[0, 2, 3]]


def in_seconds(table):
    table["cut"] = np.asarray(table["cut"]) * u.s
    return table


def without_cut(table):
    table.remove_column("cut")
    return table


def without_classifier(table):
    table.meta.pop("CLFNAME")
    return table


@pytest.mark.parametrize(
    "name, edit, message",
    [
        ("RAD_MAX", None, "no table RAD_MAX"),
        ("GH_CUTS", None, "no table GH_CUTS"),
        ("RAD_MAX", other_bins, "bins of RAD_MAX are not those of GH_CUTS"),
        ("GH_CUTS", gap, "bins with gaps"),
        ("RAD_MAX", in_seconds, "cut in s, not deg"),
        ("GH_CUTS", without_cut, "no column cut"),
        ("GH_CUTS", without_classifier, "CLFNAME"),
    ],
)
def test_what_is_no_file_of_cuts_is_refused_in_one_line(path, name, edit, message):
    change(path, name, edit)
    with pytest.raises(IRFError, match=message) as caught:
        read_cuts(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # of astropy
@pytest.mark.parametrize("part", [0.0, 0.2, 0.5, 0.55, 0.6, 0.7, 0.85])
def test_a_cut_off_file_is_refused(path, part):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))] or b"SIMPLE")
    with pytest.raises(IRFError, match=r"damaged|no table"):
        read_cuts(path)
