"""Square images of a camera: what linear interpolation must keep."""

import numpy as np
import pytest
from scipy.interpolate import LinearNDInterpolator

from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.nn import camera_mapping
from tests.helpers import golden_lattice


@pytest.fixture(scope="module")
def lstcam(golden):
    """LSTCam as a lattice."""
    return golden_lattice(golden, "lstcam")[0]


def table(mapping):
    """The interpolation as a matrix, shape (n_pixels, n_cells)."""
    result = np.zeros((mapping.n_pixels, np.prod(mapping.image_shape)))
    np.add.at(result, (mapping.pixel, mapping.cell), mapping.weight)
    return result


def grid(lattice):
    """Positions of the cells, shape (n_cells, 2), m, and whether each lies in a pixel."""
    n = max(lattice.matrix.shape)
    xy = np.column_stack([lattice.pix_x, lattice.pix_y])
    centre, half = (xy.max(0) + xy.min(0)) / 2, np.ptp(xy, axis=0).max() / 2
    row, column = np.indices((n, n)).reshape(2, -1)
    step = 2 * half / (n - 1)
    points = centre + step * np.column_stack([column, row]) - half
    distance = np.hypot(*(points[:, None] - xy).transpose(2, 0, 1))  # to every pixel
    return points, distance


def test_lst_camera_becomes_55_by_55(lstcam):
    mapping = camera_mapping(lstcam)
    assert mapping.image_shape == (55, 55)
    # cells are a little smaller than pixels: none is lost, none counts much less
    light = table(mapping).sum(1)
    assert light.min() > 0.3
    assert light.max() < 2.0


@pytest.mark.parametrize("camera", ["lstcam", "hexagonal_camera", "square_camera"])
def test_weights_of_a_cell_sum_to_one_in_the_camera_and_to_zero_outside(request, camera):
    lattice = request.getfixturevalue(camera)
    total = table(camera_mapping(lattice)).sum(0)
    _, distance = grid(lattice)
    nearest = distance.min(1) / lattice.pitch_m
    np.testing.assert_allclose(total[nearest < 0.49], 1, atol=1e-6)
    np.testing.assert_array_equal(total[nearest > 0.75], 0)
    assert np.all((np.abs(total - 1) < 1e-6) | (total == 0))
    assert camera_mapping(lattice).weight.min() > 0


def test_inside_it_is_the_interpolation_of_scipy(lstcam):
    mapping, (points, _) = camera_mapping(lstcam), grid(lstcam)
    field = np.random.default_rng(7).normal(size=lstcam.n_pixels)
    xy = np.column_stack([lstcam.pix_x, lstcam.pix_y])
    inside = np.hypot(*points.T) < 1.0  # m; the border begins at 1.1
    assert inside.sum() > 1500
    expected = LinearNDInterpolator(xy, field)(points[inside])
    # positions in the file are rounded to 10 um
    np.testing.assert_allclose((field @ table(mapping))[inside], expected, atol=2e-3)


def test_a_linear_field_is_reproduced_inside(lstcam):
    mapping, (points, _) = camera_mapping(lstcam), grid(lstcam)
    gradient = np.array([1.7, -0.9])  # per m
    field = 0.3 + gradient @ [lstcam.pix_x, lstcam.pix_y]
    difference = field @ table(mapping) - (0.3 + points @ gradient)
    assert np.abs(difference[np.hypot(*points.T) < 1.0]).max() < 2e-5
    # nearer to the border absent pixels pull a cell by less than a pitch
    seen = table(mapping).sum(0) > 0
    assert np.abs(difference[seen]).max() < lstcam.pitch_m * np.hypot(*gradient)


def test_only_the_nearest_pixels_count(lstcam):
    mapping, (_, distance) = camera_mapping(lstcam), grid(lstcam)
    assert np.bincount(mapping.cell).max() <= 3
    assert distance[mapping.cell, mapping.pixel].max() < lstcam.pitch_m * 1.001


def test_the_grid_follows_a_camera_off_the_origin_whatever_the_pixel_order(lstcam):
    order = np.random.default_rng(2).permutation(lstcam.n_pixels)
    moved = CameraLattice.from_positions(lstcam.pix_x[order] + 0.4, lstcam.pix_y[order] - 1.0)
    a, b = camera_mapping(lstcam), camera_mapping(moved)
    np.testing.assert_allclose(table(b), table(a)[order], atol=1e-3)
