"""Light of showers and muons, and the reflectors."""

import numpy as np
import pytest

from ctapipe_gammalearn.simulation import light, validation
from ctapipe_gammalearn.simulation.kernels import View
from ctapipe_gammalearn.simulation.optics import LST, MST, NORMALISATION
from ctapipe_gammalearn.simulation.reference import MUON_LIGHT, PROD_3
from ctapipe_gammalearn.simulation.shower import simulate_shower

from .scenes import lst_plane, telescope_scene

DOWN = (0.0, 0.0, -1.0)


def test_light_pool_has_its_hump_at_120_m():
    radii = [60, 80, 100, 120, 140, 160]
    density, _ = validation.photon_density(100.0, radii, 250)
    assert density[0] == pytest.approx(13.0, abs=2.0)  # photons per m², 300-600 nm
    assert 100 <= radii[int(density.argmax())] <= 120
    assert density[5] < 0.7 * density[3]


def focal_spot(kind, offset_deg, n=20_000, focus=None):
    """Centroid and 80 % radius (m) of a star's light at an offset in altitude."""
    scene = telescope_scene()
    optics = scene.optics[kind].copy()
    cell, half = 0.002, 1.5
    optics[light.CELL], optics[light.HALF], optics[light.COS_FOV] = cell, half, -1.0
    if focus is not None:
        optics[light.FOCUS] = focus
    size = int(2 * half / cell)
    codes = np.tile(np.arange(size, dtype=np.int16)[:, None], (1, size))
    found = []
    angle = np.deg2rad(offset_deg)
    k = -np.array([np.sin(angle) * scene.axes[0] + np.cos(angle) * scene.axes[2]])[0]
    shower, points = validation.bare_shower(3), np.random.default_rng(1)
    for table in (codes, codes.T.copy()):
        view = View(
            np.zeros((1, 3)), np.zeros(1, np.int64), scene.axes, optics[None], table[None],
            scene.transmission, scene.yields, scene.hits,
        )  # fmt: skip
        x, y = points.uniform(-13, 13, (2, n))
        start = x[:, None] * scene.axes[0] + y[:, None] * scene.axes[1] - 100 * k
        hits = [light.trace(*r, *k, optics, view, 0, shower)[0] for r in start]
        found.append((np.array([h for h in hits if h >= 0]) + 0.5) * cell - half)
    return found[0].mean(), found[1].mean(), found[0].std(), len(found[0]) / n * 26**2


@pytest.mark.parametrize("kind, model", [(0, LST), (1, MST)], ids=["LST", "MST"])
def test_stars_land_where_the_effective_focal_length_says(kind, model):
    a, b, _, _ = focal_spot(kind, 1.0)
    assert a / np.tan(np.deg2rad(1.0)) == pytest.approx(model.effective_focal_length, rel=0.01)
    assert b == pytest.approx(0, abs=0.002)


@pytest.mark.parametrize("kind, model", [(0, LST), (1, MST)], ids=["LST", "MST"])
def test_mirrors_focus_stars_within_a_pixel_and_have_their_area(kind, model):
    _, _, width, area = focal_spot(kind, 0.0, focus=0.0)
    assert np.rad2deg(width / model.focal_length) < 0.03
    body = (2 * model.camera_half_width) ** 2
    hexagons = model.n_facets * np.sqrt(3) / 2 * model.facet_pitch**2
    assert area == pytest.approx(hexagons - body, rel=0.05)


def muon_hits(distance, seed, energy=100.0):
    """Hits of a vertical muon that starts at 570 g/cm² and falls beside a telescope."""
    scene = telescope_scene()
    start = float(scene.atmosphere.altitude_at(570.0))
    place = np.array([[distance, 0.0, 0.0]])
    return simulate_shower(scene, 2, energy, DOWN, place, [0], seed, start_altitude=start).hits


def fitted_circle(x, y):
    """Centre and radius of the least-squares circle."""
    design = np.column_stack([2 * x, 2 * y, np.ones(len(x))])
    a, b, c = np.linalg.lstsq(design, x**2 + y**2, rcond=None)[0]
    return a, b, np.sqrt(c + a * a + b * b)


def test_muon_rings_are_round_and_have_the_cherenkov_angle():
    scene, plane = telescope_scene(), lst_plane()
    index = np.interp(2700.0, scene.atmosphere.altitude, scene.atmosphere.grid[:, 2])
    angle = np.rad2deg(np.arccos(1 / (1 + index) / np.sqrt(1 - (0.1057 / 100) ** 2)))
    circles = []
    for seed in range(8):
        own = plane[muon_hits(3.0, seed)[:, 1].astype(int)]
        circles.append(np.rad2deg(np.array(fitted_circle(*own.T)) / LST.effective_focal_length))
    mean = np.mean(circles, axis=0)
    np.testing.assert_allclose(mean[:2], 0, atol=0.03)  # multiple scattering of eight muons
    assert 0.96 < mean[2] / angle < 1.0


@pytest.mark.parametrize("distance, expected", MUON_LIGHT)
def test_muons_give_the_photo_electrons_of_the_public_files(distance, expected):
    hits = [len(muon_hits(distance, seed)) for seed in range(60)]
    found = np.mean(hits) * PROD_3 / NORMALISATION
    assert found == pytest.approx(expected, rel=0.10)


def test_muons_below_the_threshold_are_dark():
    assert len(muon_hits(3.0, 1, energy=4.5)) == 0
