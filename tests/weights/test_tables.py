import numpy as np
import pytest

from ctapipe_gammalearn.exceptions import LatticeError
from ctapipe_gammalearn.weights.tables import by_pixel, check_neighbours, walk


@pytest.mark.parametrize("camera", ["hexagonal_camera", "square_camera"])
def test_walking_gives_the_index_matrix(request, camera):
    lattice = request.getfixturevalue(camera)
    check_neighbours(lattice.neighbours, lattice.shape)
    np.testing.assert_array_equal(walk(lattice.neighbours, lattice.shape), lattice.matrix)


def test_golden_tables(golden):
    for name in ("lstcam", "tiny"):
        table = np.load(golden / f"lattice_{name}.npz")
        neighbours = table["neighbours_cv0"].astype(int)
        check_neighbours(neighbours)
        np.testing.assert_array_equal(walk(neighbours), table["index_matrix0"])


def test_by_pixel_puts_the_centre_in_order(lattice):
    np.testing.assert_array_equal(by_pixel(lattice.neighbours)[3], np.arange(61))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: t[:6], "shape"),
        (lambda t: t[:, :0], "shape"),
        (lambda t: np.where(t == 60, 61, t), "outside"),
        (lambda t: np.where(t == -1, -2, t), "outside"),
        (lambda t: np.where(t == 60, 0, t), "permutation"),
        (lambda t: t[[1, 0, 2, 3, 4, 5, 6]], "symmetric"),
        (lambda t: np.concatenate([np.full_like(t[:1], -1), t[1:]]), "symmetric"),
    ],
)
def test_impossible_tables(lattice, change, text):
    with pytest.raises(LatticeError, match=text):
        check_neighbours(change(lattice.neighbours))


def test_camera_in_pieces():
    table = np.full((7, 2), -1)
    table[3] = 0, 1
    check_neighbours(table)
    with pytest.raises(LatticeError, match="pieces"):
        walk(table)
