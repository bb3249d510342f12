"""Reconstructors on the same events: figures of merit, their replicas, and endpoints.

Which events a figure uses: those that all reconstructors have (common) where it asks who does
better on the same shower, each one's own where it asks who keeps more.
"""

from dataclasses import dataclass, replace

import numpy as np

from .bootstrap import auc_plan, bootstrap, count_plan, quantile_plan
from .metrics import LOWER, ONE_SIGMA, UPPER, bin_numbers, effective_number, means_by_bin
from .samples import RECO_EDGES, Reconstruction, solid_angle
from .sensitivity import sensitivity
from .verdict import Endpoint, qualified_bins

__all__ = [
    "Background",
    "Benchmark",
    "Chosen",
    "benchmarks",
    "common",
    "endpoints",
    "joined",
    "passing_across",
    "select_across",
]

N_BINS = len(RECO_EDGES) - 1
#: benchmark, its unit, and whether its bins are of true or reconstructed energy
METRICS = {
    "auc": ("", "reco"),
    "theta68": ("deg", "true"),
    "bias": ("", "true"),
    "eres": ("", "true"),
    "aeff": ("m2", "true"),
    "signal": ("", "reco"),
    "background": ("", "reco"),
    "sensitivity": ("", "reco"),
}
NEED_BACKGROUND = ("auc", "background", "sensitivity")
#: events behind none seen, at 68.27 % confidence
UPPER_LIMIT = -np.log(1 - ONE_SIGMA)


@dataclass(frozen=True, eq=False)
class Background:
    """All background events, of any kind.

    Attributes
    ----------
    cluster : ndarray, shape (m,), uint64
    weight : ndarray, shape (m,)
        Expected events in the observation time.
    true_energy, true_offset : ndarray, shape (m,), TeV and deg
        See `samples.Sample`.
    reconstructions : dict of str to Reconstruction
    """

    cluster: np.ndarray
    weight: np.ndarray
    true_energy: np.ndarray
    true_offset: np.ndarray
    reconstructions: dict


@dataclass(frozen=True, eq=False)
class Chosen:
    """Events of one reconstructor that pass the cuts, each by cuts that other showers chose.

    Attributes
    ----------
    above, inside : ndarray, shape (n,), bool
        Gammas that pass the cut in gammaness, and that in theta, too.
    background_above : ndarray, shape (m,), bool
    in_ring : ndarray, shape (m,)
        Expected events within the circle around the source, for which a background event of the
        ring stands, whether it passes or not; 0 outside of the ring.
    cuts : tuple of Cuts
        Of the first half of the showers, used on the second, and the other way round.
    """

    above: np.ndarray
    inside: np.ndarray
    background_above: np.ndarray
    in_ring: np.ndarray
    cuts: tuple

    @property
    def on(self):
        """``in_ring`` of those that pass, 0 for others."""
        return np.where(self.background_above, self.in_ring, 0.0)


@dataclass(frozen=True, eq=False)
class Benchmark:
    """One figure of merit of one reconstructor in bins of energy.

    Attributes
    ----------
    values : ndarray, shape (1 + n_replicas, n_bins)
        The data first.
    n : ndarray, shape (n_bins,), int
        Gammas behind it.
    n_background, n_eff : ndarray, shape (n_bins,), or None
        Simulated background events, and that number if all had the same weight.
    limited_by : ndarray of str, or None
        Of a sensitivity.
    """

    values: np.ndarray
    n: np.ndarray
    n_background: np.ndarray | None = None
    n_eff: np.ndarray | None = None
    limited_by: np.ndarray | None = None


def joined(samples, weights):
    """Background of several kinds as one.

    Parameters
    ----------
    samples : list of Sample
    weights : list of ndarray

    Returns
    -------
    Background
    """
    if len(samples) == 1:
        s = samples[0]
        return Background(s.cluster, weights[0], s.true_energy, s.true_offset, s.reconstructions)
    names = samples[0].reconstructions
    columns = Reconstruction.__dataclass_fields__
    return Background(
        np.concatenate([s.cluster for s in samples]),
        np.concatenate(weights),
        np.concatenate([s.true_energy for s in samples]),
        np.concatenate([s.true_offset for s in samples]),
        {
            name: Reconstruction(
                **{
                    c: np.concatenate([getattr(s.reconstructions[name], c) for s in samples])
                    for c in columns
                }
            )
            for name in names
        },
    )


def common(reconstructions):
    """Events that all reconstructors have, shape (n,), bool."""
    return np.logical_and.reduce([r.valid for r in reconstructions.values()])


def select_across(samples, weights, name, choose, ring):
    """Select events by cuts that the other half of the showers chose.

    Parameters
    ----------
    samples : dict of str to Sample
        ``gamma``, and background of any kind.
    weights : dict of str to ndarray
    name : str
        Of the reconstruction.
    choose : callable
        From samples and weights, as here but of half of the showers, to `Cuts`.
    ring : tuple of float, deg
        Offsets of the reconstructed direction between which background is taken.

    Returns
    -------
    Chosen
    """
    halves = {kind: sample.halves() for kind, sample in samples.items()}
    alone = {
        k: replace(s, reconstructions={name: s.reconstructions[name]}) for k, s in samples.items()
    }
    cuts = []
    for i in (0, 1):
        part = {k: s.take(halves[k][i]) for k, s in alone.items()}
        # half of the showers stand for all
        cuts.append(choose(part, {k: 2 * w[halves[k][i]] for k, w in weights.items()}))
    above, inside, in_ring = {}, {}, []
    for kind, sample in samples.items():
        reco, first = sample.reconstructions[name], halves[kind][0]
        above[kind], inside[kind] = passing_across(sample, name, cuts)
        circles = np.where(first, *(_circle(c, reco.energy) for c in reversed(cuts)))
        if kind != "gamma":
            used = reco.valid & (reco.offset >= ring[0]) & (reco.offset < ring[1])
            in_ring.append(np.where(used, weights[kind] * circles / solid_angle(*ring), 0.0))
    passing = np.concatenate([above[k] for k in samples if k != "gamma"])
    return Chosen(above["gamma"], inside["gamma"], passing, np.concatenate(in_ring), tuple(cuts))


def passing_across(sample, name, cuts):
    """Events that pass the cuts that the other half of the showers chose.

    Parameters
    ----------
    sample : Sample
    name : str
        Of the reconstruction.
    cuts : sequence of Cuts
        Of the first half, and of the second.

    Returns
    -------
    above, inside : ndarray, shape (n,), bool
        That pass the cut in gammaness, and that in theta, too.
    """
    reco = sample.reconstructions[name]
    passes = [[c.select(reco, theta=t) for t in (False, True)] for c in cuts]
    # events of the first half by the cuts of the second
    first, _ = sample.halves()
    return tuple(np.where(first, passes[1][t], passes[0][t]) for t in (0, 1))


def _circle(cuts, energy):
    """Solid angle (sr) within the cut in theta at each energy; 0 where there is none."""
    place = bin_numbers(energy, cuts.edges)
    theta = np.where(place >= 0, cuts.theta_deg[place], np.nan)
    return np.nan_to_num(solid_angle(0.0, theta))


def _plans(gamma, weight, background, name, chosen):
    """What the bootstrap has to count for one reconstructor.

    Parameters
    ----------
    gamma : Sample
    weight : ndarray, shape (n,)
    background : Background
    name : str
    chosen : Chosen

    Returns
    -------
    dict of str to Plan
    """
    ours, theirs = gamma.reconstructions[name], background.reconstructions[name]
    true, reco = (bin_numbers(e, RECO_EDGES) for e in (gamma.true_energy, ours.energy))
    reco_background = bin_numbers(theirs.energy, RECO_EDGES)
    both, both_background = common(gamma.reconstructions), common(background.reconstructions)
    true_common = np.where(both, true, -1)
    error = ours.energy / gamma.true_energy - 1
    scored = auc_plan(
        np.concatenate([gamma.cluster, background.cluster]),
        np.concatenate([np.where(both, reco, -1), np.where(both_background, reco_background, -1)]),
        np.concatenate([ours.gammaness, theirs.gammaness]),
        np.arange(len(gamma) + len(theirs.valid)) < len(gamma),
        np.concatenate([weight, background.weight]),
        N_BINS,
    )
    on = np.where(chosen.on > 0, reco_background, -1)
    inside = [np.where(chosen.inside, place, -1) for place in (true, reco)]
    return {
        "auc": scored,
        "theta": quantile_plan(gamma.cluster, true_common, ours.theta, N_BINS, [ONE_SIGMA]),
        "energy": quantile_plan(gamma.cluster, true_common, error, N_BINS, [LOWER, 0.5, UPPER]),
        "selected": count_plan(gamma.cluster, inside[0], 1.0, N_BINS),
        "signal": count_plan(gamma.cluster, inside[1], weight, N_BINS),
        "background": count_plan(background.cluster, on, chosen.on, N_BINS),
    }


def benchmarks(
    gamma, weight, background, chosen, n_replicas=200, seed=1, n_threads=1, progress=None
):
    """Figures of merit of all reconstructors, with replicas that they share.

    Parameters
    ----------
    gamma : Sample
        Point source, or the ring of a cone: see `samples.in_ring`.
    weight : ndarray, shape (n,)
        Gammas of the target spectrum in the observation time.
    background : Background
    chosen : dict of str to Chosen
        By reconstructor.
    n_replicas, seed, n_threads : int
    progress : callable, optional
        See `bootstrap.bootstrap`.

    Returns
    -------
    dict of (str, str) to Benchmark
        By reconstructor and name of `METRICS`.
    """
    plans = {
        (name, key): plan
        for name, selected in chosen.items()
        for key, plan in _plans(gamma, weight, background, name, selected).items()
    }
    tables = bootstrap(plans, n_replicas, seed, n_threads, progress)
    out = {}
    for name, selected in chosen.items():
        found = {key: tables[name, key] for key in ("auc", "theta", "energy", "selected")}
        counts = tables[name, "signal"], tables[name, "background"]
        numbers = _numbers(gamma, background, name, selected)
        low, bias, high = np.moveaxis(found["energy"], -1, 0)
        showers = gamma.thrown.showers_in(RECO_EDGES)
        per_shower = np.divide(gamma.thrown.area, showers, out=np.zeros(N_BINS), where=showers > 0)
        energy = background.reconstructions[name].energy
        place = np.where(selected.in_ring > 0, bin_numbers(energy, RECO_EDGES), -1)
        one = means_by_bin(selected.in_ring, place, N_BINS)
        relative, limited_by = _limits(*counts, one, numbers, selected.cuts)
        values = {
            "auc": found["auc"], "theta68": found["theta"][..., 0], "bias": bias,
            "eres": (high - low) / 2, "aeff": found["selected"] * per_shower,
            "signal": counts[0], "background": counts[1], "sensitivity": relative,
        }  # fmt: skip
        for metric, array in values.items():
            out[name, metric] = Benchmark(array, **numbers[metric])
        out[name, "sensitivity"] = replace(out[name, "sensitivity"], limited_by=limited_by)
    return out


def _numbers(gamma, background, name, chosen):
    """Numbers of events behind each figure of merit: arguments of `Benchmark`."""
    ours, theirs = gamma.reconstructions[name], background.reconstructions[name]
    count = lambda energy, used: np.histogram(energy[used], RECO_EDGES)[0]  # noqa: E731
    both, both_background = common(gamma.reconstructions), common(background.reconstructions)
    on = np.where(chosen.on > 0, bin_numbers(theirs.energy, RECO_EDGES), -1)
    true = {"n": count(gamma.true_energy, both)}
    inside = {"n": count(ours.energy, chosen.inside)}
    inside["n_background"] = np.bincount(on[on >= 0], minlength=N_BINS)
    inside["n_eff"] = effective_number(chosen.on, on, N_BINS)
    scored = {
        "n": count(ours.energy, both),
        "n_background": count(theirs.energy, both_background),
    }
    selected = {"n": count(gamma.true_energy, chosen.inside)}
    return {
        "auc": scored, "theta68": true, "bias": true, "eres": true, "aeff": selected,
        "signal": inside, "background": inside, "sensitivity": inside,
    }  # fmt: skip


def _limits(signal, background, one, numbers, cuts):
    """Relative sensitivity (1 + n_replicas, n_bins), and what limits that of the data.

    NaN where one half of the showers had too few events to choose the cut. Where no simulated
    background is left, an upper limit takes its place, times what ``one`` event (n_bins,) stands
    for: a guess, which no verdict counts.
    """
    n_mc = numbers["sensitivity"]["n_background"]
    known = np.logical_and.reduce([c.evaluable_in(RECO_EDGES) for c in cuts])
    background = np.where(n_mc > 0, background, UPPER_LIMIT * one)
    relative, limited_by = sensitivity(signal, background, n_mc=n_mc)
    return np.where(known, relative, np.nan), np.where(known, limited_by[0], "")


def endpoints(found, candidate, reference, energy_range, names, min_background=30):
    """What the verdict compares of two reconstructors.

    Parameters
    ----------
    found : dict
        From `benchmarks`.
    candidate, reference : str
    energy_range : tuple of float, TeV
    names : sequence of str
        Of `verdict.ENDPOINTS`.
    min_background : int
        Simulated background events that a bin needs where background matters.

    Returns
    -------
    list of Endpoint
    """
    out = []
    for metric in names:
        a, b = (found[name, metric] for name in (candidate, reference))
        n_background = None
        if metric in NEED_BACKGROUND:
            n_background = np.minimum(a.n_background, b.n_background)
            # what could not be evaluated counts as no background
            known = np.isfinite(a.values[0]) & np.isfinite(b.values[0])
            n_background = np.where(known, n_background, 0)
        n = np.minimum(a.n, b.n)
        bins = qualified_bins(
            RECO_EDGES, energy_range, n, n_background, min_background=min_background
        )
        out.append(Endpoint(metric, a.values, b.values, bins, int(n[bins.mask].sum())))
    return out
