"""Noise, pulses, trigger, charge and time of camera images."""

from dataclasses import replace

import numpy as np
import pytest

from ctapipe_gammalearn.simulation.camera import lstcam, nectarcam
from ctapipe_gammalearn.simulation.data_like import DataLike, make_response
from ctapipe_gammalearn.simulation.electronics import Electronics, Response, ideal_response


@pytest.fixture(scope="module")
def lst():
    return Electronics(lstcam(), seed=1)


@pytest.fixture(scope="module")
def quiet():
    """An LST camera without any noise."""
    return Electronics(replace(lstcam(), noise=0.0), seed=1, nsb_range=(0.0, 0.0))


@pytest.fixture(scope="module")
def light():
    """Photo-electrons of a compact flash: pixels and times (ns)."""
    rng = np.random.default_rng(3)
    return rng.integers(0, 40, 800), rng.normal(300.0, 0.5, 800)


def equal_gains(camera):
    return ideal_response(camera.n_pixels, gain_spread=0.0)


def test_same_seed_same_image_other_seed_other_image(lst, light):
    response = ideal_response(1855)
    first, again, other = (lst.observe(*light, seed, response) for seed in (5, 5, 6))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.peak_time, again.peak_time)
    assert not np.array_equal(first.image, other.image)
    assert np.array_equal(first.true_image, other.true_image)


def test_pixels_with_night_sky_alone_look_as_in_prod5(lst, light):
    """Mean and spread as in LST-1 to LST-4 of prod-5: 1.71-1.76 and 1.40-1.49 p.e."""
    images = [lst.observe(*light, seed, ideal_response(1855)) for seed in range(20)]
    charge = np.concatenate([i.image[i.true_image == 0] for i in images])
    time = np.concatenate([i.peak_time[i.true_image == 0] for i in images])
    assert charge.mean() == pytest.approx(1.7, abs=0.15)
    assert charge.std() == pytest.approx(1.4, abs=0.15)
    quantiles = np.quantile(time, [0.05, 0.5, 0.95])
    np.testing.assert_allclose(quantiles, [1.2, 18.6, 36.6], rtol=0, atol=1.5)


def test_without_noise_the_image_has_all_the_charge(quiet, light):
    images = [quiet.observe(*light, seed, equal_gains(quiet.camera)) for seed in range(20)]
    true, seen = (np.sum([getattr(i, n).sum() for i in images]) for n in ("true_image", "image"))
    assert true == 20 * 800
    assert seen == pytest.approx(true, rel=0.02)


def test_peak_times_follow_the_light_and_the_pixel_delays(quiet):
    pixels = np.repeat([0, 1], 500)
    times = np.where(pixels == 0, 50.0, 56.0)
    late = equal_gains(quiet.camera)
    late.delay[0] = 3.0
    plain = quiet.observe(pixels, times, 1, equal_gains(quiet.camera))
    delayed = quiet.observe(pixels, times, 1, late)
    assert plain.peak_time[1] - plain.peak_time[0] == pytest.approx(6.0, abs=0.2)
    assert delayed.peak_time[1] - delayed.peak_time[0] == pytest.approx(3.0, abs=0.2)


def test_bright_pixels_saturate(quiet):
    pixels, times = np.zeros(60_000, int), np.zeros(60_000)
    image = quiet.observe(pixels, times, 1, equal_gains(quiet.camera))
    assert image.true_image[0] == 60_000
    assert 3000 < image.image[0] < 12_000


def test_trigger_is_half_efficient_near_85_photo_electrons(lst):
    """Compact flashes: the prod-5 configuration says 50 % at 70 p.e."""
    rng = np.random.default_rng(0)
    group = np.flatnonzero(np.isin(lst.module, lst.groups[0]))
    found = dict.fromkeys((35, 85, 150), 0)
    for n in found:
        for seed in range(60):
            pixels, times = rng.choice(group, n), rng.normal(0, 1.8, n)
            found[n] += lst.observe(pixels, times, seed, ideal_response(1855)) is not None
    assert found[35] <= 3
    assert 15 < found[85] <= 60
    assert found[150] == 60


def test_dark_camera_does_not_trigger(lst):
    empty = np.zeros(0, int), np.zeros(0)
    assert all(lst.observe(*empty, seed, ideal_response(1855)) is None for seed in range(200))


def test_dead_pixels_are_empty_and_do_not_trigger(lst, light):
    response = ideal_response(1855)
    response.gain[:40] = 0.0
    assert lst.observe(*light, 1, response) is None
    response = ideal_response(1855)
    response.gain[:7] = 0.0
    image = lst.observe(*light, 1, response)
    assert not image.image[:7].any()
    assert not image.peak_time[:7].any()
    assert image.true_image[:7].all()


def test_noise_level_can_change_from_event_to_event(light):
    electronics = Electronics(lstcam(), seed=1, nsb_range=(0.5, 4.0))
    spread = {}
    for level in (0.5, 1.0, 2.3, 4.0):
        images = [electronics.observe(*light, s, ideal_response(1855), level) for s in range(5)]
        spread[level] = np.concatenate([i.image[i.true_image == 0] for i in images]).std()
    assert spread[0.5] < spread[1.0] < spread[2.3] < spread[4.0]
    number = electronics._bank_number(np.array([0.5, 1.3, 4.0]))
    low = np.floor(number).astype(int)
    part = number - low
    up = np.minimum(low + 1, len(electronics.levels) - 1)
    mean = (1 - part) * electronics.levels[low] + part * electronics.levels[up]
    np.testing.assert_allclose(mean, [0.5, 1.3, 4.0], rtol=1e-9)


def test_data_like_pixels():
    camera = lstcam()
    settings = DataLike(
        nsb_gradient=0.5, stars=2, dead_pixels=0.02, dead_modules=3, time_offset_ns=1.0
    )
    response = make_response(camera, settings, np.random.default_rng(1))
    again = make_response(camera, settings, np.random.default_rng(1))
    assert np.array_equal(response.gain, again.gain)
    assert 3 * 7 <= response.dead.sum() < 3 * 7 + 80
    assert response.delay.std() == pytest.approx(1.0, rel=0.1)
    assert response.nsb.max() > 1.5
    assert response.nsb.min() == pytest.approx(0.75, abs=0.05)


def test_ideal_camera_has_no_defects():
    response = make_response(lstcam(), DataLike(), np.random.default_rng(1))
    assert not response.dead.any()
    assert not response.delay.any()
    assert np.all(response.nsb == 1)
    assert isinstance(response, Response)


def test_other_cameras_get_a_threshold_by_their_noise(light):
    electronics = Electronics(nectarcam(), seed=1)
    assert 25 < electronics.settings[0] < 40
    image = electronics.observe(*light, 1, ideal_response(1855))
    assert image.image[:40].sum() == pytest.approx(800, rel=0.15)
    assert 10 < np.median(image.peak_time[:40]) < 30
