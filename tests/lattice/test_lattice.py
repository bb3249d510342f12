"""Lattices and tables against the golden ones, indexedconv and ctapipe's neighbours."""

import indexedconv.utils as reference
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctapipe_gammalearn.exceptions import LatticeError
from ctapipe_gammalearn.lattice import TAPS, CameraLattice, match_positions, pooling_table
from tests.helpers import golden_lattice

CAMERAS = ["hexagonal_camera", "square_camera"]


def neighbour_pairs(lattice):
    """Boolean matrix of next neighbours from the first layer's table."""
    pairs = np.zeros((lattice.n_pixels,) * 2, dtype=bool)
    for tap, other in zip(TAPS[lattice.shape], lattice.neighbours, strict=True):
        if tap == (0, 0) or (lattice.shape == "square" and all(tap)):
            continue
        real = other >= 0
        pairs[lattice.scan_order[real], other[real]] = True
    return pairs


@pytest.mark.parametrize("name", ["lstcam", "tiny"])
def test_tables_equal_the_golden_ones(golden, name):
    lattice, file = golden_lattice(golden, name)
    np.testing.assert_array_equal(lattice.matrix, file["index_matrix0"])
    np.testing.assert_array_equal(lattice.neighbours, file["neighbours_cv0"])
    n_compared = 0
    for i, level in enumerate(lattice.levels(3)):
        for key, ours in {
            f"index_matrix_level{i}": level.matrix,
            f"neighbours_level{i}": level.neighbours(),
            f"neighbours_level{i}_stride2": level.neighbours(2),
        }.items():
            if key in file:
                np.testing.assert_array_equal(ours, file[key])
                n_compared += 1
    assert n_compared >= 5


def test_other_rotation_is_the_other_golden_lattice(golden):
    lattice, file = golden_lattice(golden, "lstcam")
    other = CameraLattice.from_positions(lattice.pix_x, lattice.pix_y, rotation_deg=40.893)
    np.testing.assert_array_equal(other.matrix, file["index_matrix0_pix_rotation_40p893"])
    assert other.sha256 != lattice.sha256


def test_table_follows_a_shuffled_pixel_order(golden):
    lattice, _ = golden_lattice(golden, "lstcam")
    order = np.random.default_rng(0).permutation(lattice.n_pixels)
    shuffled = CameraLattice.from_positions(
        lattice.pix_x[order], lattice.pix_y[order], rotation_deg=lattice.rotation_deg
    )
    np.testing.assert_array_equal(order[shuffled.matrix[shuffled.matrix >= 0]], lattice.scan_order)


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("stride", [1, 2])
def test_tables_equal_those_of_indexedconv(request, camera, stride):
    lattice = request.getfixturevalue(camera)
    for level in lattice.levels(3):
        matrix = torch.as_tensor(level.matrix, dtype=torch.float)[None, None]
        kind = {"hexagonal": "Hex", "square": "Square"}[lattice.shape]
        expected = reference.neighbours_extraction(matrix, kind, stride=stride)
        np.testing.assert_array_equal(level.neighbours(stride), expected)


@pytest.mark.parametrize("camera", CAMERAS)
def test_pooling_equals_that_of_indexedconv(request, camera):
    lattice = request.getfixturevalue(camera)
    matrix = torch.as_tensor(lattice.levels(1)[0].matrix, dtype=torch.float)[None, None]
    expected = reference.neighbours_extraction(matrix, "Pool", stride=2)
    ours = pooling_table(lattice.levels(1)[0].matrix)
    # indexedconv pads nothing: blocks that stick out of the matrix do not exist
    np.testing.assert_array_equal(ours, expected)
    pooled = reference.pool_index_matrix(matrix, "Hex", stride=2)[0, 0]
    np.testing.assert_array_equal(lattice.levels(2)[1].matrix, pooled)


def test_every_real_camera_has_ctapipes_neighbours(cameras):
    assert len(cameras) >= 7
    for name, geometry in cameras.items():
        shape = "square" if geometry.pix_type.value == "square" else "hexagonal"
        lattice = CameraLattice.from_positions(
            geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m"), shape
        )
        assert np.array_equal(neighbour_pairs(lattice), geometry.neighbor_matrix), name


def test_one_lstcam_in_three_pixel_orders_gives_one_network_input(cameras):
    sets = [g for g in cameras.values() if g.n_pixels == 1855]
    assert len(sets) >= 3
    model = CameraLattice.from_positions(sets[0].pix_x.to_value("m"), sets[0].pix_y.to_value("m"))
    for other in sets[1:]:
        x, y = other.pix_x.to_value("m"), other.pix_y.to_value("m")
        order = match_positions(model.pix_x, model.pix_y, x, y, 0.0005)
        np.testing.assert_allclose(x[order], model.pix_x, rtol=0, atol=2e-5)


@pytest.mark.parametrize("camera", CAMERAS)
def test_every_tap_is_one_displacement_of_one_pitch(request, camera):
    lattice = request.getfixturevalue(camera)
    xy = np.column_stack([lattice.pix_x, lattice.pix_y])
    for tap, other in zip(TAPS[lattice.shape], lattice.neighbours, strict=True):
        real = other >= 0
        step = xy[other[real]] - xy[lattice.scan_order[real]]
        spread = 1e-9 if lattice.shape == "hexagonal" else 0.0005  # module gaps
        assert np.ptp(step, axis=0).max() < spread, tap


@given(angle=st.floats(-180, 180), shift=st.floats(-1, 1))
def test_lattice_turns_with_the_camera(angle, shift):
    """A rotated, shifted camera has the same tables when its rotation is given."""
    row, column = np.mgrid[0:6, 0:5].reshape(2, -1)
    x, y = column - row / 2, -row * np.sqrt(3) / 2
    z = (x + 1j * y) * np.exp(1j * np.deg2rad(angle)) + shift
    plain = CameraLattice.from_positions(x, y, rotation_deg=0.0)
    turned = CameraLattice.from_positions(z.real, z.imag, rotation_deg=angle)
    np.testing.assert_array_equal(turned.neighbours, plain.neighbours)


@pytest.mark.parametrize("rotation", [0.0, 10.0, 30.0])
def test_rotation_off_the_axes_is_refused(golden, rotation):
    lattice, _ = golden_lattice(golden, "lstcam")
    with pytest.raises(LatticeError, match="no axis of this lattice"):
        CameraLattice.from_positions(lattice.pix_x, lattice.pix_y, rotation_deg=rotation)


@pytest.mark.parametrize(
    "x, y",
    [
        ([0.0, 1.0], [0.0, 0.0]),
        ([0.0, 1.0, np.nan, 2.0], [0.0] * 4),
        ([0.0, 0.0, 1.0, 2.0], [0.0] * 4),
        (np.random.default_rng(1).random(60), np.random.default_rng(2).random(60)),
    ],
    ids=["too few", "nan", "coinciding", "random"],
)
def test_positions_without_lattice_are_refused(x, y):
    with pytest.raises(LatticeError):
        CameraLattice.from_positions(np.array(x), np.array(y))


def test_camera_with_one_displaced_pixel_is_refused(hexagonal_camera):
    x = hexagonal_camera.pix_x.copy()
    x[5] += 0.01
    with pytest.raises(LatticeError, match="off its lattice point"):
        CameraLattice.from_positions(x, hexagonal_camera.pix_y)


def test_foreign_camera_does_not_match(hexagonal_camera):
    x, y = hexagonal_camera.pix_x, hexagonal_camera.pix_y
    with pytest.raises(LatticeError, match="pixels instead of"):
        match_positions(x, y, x[:-1], y[:-1], 0.005)
    with pytest.raises(LatticeError, match="not where the model expects"):
        match_positions(x, y, x + 0.01, y, 0.005)
