"""Fixtures for all tests."""

import os
from pathlib import Path

import numpy as np
import pytest

from ctapipe_gammalearn.lattice import CameraLattice

REPOSITORY = Path(__file__).parents[1]


def shared_folder():
    """Folder of reference data beside the checkout (or at $GAMMALEARN_SHARED)."""
    return Path(os.environ.get("GAMMALEARN_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="session")
def shared():
    """Reference data that are no part of the repository; tests that need them skip."""
    folder = shared_folder()
    if not (folder / "reference").is_dir():
        pytest.skip("reference data folder is not there")
    return folder


@pytest.fixture(scope="session")
def golden():
    """Folder with the golden vectors of the original networks."""
    return REPOSITORY / "tests" / "data" / "golden"


@pytest.fixture(scope="session")
def hexagonal_camera():
    """A made-up hexagonal camera: 91 pixels in shuffled order, two missing inside."""
    row, column = np.mgrid[-5:6, -5:6].reshape(2, -1)
    inside = np.abs(row - column) <= 5
    inside &= ~((row == 1) & (column == 2)) & ~((row == -2) & (column == 0))
    row, column = row[inside], column[inside]
    e = lambda degree: np.array([np.cos(np.deg2rad(degree)), np.sin(np.deg2rad(degree))])  # noqa: E731
    xy = 0.05 * (column[:, None] * e(10.0) + row[:, None] * e(-110.0))
    xy = np.random.default_rng(3).permutation(xy)
    return CameraLattice.from_positions(xy[:, 0], xy[:, 1])


@pytest.fixture(scope="session")
def square_camera():
    """A made-up square camera: 12 x 10 pixels without corners, gaps between modules."""
    row, column = np.mgrid[0:10, 0:12].reshape(2, -1)
    corner = np.isin(row, (0, 9)) & np.isin(column, (0, 11))
    row, column = row[~corner], column[~corner]
    x = 0.006 * column + 0.0004 * (column // 4)
    y = 0.006 * row + 0.0004 * (row // 5)
    order = np.random.default_rng(4).permutation(len(x))
    return CameraLattice.from_positions(x[order], y[order], "square")


@pytest.fixture(scope="session")
def cameras(shared):
    """Every distinct camera geometry of the simtel files, by name and pixel order."""
    from ctapipe.io import EventSource

    found = {}
    for path in sorted((shared / "data" / "simtel").glob("*.simtel.*")):
        with EventSource(path, focal_length_choice="EQUIVALENT", max_events=1) as source:
            for telescope in source.subarray.tel.values():
                geometry = telescope.camera.geometry
                key = f"{geometry.n_pixels} pixels, {hash(geometry.pix_x.value.tobytes())}"
                found.setdefault(key, geometry)
    return found
