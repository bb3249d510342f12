import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, SkyCoord
from ctapipe.coordinates import TelescopeFrame
from numpy.testing import assert_allclose
from sklearn.metrics import roc_auc_score

from ctapipe_gammalearn.training import metrics
from ctapipe_gammalearn.training.metrics import Results


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(11)


def toy(rng, n=4000, shift=1.0, blur=0.3):
    """Gammas and background with known spreads."""
    gamma = np.arange(n) < n // 2
    true_energy = rng.uniform(-2, 1, n)
    true_direction = rng.uniform(-1, 1, (n, 2))
    return Results(
        is_gamma=gamma,
        gammaness=1 / (1 + np.exp(-rng.normal(np.where(gamma, shift, 0), 1))),
        true_log10_energy=true_energy,
        log10_energy=true_energy + rng.normal(0, 0.1, n),
        true_direction=true_direction,
        direction=true_direction + rng.normal(0, blur, (n, 2)),
        energy_uncert=np.full(n, 0.1),
        direction_uncert=np.full(n, blur * np.sqrt(-2 * np.log(0.32))),
        intensity=10 ** rng.uniform(1.8, 4, n),
    )


def test_separation_in_the_camera_plane_is_the_angle_on_the_sky(rng):
    plane = rng.uniform(-4, 4, (2, 50, 2))
    x, y = np.deg2rad(plane).transpose(2, 0, 1)
    lon = np.arctan(y)
    lat = np.arctan(x * np.cos(lon))
    frame = TelescopeFrame(telescope_pointing=AltAz(alt=70 * u.deg, az=180 * u.deg))
    sky = SkyCoord(fov_lon=lon * u.rad, fov_lat=lat * u.rad, frame=frame)
    expected = sky[0].separation(sky[1]).to_value(u.deg)
    assert_allclose(metrics.angular_separation(*plane), expected, rtol=1e-9)


def test_tiny_separations_keep_their_digits():
    a = np.array([2.0, -1.0])
    step = 1e-7 * np.array([-1.0, -2.0]) / np.sqrt(5)  # at right angles to a
    r = np.deg2rad(np.hypot(*a))
    assert_allclose(metrics.angular_separation(a, a + step), 1e-7 / np.hypot(1, r), rtol=1e-5)


def test_psi68_of_a_gaussian_is_its_68_percent_radius(rng):
    r = np.hypot(*rng.normal(0, 0.2, (2, 200_000)))
    assert_allclose(metrics.psi68(r), 0.2 * np.sqrt(-2 * np.log(0.32)), rtol=0.01)


def test_bias_and_resolution_of_a_scaled_energy(rng):
    true = rng.uniform(-1, 1, 100_000)
    spread = rng.normal(0, 0.2, len(true))
    reco = true + np.log10(np.clip(1.3 + spread, 1e-3, None))
    bias, resolution = metrics.energy_bias_resolution(reco, true)
    assert_allclose(bias, 0.3, atol=0.005)
    assert_allclose(resolution, 0.2 * 0.9945, atol=0.005)  # 68 % of a normal distribution
    assert_allclose(metrics.median_abs_ln(true + np.log10(1.5), true), np.log(1.5), rtol=1e-12)


@pytest.mark.parametrize("digits", [8, 1], ids=["distinct", "ties"])
def test_auc_agrees_with_scikit_learn(rng, digits):
    signal, background = (
        np.round(rng.normal(1, 1, 300), digits),
        np.round(rng.normal(0, 1, 500), digits),
    )
    weights = rng.uniform(0.1, 3, 300), rng.uniform(0.1, 3, 500)
    label, score = np.repeat([1, 0], [300, 500]), np.concatenate([signal, background])
    assert_allclose(metrics.auc(signal, background), roc_auc_score(label, score), rtol=1e-12)
    expected = roc_auc_score(label, score, sample_weight=np.concatenate(weights))
    assert_allclose(metrics.auc(signal, background, *weights), expected, rtol=1e-12)


def test_background_left_above_the_cut():
    signal, background = np.linspace(0, 1, 1001), np.linspace(-1, 1, 20_001)
    assert_allclose(metrics.background_left(signal, background, 0.7), 0.35, atol=1e-3)


def test_a_score_without_information_leaves_half():
    constant = np.full(50, 0.4)
    assert metrics.background_left(constant, constant) == 0.5
    assert metrics.auc(constant, constant) == 0.5


def test_calibration_error_sees_overconfidence(rng):
    truth = rng.random(200_000)
    gamma = rng.random(len(truth)) < truth
    assert metrics.calibration_error(truth, gamma) < 0.01
    logit = np.log(truth / (1 - truth))
    assert metrics.calibration_error(1 / (1 + np.exp(-3 * logit)), gamma) > 0.1


def test_calibration_error_does_not_depend_on_the_number_of_protons(rng):
    truth = rng.random(100_000)
    gamma = rng.random(len(truth)) < truth
    few = gamma | (rng.random(len(truth)) < 0.1)
    assert metrics.calibration_error(truth[few], gamma[few]) < 0.02


def test_summary_of_known_spreads(rng):
    out = metrics.summary(toy(rng, 40_000))
    assert (out["n_gamma"], out["n_background"], out["valid_fraction"]) == (20_000, 20_000, 1.0)
    assert_allclose(out["auc"], 0.7602, atol=0.01)  # Phi(1 / sqrt 2)
    assert_allclose(out["psi68"], 0.453, atol=0.01)
    assert_allclose(out["direction_coverage"], 0.68, atol=0.02)
    assert_allclose(out["energy_coverage"], 0.683, atol=0.02)
    assert_allclose(out["median_abs_ln"], 0.1 * 0.6745 * np.log(10), atol=0.005)
    assert abs(out["ln_bias"]) < 0.01


def test_summary_has_no_keys_of_predictions_that_are_not_made(rng):
    whole = toy(rng, 100)
    out = metrics.summary(Results(is_gamma=whole.is_gamma, gammaness=whole.gammaness))
    assert "auc" in out
    assert not {"psi68", "energy_bias"} & set(out)


def test_rows_without_a_prediction_are_left_out_and_counted(rng):
    whole = toy(rng, 1000)
    holes = np.where(np.arange(1000) % 4 == 0, np.nan, 1.0)
    broken = Results(
        whole.is_gamma,
        whole.gammaness * holes,
        whole.true_log10_energy,
        whole.log10_energy * holes,
        whole.true_direction,
        whole.direction * holes[:, None],
    )
    out, kept = metrics.summary(broken), metrics.summary(whole.take(np.isfinite(holes)))
    assert out["valid_fraction"] == 0.75
    for key in ("auc", "psi68", "energy_resolution", "median_abs_ln", "calibration_error"):
        assert_allclose(out[key], kept[key], rtol=1e-12)


@pytest.mark.filterwarnings("error")
def test_nothing_in_gives_nan_without_warnings(rng):
    out = metrics.summary(toy(rng, 10).take(slice(0, 0)))
    assert out["n_gamma"] == 0
    assert np.isnan([v for k, v in out.items() if not k.startswith("n_")]).all()
