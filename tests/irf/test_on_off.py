"""On and off regions: geometry, counts of published data, live time, paired test."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.coordinates import angular_separation
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from ctapipe_gammalearn.exceptions import IRFError
from ctapipe_gammalearn.irf.on_off import (
    Pairs,
    combine,
    count,
    cut_at_background,
    live_time,
    off_regions,
    paired_difference,
    pairs_in,
    reach,
)
from ctapipe_gammalearn.irf.sensitivity import li_ma_significance

CRAB = np.deg2rad([83.633083, 22.0145])
HESS = (23523, 23526, 23559, 23592)
HESS_CUT_DEG = 0.11


def pointing_at(offset_deg, angle=0.3):
    """Direction ``offset_deg`` from the source."""
    east, north = np.deg2rad(offset_deg) * np.array([np.sin(angle), np.cos(angle)])
    return CRAB[0] + east / np.cos(CRAB[1]), CRAB[1] + north


@pytest.fixture(scope="module")
def hess(shared):
    """Runs of the H.E.S.S. test data release: pointing and reconstruction."""
    folder = shared / "reference" / "performance" / "hess_dl3_dr1"
    runs = []
    for obs_id in HESS:
        with fits.open(folder / f"hess_dl3_dr1_obs_id_{obs_id:06d}.fits.gz") as hdus:
            events, header = hdus["EVENTS"].data, hdus["EVENTS"].header
            ra, dec = (np.deg2rad(events[c].astype(float)) for c in ("RA", "DEC"))
            energy = events["ENERGY"].astype(float)
        pointing = np.deg2rad([header["RA_PNT"], header["DEC_PNT"]])
        n = len(ra)
        runs.append(SimpleNamespace(pointing=pointing, events=SimpleNamespace(
            ra=ra, dec=dec, energy=energy, gammaness=np.ones(n), valid=np.ones(n, bool),
        )))  # fmt: skip
    return runs


def hess_counts(runs, n_off):
    """Counts and alphas of all runs, with at most ``n_off`` regions."""
    on, off, alpha = [], [], []
    for run, most in zip(runs, n_off, strict=True):
        regions = off_regions(run.pointing, CRAB, HESS_CUT_DEG, most)
        n = len(run.events.ra)
        pairs = pairs_in(run.events, np.zeros(n, int), CRAB, [regions], HESS_CUT_DEG, np.ones(n))
        n_on, n_out = count(pairs, 1)
        on.append(int(n_on[0, 0]))
        off.append(int(n_out[0, 0]))
        alpha.append(1 / len(regions))
    return on, off, alpha


@pytest.mark.parametrize(
    "n_off, off, excess, significance",
    [(1, [15, 15, 7, 13], 648, 25.881), (3, [58, 49, 36, 46], 635, 33.542)],
)
def test_hess_crab_counts_and_significance(hess, n_off, off, excess, significance):
    n_on, n_out, alpha = hess_counts(hess, [n_off] * 4)
    assert n_on == [189, 199, 168, 142]
    assert n_out == off
    found = combine(n_on, n_out, alpha)
    assert found["excess"] == pytest.approx(excess, abs=1e-9)
    assert found["significance"] == pytest.approx(significance, abs=1e-3)


def test_the_alpha_of_one_run_is_not_that_of_all(hess):
    """Runs at 0.5 and 1.5 deg with 11 and 39 regions: one alpha for all is off by 7 sigma."""
    n_on, n_off, alpha = hess_counts(hess, [11, 11, 39, 39])
    assert np.round(1 / np.array(alpha)).tolist() == [11, 11, 39, 39]
    found = combine(n_on, n_off, alpha)
    assert found["significance"] == pytest.approx(42.9, abs=0.2)
    wrong = li_ma_significance(found["n_on"], found["n_off"], alpha[-1])
    assert wrong - found["significance"] > 7
    # the right alpha gives the background back
    assert found["alpha"] * found["n_off"] == pytest.approx(found["background"], rel=1e-12)


@pytest.mark.parametrize(
    "n_on, n_off, alpha, expected",
    [
        (10, 0, 0.2, 5.98625), (50, 100, 0.2, 4.96850), (100, 100, 0.5, 4.85351),
        (5, 100, 0.2, -3.76545),
    ],
)  # fmt: skip
def test_significance_of_one_run(n_on, n_off, alpha, expected):
    found = combine([n_on], [n_off], [alpha])
    assert found["significance"] == pytest.approx(expected, abs=1e-4)
    assert found["excess"] == pytest.approx(n_on - alpha * n_off)
    assert found["error"] == pytest.approx(np.sqrt(n_on + alpha**2 * n_off))


def test_no_counts_are_no_significance():
    found = combine([0, 0], [0, 0], [0.5, 0.25])
    assert found["significance"] == 0
    assert 0.25 <= found["alpha"] <= 0.5


@given(
    offset=st.floats(0.2, 4.0), ratio=st.floats(1.5, 20.0), n_max=st.integers(0, 12),
    angle=st.floats(0, 6.3),
)  # fmt: skip
def test_regions_have_the_offset_of_the_source_and_keep_apart(offset, ratio, n_max, angle):
    pointing = pointing_at(offset, angle)
    offset = np.rad2deg(angular_separation(*pointing, *CRAB))
    radius = offset / ratio * (1 - 1e-9)
    regions = off_regions(pointing, CRAB, radius, n_max)
    assert len(regions) >= 1
    assert not n_max or len(regions) <= n_max
    away = np.rad2deg(angular_separation(*pointing, *regions.T))
    np.testing.assert_allclose(away, offset, rtol=1e-9)
    to_source = np.rad2deg(angular_separation(*CRAB, *regions.T))
    assert to_source.min() >= 3 * radius * (1 - 1e-7)
    if len(regions) > 1:
        i, j = np.triu_indices(len(regions), 1)
        between = np.rad2deg(angular_separation(*regions[i].T, *regions[j].T))
        assert between.min() >= 2 * radius * (1 - 1e-7)
    assert reach([regions], CRAB, radius) >= 2 * radius * (1 - 1e-6)


@pytest.mark.parametrize("n", [1, 3])
def test_few_regions_are_evenly_around(n):
    pointing = pointing_at(0.5)
    regions = off_regions(pointing, CRAB, 0.1, n)
    centre = np.vstack([regions, CRAB]).mean(axis=0)
    np.testing.assert_allclose(centre, pointing, atol=1e-5)


def test_one_more_region_would_not_fit():
    """On a circle of 0.4 deg, 0.2 deg leave room for three off regions, 0.1 deg for ten."""
    pointing = pointing_at(0.4)
    assert [len(off_regions(pointing, CRAB, radius)) for radius in (0.2, 0.1)] == [3, 10]


def test_excluded_stars_cost_the_regions_they_touch():
    pointing = pointing_at(0.5)
    regions = off_regions(pointing, CRAB, 0.1, 3)
    star = (*np.rad2deg(regions[1]), 0.05)
    left = off_regions(pointing, CRAB, 0.1, 3, [star])
    np.testing.assert_allclose(left, regions[[0, 2]])
    opposite = off_regions(pointing, CRAB, 0.1, 1)[0]
    with pytest.raises(IRFError, match="no off region"):
        off_regions(pointing, CRAB, 0.1, 1, [(*np.rad2deg(opposite), 0.0)])


@pytest.mark.parametrize("offset, message", [(0.05, "wobble"), (0.29, "0.3 deg"), (20, "out of")])
def test_impossible_regions_are_refused(offset, message):
    with pytest.raises(IRFError, match=message):
        off_regions(pointing_at(offset), CRAB, 0.2)


@pytest.mark.parametrize("radius", [0.0, -1.0, np.nan])
def test_no_circle_is_refused(radius):
    with pytest.raises(IRFError, match="theta_cut"):
        off_regions(pointing_at(0.5), CRAB, radius)


def test_live_time_of_a_detector_with_dead_time():
    """Exponential waiting after a fixed dead time, in two parts with a break of a minute."""
    rng = np.random.default_rng(3)
    dead, mean = 7e-6, 2e-4
    waits = dead + rng.exponential(mean, 200_000)
    time = np.cumsum(waits)
    time[100_000:] += 60
    elapsed, live = live_time(rng.permutation(time))
    # no wait of this detector is a break
    assert elapsed == pytest.approx(waits[1:].sum() - waits[100_000], rel=1e-9)
    assert live == pytest.approx(200_000 * mean, rel=0.01)
    _, by_delta = live_time(time[::3], np.append(0, waits[1:])[::3])
    assert by_delta == pytest.approx(live, rel=0.01)


def test_few_triggers_are_no_breaks():
    """At 5 Hz most intervals are longer than the 0.01 s that a break is at full rate."""
    time = np.cumsum(np.random.default_rng(2).exponential(0.2, 5000))
    elapsed, live = live_time(time)
    assert elapsed == pytest.approx(np.ptp(time), rel=1e-6)
    assert live == pytest.approx(elapsed, rel=1e-3)


@pytest.mark.parametrize("time", [[], [5.0]])
def test_one_trigger_has_no_time(time):
    assert live_time(np.array(time)) == (0, 0)


def test_cut_at_a_background_keeps_equal_scores_together():
    score = np.array([0.1, 0.5, 0.5, 0.9, 1.0, 1.0])
    alpha = np.full(6, 0.5)
    assert cut_at_background(score, alpha, 1.5) == pytest.approx(0.7)
    assert cut_at_background(score, alpha, 1.9) == pytest.approx(0.7)
    assert cut_at_background(score, alpha, 3.0) == pytest.approx(0.1)
    assert cut_at_background(score, alpha, 0.5) == np.inf
    assert cut_at_background(score[:0], alpha[:0], 1.0) == -np.inf


def pairs(events, on, run=None):
    """Pairs of given events."""
    n = len(events)
    run = np.zeros(n, int) if run is None else np.asarray(run)
    none = np.zeros(n)
    return Pairs(np.asarray(events), run, np.asarray(on), none, none, none, none)


def test_paired_difference_by_hand():
    """D = (n10 - n01) - alpha (m10 - m01), of events that only one keeps."""
    first = pairs([1, 2, 3, 10, 11, 12], [True] * 3 + [False] * 3)
    second = pairs([3, 4, 12, 13], [True] * 2 + [False] * 2)
    found = paired_difference(first, second, np.array([0.25]))
    assert [found[k] for k in ("n10", "n01", "m10", "m01")] == [2, 1, 2, 1]
    assert found["difference"] == pytest.approx(1 - 0.25)
    assert found["error"] == pytest.approx(np.sqrt(3 + 0.0625 * 3))
    assert found["difference"] == pytest.approx((3 - 0.25 * 3) - (2 - 0.25 * 2))


def test_swapping_turns_the_sign_and_equal_selections_are_equal():
    rng = np.random.default_rng(1)
    both = [
        pairs(np.sort(rng.choice(500, 200, False)), np.arange(200) < 90, np.arange(200) % 3)
        for _ in range(2)
    ]
    alpha = np.array([1, 0.5, 1 / 3])
    one, other = (paired_difference(*p, alpha) for p in (both, both[::-1]))
    assert one["difference"] == -other["difference"]
    assert one["p"] == other["p"]
    same = paired_difference(both[0], both[0], alpha)
    assert (same["difference"], same["error"], same["p"]) == (0, 0, 1)


def test_paired_error_is_that_of_many_nights():
    """The spread of the difference over nights of the same detector is its error."""
    rng, alpha = np.random.default_rng(5), np.array([0.2])
    found = []
    for _ in range(400):
        n_on, n_off = rng.poisson(120), rng.poisson(500)
        on = np.arange(n_on + n_off) < n_on
        kept = rng.uniform(size=(2, len(on))) < 0.7
        one, other = (pairs(np.flatnonzero(k), on[k]) for k in kept)
        found.append(paired_difference(one, other, alpha))
    z = np.array([f["z"] for f in found])
    assert z.std() == pytest.approx(1, abs=0.12)
    assert abs(z.mean()) < 0.2
