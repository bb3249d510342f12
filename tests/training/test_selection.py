"""Cleaning and cuts, against ctapipe."""

import astropy.units as u
import numpy as np
import pytest
from ctapipe.image import leakage_parameters, tailcuts_clean
from ctapipe.instrument import CameraGeometry, PixelShape

from ctapipe_gammalearn.exceptions import TrainingError
from ctapipe_gammalearn.io.cameras import load_camera, pixel_positions
from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.nn import InputSettings
from ctapipe_gammalearn.training.arrays import EVENT_DTYPE
from ctapipe_gammalearn.training.selection import (
    Cleaning,
    Selection,
    outer_rings,
    select,
    summaries,
)


def geometry_of(lattice):
    """A camera of ctapipe with the pixels of a lattice."""
    square = lattice.shape == "square"
    n = lattice.n_pixels
    return CameraGeometry(
        name="made up", pix_id=np.arange(n), pix_x=lattice.pix_x * u.m, pix_y=lattice.pix_y * u.m,
        pix_area=np.full(n, lattice.pitch_m**2 * (1 if square else 0.866)) * u.m**2,
        pix_type=PixelShape.SQUARE if square else PixelShape.HEXAGON,
        pix_rotation=0 * u.deg if square else "10d",
    )  # fmt: skip


@pytest.fixture(scope="module")
def lstcam():
    """LST camera: geometry and lattice."""
    geometry = load_camera("LSTCam")
    return geometry, CameraLattice.from_positions(*pixel_positions(geometry))


def images(geometry, n, seed=2):
    """Noise, blobs anywhere, single bright pixels, charges exactly at the thresholds."""
    rng = np.random.default_rng(seed)
    x, y = pixel_positions(geometry)
    centre = rng.choice(np.column_stack([x, y]), n)
    distance = np.hypot(x - centre[:, :1], y - centre[:, 1:])
    width = 2 * np.sqrt(np.median(geometry.pix_area.to_value(u.m**2)))
    blob = 10 ** rng.uniform(0, 2.5, (n, 1)) * np.exp(-0.5 * (distance / width) ** 2)
    image = np.round(rng.normal(0, 2, blob.shape) + blob, 1)
    image[rng.random(image.shape) < 0.01] = 8.0
    image[rng.random(image.shape) < 0.01] = 4.0
    return image.astype(np.float32)


def check(geometry, lattice, image, cleaning):
    """Compare with ctapipe image by image."""
    intensity, n_pixels, leakage = summaries(image, lattice, cleaning)
    for i, one in enumerate(image):
        mask = tailcuts_clean(
            geometry, one, cleaning.picture_pe, cleaning.boundary_pe,
            min_number_picture_neighbors=cleaning.min_neighbours,
        )  # fmt: skip
        assert n_pixels[i] == mask.sum()
        np.testing.assert_allclose(intensity[i], one[mask].sum(), rtol=1e-5, atol=1e-6)
        expected = (
            leakage_parameters(geometry, one, mask).intensity_width_2 if mask.any() else np.nan
        )
        np.testing.assert_allclose(leakage[i], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("min_neighbours", [0, 1, 2, 3])
def test_cleaning_and_leakage_are_those_of_ctapipe(lstcam, min_neighbours):
    geometry, lattice = lstcam
    image = images(geometry, 60)
    check(geometry, lattice, image, Cleaning(8.0, 4.0, min_neighbours))
    assert 5 < (summaries(image, lattice)[1] > 0).sum() <= 60


def test_square_pixels_have_the_neighbours_of_ctapipe(square_camera):
    geometry = geometry_of(square_camera)
    check(geometry, square_camera, images(geometry, 60), Cleaning(8.0, 4.0, 1))


def test_outer_rings_are_those_of_ctapipe(lstcam):
    geometry, lattice = lstcam
    for width in (1, 2, 3):
        np.testing.assert_array_equal(
            outer_rings(lattice, width), np.ravel(geometry.get_border_pixel_mask(width))
        )


def test_chunks_do_not_matter(lstcam):
    geometry, lattice = lstcam
    image = np.tile(images(geometry, 20), (60, 1))
    whole, part = summaries(image, lattice), summaries(image[1015:1035], lattice)
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_array_equal(a[1015:1035], b)


def test_input_settings_of_a_network_serve_as_thresholds(lstcam):
    geometry, lattice = lstcam
    image = images(geometry, 10)
    settings = InputSettings(picture_pe=6.0, boundary_pe=3.0, min_neighbours=1, focal_length_m=28.0)
    for a, b in zip(
        summaries(image, lattice, settings), summaries(image, lattice, Cleaning(6.0, 3.0, 1)),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(a, b)


def test_empty_image_has_no_leakage(hexagonal_camera):
    intensity, n_pixels, leakage = summaries(np.zeros((2, 89)), hexagonal_camera)
    assert intensity.tolist() == [0, 0]
    assert n_pixels.tolist() == [0, 0]
    assert np.isnan(leakage).all()
    assert [len(v) for v in summaries(np.zeros((0, 89)), hexagonal_camera)] == [0, 0, 0]


def test_cuts():
    events = np.zeros(6, EVENT_DTYPE)
    events["intensity"] = 50, 51, 100, 100, 100, 0
    events["n_pixels"] = 9, 9, 3, 4, 9, 0
    events["leakage"] = 0, 0, 0, 0.5, 0.51, np.nan
    assert select(events, Selection()).tolist() == [False, True, False, True, False, False]
    loosest = Selection(min_intensity=0, min_pixels=0, max_leakage=1)
    assert select(events, loosest).tolist() == [True] * 5 + [False]


def test_selection_survives_its_dictionary():
    selection = Selection(min_intensity=80.0)
    assert Selection.from_dict(selection.to_dict()) == selection
    with pytest.raises(TrainingError, match="unknown key max_leak; known: min_intensity"):
        Selection.from_dict({"max_leak": 1})
