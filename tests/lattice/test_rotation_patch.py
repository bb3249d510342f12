"""Rotations of a camera onto itself, and patches around its pixels."""

import numpy as np
import pytest

from ctapipe_gammalearn.exceptions import LatticeError
from ctapipe_gammalearn.lattice import (
    CameraLattice,
    patch_lattice,
    patch_table,
    rotation_permutations,
)

CAMERAS = {"hexagonal": 6, "square": 4}


def camera(shape):
    """Camera around the origin, its pixels in random order."""
    i, j = np.mgrid[-4:5, -4:5].reshape(2, -1)
    if shape == "hexagonal":
        z = (j + i * np.exp(-2j * np.pi / 3))[np.abs(i - j) <= 4]
    else:
        z = (j - 1j * i)[i**2 + j**2 < 18]
    z = np.random.default_rng(3).permutation(0.05 * z * np.exp(0.3j))
    return CameraLattice.from_positions(z.real, z.imag, shape)


@pytest.mark.parametrize("shape", CAMERAS)
def test_rotated_image_has_its_light_at_the_rotated_place(shape):
    lattice = camera(shape)
    symmetry = CAMERAS[shape]
    table = rotation_permutations(lattice)
    assert table.shape == (symmetry, lattice.n_pixels)
    image = np.random.default_rng(1).uniform(0, 1, lattice.n_pixels) ** 20
    z = lattice.pix_x + 1j * lattice.pix_y
    for k in range(symmetry):
        turned = (image[table[k]] * z).sum()
        expected = (image * z).sum() * np.exp(2j * np.pi * k / symmetry)
        assert turned == pytest.approx(expected, abs=1e-3 * lattice.pitch_m)


@pytest.mark.parametrize("shape", CAMERAS)
def test_rotations_are_a_group(shape):
    table = rotation_permutations(camera(shape))
    np.testing.assert_array_equal(table[0], np.arange(table.shape[1]))
    for k in range(len(table)):
        np.testing.assert_array_equal(table[1][table[k]], table[(k + 1) % len(table)])


def test_camera_without_symmetry_is_refused():
    x, y = camera("hexagonal").pix_x, camera("hexagonal").pix_y
    keep = x < x.max() - 1e-6
    lattice = CameraLattice.from_positions(x[keep], y[keep])
    with pytest.raises(LatticeError, match="no rotation by 60 degrees"):
        rotation_permutations(lattice)


@pytest.mark.parametrize("size", [4, 5])
@pytest.mark.parametrize("shape", CAMERAS)
def test_patch_cells_are_the_pixels_at_their_positions(shape, size):
    lattice = camera(shape)
    patch, table = patch_lattice(lattice, size), patch_table(lattice, size)
    assert table.shape == (lattice.n_pixels, size * size)
    camera_z = lattice.pix_x + 1j * lattice.pix_y
    patch_z = patch.pix_x + 1j * patch.pix_y
    for pixel in range(lattice.n_pixels):
        expected = camera_z[pixel] + patch_z
        distance = np.abs(expected[:, None] - camera_z)
        there = distance.min(1) < 0.1 * lattice.pitch_m
        np.testing.assert_array_equal(table[pixel] < lattice.n_pixels, there)
        np.testing.assert_array_equal(table[pixel][there], distance[there].argmin(1))


def test_patch_is_a_lattice_of_the_same_orientation():
    whole = camera("hexagonal")
    patch = patch_lattice(whole, 6)
    again = CameraLattice.from_positions(patch.pix_x, patch.pix_y, "hexagonal", whole.rotation_deg)
    assert again.sha256 == patch.sha256
    assert again.pitch_m == pytest.approx(patch.pitch_m)
