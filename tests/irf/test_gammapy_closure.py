"""gammapy finds our sensitivity, from nothing but our files of response functions."""

import warnings
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from numpy.testing import assert_allclose, assert_array_equal

from ctapipe_gammalearn.irf.comparison import joined, select_across
from ctapipe_gammalearn.irf.cuts import efficiency_cuts, fixed_cuts
from ctapipe_gammalearn.irf.fits import Grid, Responses, response_hdus, write_fits
from ctapipe_gammalearn.irf.metrics import bin_numbers
from ctapipe_gammalearn.irf.samples import RECO_EDGES, solid_angle
from ctapipe_gammalearn.irf.sensitivity import energy_flux, sensitivity
from ctapipe_gammalearn.irf.weights import SPECTRA, event_weights
from ctapipe_gammalearn.tools.irf_responses import TRUE_EDGES

from .toy import RING_DEG, toy

pytest.importorskip("gammapy")

from gammapy.data import FixedPointingInfo, Observation
from gammapy.datasets import SpectrumDataset, SpectrumDatasetOnOff
from gammapy.estimators import SensitivityEstimator
from gammapy.irf import EffectiveAreaTable2D, load_irf_dict_from_file
from gammapy.makers import SpectrumDatasetMaker
from gammapy.maps import MapAxis, RegionGeom
from gammapy.modeling.models import LogParabolaSpectralModel, SkyModel
from regions import CircleSkyRegion

HOURS, RING = 50, (0.0, 5.0)
GRID = Grid(
    true_edges=TRUE_EDGES, reco_edges=RECO_EDGES, rings=np.array([0.3, 0.5]),
    background_rings=np.array(RING), migration=np.geomspace(0.2, 5, 61),
    theta=np.linspace(0, 1.5, 151),
)  # fmt: skip
CRAB = SPECTRA["CRAB_MAGIC_JHEAP2015"]
BACKGROUND = {
    "proton": SPECTRA["IRFDOC_PROTON_SPECTRUM"],
    "electron": SPECTRA["IRFDOC_ELECTRON_SPECTRUM"],
}
CIRCLE_DEG = 0.15


@pytest.fixture(scope="module")
def events():
    """Samples and weights."""
    samples = toy(300_000, 1_500_000, 300_000, seed=8, scale={"dl": 1.0})
    weights = {k: event_weights(samples[k], s, HOURS) for k, s in BACKGROUND.items()}
    return samples, weights | {"gamma": event_weights(samples["gamma"], CRAB, HOURS)}


def cuts_for(point_like, samples, weights):
    """One gammaness, and a theta that varies in the point-like file."""
    chosen = fixed_cuts(0.5, CIRCLE_DEG)
    if point_like:
        theta = efficiency_cuts(samples, weights, "dl").theta_deg
        chosen = replace(chosen, theta_deg=np.nan_to_num(theta, nan=0.1))
    return chosen


@pytest.fixture(scope="module", params=[True, False], ids=["point-like", "full-enclosure"])
def case(request, events, tmp_path_factory):
    """A file, its kind, its cuts, and the events that they select."""
    samples, weights = events
    cuts = cuts_for(request.param, samples, weights)
    chosen = select_across(samples, weights, "dl", lambda *_: cuts, RING)
    background = joined([samples[k] for k in BACKGROUND], [weights[k] for k in BACKGROUND])
    reco, passing = background.reconstructions["dl"], chosen.background_above
    columns = {"energy": reco.energy, "offset": reco.offset, "weight": background.weight}
    columns = {name: column[passing] for name, column in columns.items()}
    gamma = samples["gamma"]
    behind = Responses(gamma, "dl", chosen.above, chosen.inside, columns, cuts, HOURS)
    path = tmp_path_factory.mktemp("irf") / "irf.fits.gz"
    write_fits(path, response_hdus(behind, GRID, request.param, {"TELESCOP": "toy"}))
    place = bin_numbers(gamma.reconstructions["dl"].energy, RECO_EDGES)
    place_background = bin_numbers(reco.energy, RECO_EDGES)
    inside, used = chosen.inside & (place >= 0), (chosen.on > 0) & (place_background >= 0)
    counts = {
        "signal": np.bincount(place[inside], weights["gamma"][inside], 21),
        "background": np.bincount(place_background[used], chosen.on[used], 21),
        "n_mc": np.bincount(place_background[used], minlength=21),
    }
    return path, request.param, cuts, counts


@pytest.fixture(scope="module")
def dataset(case):
    """What gammapy expects of the source, and background in the circle of the cuts."""
    path, point_like, cuts, _ = case
    pointing = SkyCoord(83.63, 22.01, unit="deg")
    region = CircleSkyRegion(
        pointing.directional_offset_by(0 * u.deg, RING_DEG * u.deg), CIRCLE_DEG * u.deg
    )
    energy = MapAxis.from_energy_edges(RECO_EDGES * u.TeV)
    true = MapAxis.from_energy_edges(TRUE_EDGES * u.TeV, name="energy_true")
    empty = SpectrumDataset.create(RegionGeom(region, axes=[energy]), energy_axis_true=true)
    observation = Observation.create(
        pointing=FixedPointingInfo(fixed_icrs=pointing), livetime=HOURS * u.h,
        irfs=load_irf_dict_from_file(path),
    )  # fmt: skip
    maker = SpectrumDatasetMaker(
        selection=["exposure", "edisp", "background"], containment_correction=not point_like
    )
    found = maker.run(empty, observation)
    circle = solid_angle(0, cuts.theta_deg) / solid_angle(0, CIRCLE_DEG)
    found.background.data *= circle[:, None, None]
    return SpectrumDatasetOnOff.from_spectrum_dataset(dataset=found, acceptance=1, acceptance_off=5)


def crab():
    """Spectrum of the weights, in gammapy's natural logarithm."""
    amplitude = 3.23e-11 / (u.TeV * u.cm**2 * u.s)
    return LogParabolaSpectralModel(
        amplitude=amplitude, alpha=2.47, beta=0.24 / np.log(10), reference=1 * u.TeV
    )


def test_gammapy_reads_all_without_a_warning(case):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load_irf_dict_from_file(case[0])
    expected = {"aeff", "edisp", "psf", "bkg"} | ({"rad_max"} if case[1] else set())
    assert set(found) == expected
    assert found["aeff"].is_pointlike == found["edisp"].is_pointlike == case[1]
    if case[1]:
        assert_allclose(found["rad_max"].quantity.to_value("deg").squeeze(), case[2].theta_deg)
    outside = found["aeff"].evaluate(energy_true=np.ones(4) * u.TeV, offset=[0, 0.2, 1, 4] * u.deg)
    assert_array_equal(outside.value, 0)


def test_effective_areas_survive_gammapy(case, tmp_path):
    area = load_irf_dict_from_file(case[0])["aeff"]
    area.write(tmp_path / "area.fits")
    again = EffectiveAreaTable2D.read(tmp_path / "area.fits", hdu="EFFECTIVE AREA")
    assert_allclose(again.quantity, area.quantity, rtol=1e-12)
    assert again.is_pointlike == area.is_pointlike


def test_gammapy_finds_our_sensitivity(case, dataset):
    counts = case[3]
    estimator = SensitivityEstimator(
        spectral_model=crab(), n_sigma=5, gamma_min=10, bkg_syst_fraction=0.05
    )
    theirs = estimator.run(dataset)["e2dnde"].quantity.to_value("erg / (cm2 s)")
    centre = np.sqrt(RECO_EDGES[1:] * RECO_EDGES[:-1])
    relative, _ = sensitivity(counts["signal"], counts["background"])
    ratio = theirs / (relative * energy_flux(CRAB, centre))
    used = counts["n_mc"] >= 2000
    assert used.sum() >= 8
    assert_allclose(ratio[used], 1, atol=0.05)
    assert_allclose(np.median(ratio[used]), 1, atol=0.03)


def test_gammapy_expects_the_signal_of_the_events(case, dataset):
    found = dataset.copy(name="crab")
    found.models = [SkyModel(crab(), name="crab")]
    ratio = found.npred_signal().data.squeeze() / case[3]["signal"]
    # 13 GeV to 13 TeV; above, few events
    assert_allclose(ratio[:15], 1, atol=0.03)
