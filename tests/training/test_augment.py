"""Augmentation: exact symmetries, noise with known moments."""

import numpy as np
import pytest
from scipy.stats import poisson

from ctapipe_gammalearn.exceptions import TrainingError
from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.simulation.camera import lstcam_positions
from ctapipe_gammalearn.training import augment
from ctapipe_gammalearn.training.augment import Augmentation, apply, augmentation_tables

from .made_up import FOCAL_LENGTH_M

NOTHING = Augmentation(rotate=False, dead_pixels=0.0, time_jitter_ns=0.0)
N = 400


@pytest.fixture(scope="module")
def lattice():
    """LST camera."""
    return CameraLattice.from_positions(*lstcam_positions().T)


def changed(lattice, settings, image=None, peak_time=None, seed=1):
    """Result of `apply`, and its arguments."""
    rng = np.random.default_rng(9)
    image = np.zeros((N, lattice.n_pixels), np.float32) if image is None else image
    if peak_time is None:
        peak_time = rng.uniform(0, 40, image.shape).astype(np.float32)
    vectors = rng.normal(0, 1, (2, len(image), 2)).astype(np.float32)
    before = image, peak_time, *vectors
    tables = augmentation_tables(lattice, settings)
    copies = [array.copy() for array in before]
    after = apply(*before, settings, tables, np.random.Generator(np.random.Philox(seed)))
    for array, copy in zip(before, copies, strict=True):
        np.testing.assert_array_equal(array, copy)  # arguments stay as they are
    return after, before


def settings(**values):
    """Nothing but the given changes."""
    return Augmentation.from_dict(NOTHING.to_dict() | values)


def test_nothing_is_nothing(lattice):
    after, before = changed(lattice, NOTHING)
    for a, b in zip(after, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("camera", ["lattice", "square"])
def test_direction_and_impact_turn_with_the_image(request, lattice, camera):
    """A source on a lit pixel, and an impact along it, stay there."""
    if camera == "square":
        x, y = np.mgrid[-4:5, -4:5].reshape(2, -1) * 0.05
        lattice = CameraLattice.from_positions(x, y, "square")
    rng = np.random.default_rng(3)
    pixel = rng.integers(lattice.n_pixels, size=N)
    image = np.zeros((N, lattice.n_pixels), np.float32)
    image[np.arange(N), pixel] = 100.0
    position = np.column_stack([lattice.pix_x, lattice.pix_y])
    direction = np.rad2deg(position[pixel] / FOCAL_LENGTH_M).astype(np.float32)
    impact = (-3 * direction).astype(np.float32)
    how = settings(rotate=True)
    tables = augmentation_tables(lattice, how)
    turned, times, source, ground = apply(
        image, 2 * image, direction, impact, how, tables, np.random.default_rng(4)
    )
    lit = turned.argmax(axis=1)
    assert (turned.sum(axis=1) == 100).all()
    expected = np.rad2deg(position[lit] / FOCAL_LENGTH_M)
    np.testing.assert_allclose(source, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ground, -3 * expected, rtol=0, atol=3e-5)
    np.testing.assert_array_equal(times, 2 * turned)
    angle = np.arctan2(*source.T) - np.arctan2(*direction.T)
    steps = np.rint(angle / (2 * np.pi / len(tables.permutations))) % len(tables.permutations)
    counts = np.bincount(steps[pixel != pixel.min()].astype(int))
    assert (counts > N / len(counts) / 2).all()  # every rotation occurs


def test_noise_of_lstchain_form_has_the_promised_moments(lattice):
    image = np.zeros((N, lattice.n_pixels), np.float32)
    image[:, ::2] = 50.0
    (after, *_), _ = changed(lattice, settings(nsb=[2.0, 2.0]), image)
    faint, bright = (after - image)[:, 1::2], (after - image)[:, ::2]
    error = np.sqrt(3 / faint.size)
    assert abs(faint.mean() - 0.33 * 2) < 4 * error
    assert abs(faint.var() - 2) < 8 * error
    assert abs(bright.mean()) < 4 * error
    assert abs(bright.var() - 2.4) < 8 * error


def test_noise_of_gammalearn_form_shifts_the_pedestal(lattice):
    (after, *_), _ = changed(lattice, settings(nsb=[1.5, 1.5], nsb_form="gammalearn"))
    error = np.sqrt(1.5 / after.size)
    assert abs(after.mean() - 1.5) < 4 * error
    assert (after == np.rint(after)).all()


@pytest.mark.parametrize("level", [0.01, 0.7, 3.0, 50.0])
def test_fast_poisson_numbers_have_the_right_probabilities(level):
    rng = np.random.default_rng(1)
    number = augment._poisson(np.full((200, 1), level, np.float32), (200, 5000), rng).ravel()
    error = 4 * np.sqrt(level / number.size)
    assert abs(number.mean() - level) < error + 1e-3 * level
    assert abs(number.var() / level - 1) < 4 * np.sqrt((2 + 1 / level) / number.size) + 2e-3
    most = int(level + 6 * np.sqrt(level) + 3)
    expected = poisson.pmf(np.arange(most), level)
    found = np.bincount(number, minlength=most)[:most] / number.size
    np.testing.assert_allclose(found, expected, rtol=0, atol=5 * np.sqrt(0.25 / number.size) + 2e-5)


def test_noise_level_is_one_for_each_image(lattice):
    (after, *_), _ = changed(lattice, settings(nsb=[0.0, 3.0]))
    level = after.var(axis=1)
    assert 0 <= level.min() < 0.3 < 2.7 < level.max() < 3.5
    assert abs(level.mean() - 1.5) < 4 * (3 / np.sqrt(12)) / np.sqrt(N)


def test_times_of_pixels_drowned_in_noise_are_redrawn(lattice):
    image = np.zeros((N, lattice.n_pixels), np.float32)
    image[:, :900] = 1000.0
    peak_time = np.full_like(image, 10.0)
    peak_time[:, -1] = 30.0
    (_, times, *_), _ = changed(lattice, settings(nsb=[3.0, 3.0]), image, peak_time)
    assert (times[:, :900] == 10.0).all()
    redrawn = times[:, 900:-1][times[:, 900:-1] != 10.0]
    assert len(redrawn) / times[:, 900:-1].size == pytest.approx(1 - np.exp(-3), abs=0.01)
    assert redrawn.min() >= 10
    assert redrawn.max() <= 30
    assert abs(redrawn.mean() - 20) < 0.1


def test_dead_pixels_and_modules_are_silent(lattice):
    image = np.full((N, lattice.n_pixels), 5, np.float32)
    (after, times, *_), _ = changed(lattice, settings(dead_pixels=0.1), image, 2 * image)
    np.testing.assert_array_equal(times, 2 * after)
    number = (after == 0).sum(axis=1)
    assert set(np.unique(after)) == {0, 5}
    assert number.max() <= 185
    assert abs(number.mean() - 185 / 2) < 15
    (after, *_), _ = changed(lattice, settings(dead_modules=3), image)
    number = (after == 0).sum(axis=1)
    assert set(number.tolist()) == {0, 7, 14, 21}


def test_time_jitter_has_the_promised_width(lattice):
    (_, times, *_), (_, before, *_) = changed(lattice, settings(time_jitter_ns=0.7))
    change = times - before
    assert abs(change.std() - 0.7) < 0.01
    assert abs(change.mean()) < 0.01


def test_throughput_is_one_factor_for_each_image(lattice):
    image = np.full((N, lattice.n_pixels), 5, np.float32)
    (after, *_), _ = changed(lattice, settings(throughput=[0.8, 1.2]), image)
    factor = after / 5
    assert np.ptp(factor, axis=1).max() == 0
    assert 0.8 <= factor.min() < 0.82
    assert 1.18 < factor.max() <= 1.2


def test_one_change_does_not_alter_the_numbers_of_another(lattice):
    (_, alone, *_), _ = changed(lattice, settings(time_jitter_ns=1.0))
    (_, both, *_), _ = changed(lattice, settings(time_jitter_ns=1.0, throughput=[0.5, 2.0]))
    np.testing.assert_array_equal(alone, both)


def test_same_generator_same_result(lattice):
    how = Augmentation(nsb=(0, 2), dead_modules=1, throughput=(0.9, 1.1))
    image = np.random.default_rng(1).normal(0, 3, (20, lattice.n_pixels)).astype(np.float32)
    one, other, third = (changed(lattice, how, image, seed=seed)[0] for seed in (1, 1, 2))
    for a, b, c in zip(one, other, third, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
        assert a.dtype == np.float32


def test_camera_without_symmetry_is_refused(hexagonal_camera):
    with pytest.raises(TrainingError, match="rotate: false"):
        augmentation_tables(hexagonal_camera, Augmentation())
    assert len(augmentation_tables(hexagonal_camera, NOTHING).permutations) == 1


def test_square_camera_has_no_such_modules(square_camera):
    with pytest.raises(TrainingError, match="dead_modules"):
        augmentation_tables(square_camera, settings(dead_modules=1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nsb": [1.0, 0.0]}, "nsb"),
        ({"nsb": [-1.0, 0.0]}, "nsb"),
        ({"nsb": [0.0, 51.0]}, "within 0 and 50"),
        ({"nsb_form": "ctlearn"}, "lstchain or gammalearn"),
        ({"dead_pixels": 2.0}, "dead_pixels is a fraction"),
        ({"throughput": [1.0]}, "throughput"),
        ({"rotation": True}, "unknown key rotation; known: rotate"),
    ],
)
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(TrainingError, match=message):
        Augmentation.from_dict(values)
