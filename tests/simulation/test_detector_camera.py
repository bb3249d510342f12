"""Cameras made from facts, their trigger modules and pixel tables."""

import numpy as np
import pytest

from ctapipe_gammalearn.exceptions import SimulationError
from ctapipe_gammalearn.io.cameras import load_camera
from ctapipe_gammalearn.simulation.array import ARRAYS, built_in_array
from ctapipe_gammalearn.simulation.camera import lstcam, nectarcam, pixel_lookup
from ctapipe_gammalearn.simulation.trigger import module_groups, tile_modules


@pytest.fixture(scope="module")
def camera():
    return lstcam()


def test_lst_pixels_stand_where_the_real_ones_do_in_the_same_order(camera):
    geometry = load_camera("LSTCam")
    np.testing.assert_allclose(camera.pix_x, geometry.pix_x.to_value("m"), rtol=0, atol=2e-5)
    np.testing.assert_allclose(camera.pix_y, geometry.pix_y.to_value("m"), rtol=0, atol=2e-5)
    assert camera.pitch == pytest.approx(0.05, abs=1e-6)


def test_lst_camera_is_tiled_by_265_modules_and_474_trigger_groups(camera):
    module = tile_modules(camera.plane, camera.pitch)
    assert np.array_equal(np.bincount(module), np.full(265, 7))
    assert module_groups(camera.plane, module).shape == (474, 3)


def test_tiling_does_not_depend_on_the_pixel_order(camera):
    order = np.random.default_rng(1).permutation(camera.n_pixels)
    module = tile_modules(camera.plane, camera.pitch)
    shuffled = tile_modules(camera.plane[order], camera.pitch)
    pairs = {(a, b) for a, b in zip(module[order], shuffled, strict=True)}
    assert len(pairs) == 265


def test_camera_without_exact_tiling_gets_modules_at_its_border(hexagonal_camera):
    plane = np.column_stack([hexagonal_camera.pix_x, hexagonal_camera.pix_y])
    module = tile_modules(plane, hexagonal_camera.pitch_m)
    size = np.bincount(module)
    assert size.sum() == len(plane)
    assert size.min() >= 7 - 2  # two pixels are missing inside
    assert len(module_groups(plane, module)) > 0


def test_square_pixels_are_refused(square_camera):
    plane = np.column_stack([square_camera.pix_x, square_camera.pix_y])
    with pytest.raises(SimulationError, match="hexagonal"):
        tile_modules(plane, square_camera.pitch_m)


def test_every_pixel_has_its_share_of_the_lookup_table(camera):
    table, cell, half_width = pixel_lookup(camera)
    assert len(table) * cell == pytest.approx(2 * half_width)
    area = np.bincount(table[table >= 0], minlength=camera.n_pixels) * cell**2
    hexagon = camera.pitch**2 * np.sqrt(3) / 2
    np.testing.assert_allclose(area, hexagon, rtol=0.1)
    index = ((camera.plane + half_width) / cell).astype(int)
    assert np.array_equal(table[index[:, 0], index[:, 1]], np.arange(camera.n_pixels))


@pytest.mark.parametrize("name", ARRAYS)
def test_built_in_arrays(name):
    array = built_in_array(name)
    n = {"1LST": 1, "4LST": 4, "4LST+MST": 13}[name]
    assert array.n_tel == len(array.positions) == len(array.cameras) == len(array.optics) == n
    assert len({id(c) for c in array.cameras}) == len({c.name for c in array.cameras})


def test_pulses_have_the_published_shape():
    for make, area in ((lstcam, 3.65), (nectarcam, 2.66)):
        camera = make()
        assert camera.pulse.max() == 1
        assert camera.pulse.sum() * camera.pulse_step_ns == pytest.approx(area, abs=0.02)
