"""Electromagnetic cascades against theory, and the atmosphere they develop in."""

import numpy as np
import pytest

from ctapipe_gammalearn.simulation import kernels, validation
from ctapipe_gammalearn.simulation.atmosphere import LA_PALMA, Atmosphere, Site, load_profile
from ctapipe_gammalearn.simulation.cross_sections import K_CUT, X0, compton, tables
from ctapipe_gammalearn.simulation.electromagnetic import pair_fraction, radiate
from ctapipe_gammalearn.simulation.kernels import Ray
from ctapipe_gammalearn.simulation.optics import detection_efficiency
from ctapipe_gammalearn.simulation.reference import CORSIKA_LIGHT, tamm_belenky


@pytest.mark.parametrize(
    "energy, expected, tolerance",
    [(1000.0, 1.0, 0.02), (1.0, 1.077, 0.01), (0.1, 1.44, 0.02), (0.03, 2.11, 0.02)],
)
def test_pair_production_has_the_path_of_bethe_and_heitler(energy, expected, tolerance):
    path = validation.interaction_path(energy) / (9 / 7 * X0)
    assert path == pytest.approx(expected, abs=tolerance)


def test_compton_scattering_tends_to_thomson_at_low_energies():
    thomson = 0.6652e-24 * 6.022e23 * 0.499
    assert compton(1e-6) == pytest.approx(thomson * (1 - 2e-6 / 0.511e-3), rel=2e-3)


def test_cross_section_tables_are_finite_and_not_negative():
    assert np.isfinite(tables()).all()
    assert (tables() >= 0).all()


def test_profile_is_interpolated_between_its_rows():
    atmosphere = Atmosphere(LA_PALMA)
    altitude, density, overburden, refractivity = load_profile()
    rows = (altitude > 0) & (altitude < 50_000)
    grid = atmosphere.grid[(altitude[rows] / 100).astype(int)]
    np.testing.assert_allclose(grid[:, 0], density[rows], rtol=1e-6)
    np.testing.assert_allclose(grid[:, 1], overburden[rows], rtol=1e-6)
    np.testing.assert_allclose(grid[:, 2], refractivity[rows], rtol=1e-6)
    assert atmosphere.altitude_at(283.604) == pytest.approx(10_000, abs=2)


def test_extinction_has_the_stated_values_at_zenith():
    transmission = Atmosphere(LA_PALMA).transmission(*detection_efficiency())[0]
    above = (np.array([3, 5, 10, 15]) * 1e3 - LA_PALMA.observation_level) / 250
    found = np.interp(above, np.arange(len(transmission)), transmission)
    np.testing.assert_allclose(found, [0.90, 0.80, 0.69, 0.65], atol=0.02)


def test_extinction_grows_with_zenith_distance_and_aerosols():
    clear = Atmosphere(Site("clear", 2158.0, aerosol_depth=0.0))
    hazy = Atmosphere(Site("hazy", 2158.0, aerosol_depth=0.3))
    curve = detection_efficiency()
    assert (np.diff(clear.transmission(*curve)[:, 40]) < 0).all()
    assert (hazy.transmission(*curve)[:, 1:] < clear.transmission(*curve)[:, 1:]).all()


def test_field_components_follow_the_declination():
    site = Site.with_field("west", 0.0, 30e-6, 20e-6, -4.3)
    north, west, up = site.field
    assert np.hypot(north, west) == pytest.approx(30e-6)
    assert west > 0  # negative declination: magnetic north lies west of true north
    assert up == -20e-6


def test_random_numbers_are_uniform_and_open():
    rng = np.array([5], np.uint64)
    numbers = np.array([kernels.uniform(rng) for _ in range(20_000)])
    assert numbers.min() > 0
    assert numbers.max() < 1
    assert numbers.mean() == pytest.approx(0.5, abs=0.008)
    assert np.corrcoef(numbers[1:], numbers[:-1])[0, 1] == pytest.approx(0, abs=0.025)


def test_rejection_ends_where_no_phase_space_is_left():
    shower = validation.bare_shower()
    ray = Ray(0.0, 0.0, 10_000.0, 0.0, 0.0, -1.0, 0.0, 1.0)
    assert radiate(K_CUT * 1.0001, ray, shower) == 0
    assert K_CUT <= radiate(K_CUT * 1.101, ray, shower) <= K_CUT * 1.101
    assert 0 < pair_fraction(2.01 * 0.511e-3, shower) < 1


def test_first_interaction_is_nine_sevenths_of_a_radiation_length_deep():
    first, _ = validation.depths(30.0, 1500)
    assert first.mean() == pytest.approx(9 / 7 * X0, rel=0.08)


def test_depth_of_maximum_grows_by_a_radiation_length_per_e_fold():
    _, low = validation.depths(100.0, 400)
    _, high = validation.depths(1000.0, 120)
    assert high.mean() - low.mean() == pytest.approx(X0 * np.log(10), abs=20)


def test_track_length_follows_tamm_and_belenky():
    above = (0.0201, 0.081)
    found, error = validation.track_length(300.0, above, 12)
    expected = [tamm_belenky(limit) for limit in above]
    np.testing.assert_allclose(found, expected, rtol=0.03)
    assert (error < 0.05).all()


@pytest.mark.parametrize(
    "row", [CORSIKA_LIGHT[i] for i in (0, 1, 4)], ids=lambda row: f"{row[0]:.0f}GeV"
)
def test_showers_give_the_light_of_corsika(row):
    energy, zenith, x_max, photons, _ = row
    mean, sd = validation.photons_per_energy(energy, zenith, x_max, 150)
    assert photons == pytest.approx(mean, rel=0.03)
    assert sd / mean < 0.05
