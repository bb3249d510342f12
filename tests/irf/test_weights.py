import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pyirf.spectral import PowerLaw, calculate_event_weights
from scipy.integrate import quad

from ctapipe_gammalearn.exceptions import IRFError
from ctapipe_gammalearn.irf.samples import Sample, Thrown
from ctapipe_gammalearn.irf.weights import SPECTRA, event_weights, spectrum_named, thrown_flux

from .toy import pyirf_thrown

CRAB = SPECTRA["CRAB_MAGIC_JHEAP2015"]
POINT = (0.4, 0.4)
CONE = (0.0, 5.0)
LOG_E = np.log([0.01, 100])


def sample(cone, index=-2.0, n=500):
    """Events without a reconstruction, uniform in the cone."""
    rng = np.random.default_rng(3)
    low, high = np.cos(np.deg2rad(cone))
    return Sample(
        kind="gamma",
        thrown=Thrown(1e6, index, 0.01, 100.0, 800.0, *cone),
        true_energy=10 ** rng.uniform(-2, 2, n),
        true_offset=np.rad2deg(np.arccos(rng.uniform(high, low, n))),
        cluster=np.arange(n, dtype=np.uint64),
        quality=np.ones(n, dtype=bool),
        reconstructions={},
    )


def pyirf_simulated(thrown, hours=50):
    """The flux thrown, of pyirf."""
    return PowerLaw.from_simulation(pyirf_thrown(thrown), hours * u.hour)


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("index", [-2.0, -2.7, -1.5])
def test_weights_agree_with_pyirf(name, index):
    events = sample(POINT if "CRAB" in name else CONE, index)
    energy = events.true_energy * u.TeV
    expected = calculate_event_weights(energy, SPECTRA[name], pyirf_simulated(events.thrown))
    assert_allclose(event_weights(events, SPECTRA[name], 50), expected, rtol=1e-12)


def test_a_ring_of_diffuse_gammas_agrees_with_pyirf():
    events = sample(CONE)
    simulated = pyirf_simulated(events.thrown).integrate_cone(1 * u.deg, 2 * u.deg)
    expected = calculate_event_weights(events.true_energy * u.TeV, CRAB, simulated)
    inside = (events.true_offset >= 1) & (events.true_offset < 2)
    assert 0 < inside.sum() < len(inside)
    assert_allclose(event_weights(events, CRAB, 50, [1, 2])[inside], expected[inside], rtol=1e-12)


def test_events_outside_all_rings_weigh_nothing():
    events = sample(CONE)
    weights = event_weights(events, CRAB, 50, [1, 2, 3])
    outside = (events.true_offset < 1) | (events.true_offset >= 3)
    assert_array_equal(weights == 0, outside)


def test_each_ring_holds_the_whole_source_also_one_half_outside_the_cone():
    rings = [0, 1, 2, 4, 6, 8]
    events = sample(CONE, n=200_000)
    weights = event_weights(events, CRAB, 50, rings)
    # log-uniform energies: each stands for as many thrown as its density in them tells
    density = 1 / events.true_energy / np.log(1e4)
    thrown = events.true_energy**-2 / (100 - 0.01)
    weights *= thrown / density * 1e6 / 200_000
    found, _ = np.histogram(events.true_offset, rings, weights=weights)
    flux = quad(lambda x: np.exp(x) * CRAB(np.exp(x) * u.TeV).to_value("1/(m2 s TeV)"), *LOG_E)[0]
    expected = flux * np.pi * 800**2 * 50 * 3600
    assert_allclose(found[:4], expected, rtol=0.1)  # 8000 events in the first ring
    assert found[4] == 0


def test_flat_in_log_energy_is_no_nan():
    events = sample(POINT, index=-1.0)
    weights = event_weights(events, CRAB, 50)
    near = event_weights(sample(POINT, index=-1 - 1e-7), CRAB, 50)
    assert_allclose(weights, near, rtol=1e-5)


@pytest.mark.parametrize("index", [-2.0, -1.0])
@pytest.mark.parametrize("cone", [POINT, CONE], ids=["point", "cone"])
def test_thrown_flux_integrates_to_the_showers(index, cone):
    thrown = Thrown(1e6, index, 0.01, 100.0, 800.0, *cone)
    per_area = quad(lambda x: np.exp(x) * thrown_flux(thrown, np.exp(x)), *LOG_E)[0]
    showers = per_area * thrown.area * (1 if thrown.is_point else thrown.solid_angle)
    assert_allclose(showers, 1e6, rtol=1e-8)


def test_a_cone_thin_as_rounding_is_weighted_as_a_point():
    events = sample(POINT)
    thin = sample((0.4, 0.4 + 1e-7))
    assert_allclose(event_weights(thin, CRAB, 50), event_weights(events, CRAB, 50), rtol=1e-12)


def test_spectra_that_do_not_fit_the_sample_are_refused():
    proton = SPECTRA["IRFDOC_PROTON_SPECTRUM"]
    with pytest.raises(IRFError, match="give rings"):
        event_weights(sample(CONE), CRAB, 50)
    with pytest.raises(IRFError, match="choose the spectrum of a point source"):
        event_weights(sample(POINT), proton, 50)
    with pytest.raises(IRFError, match="increasing edges"):
        event_weights(sample(CONE), CRAB, 50, [1, 1])
    with pytest.raises(IRFError, match="choose one of CRAB_MAGIC"):
        spectrum_named("CRAB")


@pytest.mark.parametrize(
    "name, energy, ratio, digit",
    [("CRAB_HEGRA", 0.03, 5.34, 0.005), ("CRAB_HEGRA", 1.0, 0.88, 0.005)],
)
def test_the_choice_of_the_crab_matters(name, energy, ratio, digit):
    found = SPECTRA[name](energy * u.TeV) / CRAB(energy * u.TeV)
    assert_allclose(found.to_value(u.one), ratio, atol=digit)
