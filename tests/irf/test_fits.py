"""Files of response functions: what is in them, and that other programs would accept it."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from ctapipe_gammalearn.exceptions import IRFError
from ctapipe_gammalearn.irf.cuts import fixed_cuts
from ctapipe_gammalearn.irf.fits import Grid, Responses, response_hdus, write_fits
from ctapipe_gammalearn.irf.samples import RECO_EDGES
from ctapipe_gammalearn.irf.weights import SPECTRA, event_weights

from .toy import area, exact_theta, passing, toy

CUT, OBS_TIME_H = 0.7, 50.0
GRID = Grid(
    true_edges=10.0 ** np.arange(-1.9, 2.31, 0.05),
    reco_edges=RECO_EDGES,
    rings=np.array([0.3, 0.5]),
    background_rings=np.arange(0.0, 6.0),
    migration=np.geomspace(0.2, 5, 61),
    theta=np.linspace(0, 1, 101),
)
CUTS = fixed_cuts(CUT, 0.2)
CUTS.theta_deg[20] = np.nan


@pytest.fixture(scope="module")
def responses():
    samples = toy(60_000, 40_000)
    gamma, proton = samples["gamma"], samples["proton"]
    reco, background = (s.reconstructions["ref"] for s in (gamma, proton))
    above, passing = (r.gammaness >= CUT for r in (reco, background))
    weight = event_weights(proton, SPECTRA["IRFDOC_PROTON_SPECTRUM"], OBS_TIME_H)
    columns = {"energy": background.energy, "offset": background.offset, "weight": weight}
    columns = {name: column[passing] for name, column in columns.items()}
    return Responses(gamma, "ref", above, above & (reco.theta < 0.2), columns, CUTS, OBS_TIME_H)


@pytest.fixture(scope="module")
def written(responses, tmp_path_factory):
    """Tables by (point_like, name), as read back, and their headers."""
    folder, out = tmp_path_factory.mktemp("irf"), {}
    for point_like in (True, False):
        path = folder / f"{point_like}.fits.gz"
        write_fits(path, response_hdus(responses, GRID, point_like, {"TELESCOP": "toy"}))
        with fits.open(path) as hdus:
            hdus.verify("exception")
            for hdu in hdus[1:]:
                out[point_like, hdu.name] = hdu.data.copy(), hdu.header.copy()
    return out


def test_each_file_holds_one_response_of_a_kind(written):
    names = ["EFFECTIVE AREA", "ENERGY DISPERSION", "PSF", "BACKGROUND"]
    assert [name for point_like, name in written if not point_like] == names
    assert [name for point_like, name in written if point_like] == [*names, "RAD_MAX"]


def test_nothing_is_infinite_or_missing(written):
    for data, _ in written.values():
        for name in data.names:
            assert np.isfinite(data[name]).all(), name


def test_area_is_the_exact_one(written):
    data, header = written[False, "EFFECTIVE AREA"]
    centre = np.sqrt(data["ENERG_LO"][0] * data["ENERG_HI"][0])
    used = (centre > 0.05) & (centre < 1)
    expected = area("gamma", centre) * passing("gamma", CUT)
    np.testing.assert_allclose(data["EFFAREA"][0, 0][used], expected[used], rtol=0.12)
    assert header["HDUCLAS3"] == "FULL-ENCLOSURE"
    assert written[True, "EFFECTIVE AREA"][1]["HDUCLAS3"] == "POINT-LIKE"


def test_theta_of_a_point_source_is_its_ring(written):
    data, _ = written[True, "EFFECTIVE AREA"]
    np.testing.assert_array_equal([data["THETA_LO"][0], data["THETA_HI"][0]], [[0.3], [0.5]])


def test_dispersion_is_a_probability_or_empty(written):
    data, _ = written[True, "ENERGY DISPERSION"]
    integral = np.sum(data["MATRIX"][0, 0] * np.diff(GRID.migration)[:, None], axis=0)
    assert np.all((np.abs(integral - 1) < 1e-9) | (integral == 0))
    assert np.sum(integral > 0) > 50


def test_spread_integrates_to_the_part_inside(written, responses):
    data, _ = written[False, "PSF"]
    ring = np.diff(2 * np.pi * (1 - np.cos(np.deg2rad(GRID.theta))))
    integral = np.sum(data["RPSF"][0, :, 0] * ring[:, None], axis=0)
    theta = responses.gamma.reconstructions["ref"].theta[responses.above]
    energy = responses.gamma.true_energy[responses.above]
    low, high = GRID.true_edges[10:12]
    inside = theta[(energy >= low) & (energy < high)] < 1
    assert np.all(integral < 1 + 1e-9)
    np.testing.assert_allclose(integral[10], np.mean(inside), rtol=1e-6)
    cumulated = np.cumsum(data["RPSF"][0, :, 0, 40] * ring)
    radius = np.interp(0.6827, cumulated, GRID.theta[1:])
    np.testing.assert_allclose(radius, exact_theta(*GRID.true_edges[40:42]), rtol=0.05)


def test_background_is_a_rate_per_energy_and_solid_angle(written, responses):
    data, header = written[True, "BACKGROUND"]
    assert u.Unit(header["TUNIT5"]) == u.Unit("MeV-1 s-1 sr-1")
    width = np.diff(RECO_EDGES) * 1e6
    omega = np.diff(2 * np.pi * (1 - np.cos(np.deg2rad(GRID.background_rings))))
    counts = data["BKG"][0] * omega[:, None] * width * OBS_TIME_H * 3600
    found = responses.background
    inside = (found["energy"] >= RECO_EDGES[0]) & (found["energy"] < RECO_EDGES[-1])
    inside &= found["offset"] < 5
    np.testing.assert_allclose(counts.sum(), found["weight"][inside].sum(), rtol=1e-6)


def test_bins_without_a_cut_let_nothing_pass(written):
    data, _ = written[True, "RAD_MAX"]
    np.testing.assert_allclose(data["RAD_MAX"][0, 0], np.nan_to_num(CUTS.theta_deg))


def test_header_cards_are_in_each_table(written):
    assert all(header["TELESCOP"] == "toy" for _, header in written.values())


def test_diffuse_gammas_have_an_area_in_each_ring():
    from dataclasses import replace

    rng = np.random.default_rng(1)
    gamma = toy(40_000, 0)["gamma"]
    cone = np.cos(np.deg2rad(2.0))
    offset = np.rad2deg(np.arccos(rng.uniform(cone, 1, len(gamma))))
    thrown = replace(gamma.thrown, viewcone_min=0.0, viewcone_max=2.0)
    gamma = replace(gamma, thrown=thrown, true_offset=offset)
    grid = replace(GRID, rings=np.array([0.0, 1.0, 2.0, 3.0]), true_edges=np.array([0.1, 0.3, 1]))
    everything = np.ones(len(gamma), bool)
    nothing = dict.fromkeys(("energy", "offset", "weight"), np.zeros(0))
    responses = Responses(gamma, "ref", everything, everything, nothing, CUTS, 1.0)
    data = response_hdus(responses, grid, False, {})[0].data["EFFAREA"][0]
    np.testing.assert_allclose(data[0], data[1], rtol=0.1)
    np.testing.assert_array_equal(data[2], 0)


def test_existing_files_stay(responses, tmp_path):
    path = tmp_path / "irf.fits"
    path.write_text("mine")
    with pytest.raises(IRFError, match="exists already"):
        write_fits(path, [])
    assert path.read_text() == "mine"


def test_nothing_is_left_of_a_file_with_a_hole(responses, tmp_path):
    hdu = response_hdus(responses, GRID, True, {})[0]
    hdu.data["EFFAREA"][0, 0, 3] = np.nan
    with pytest.raises(IRFError, match="EFFECTIVE AREA EFFAREA: not finite"):
        write_fits(tmp_path / "irf.fits", [hdu])
    assert not list(tmp_path.iterdir())
