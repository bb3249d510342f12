"""Paired bootstrap of two reconstructors: time of replicas, against numpy and scikit-learn.

    python benchmarks/bench_irf_bootstrap.py [--rows 1000000] [--replicas 200] [--threads 1 2]

Half of the rows are gammas.  Metrics of each reconstructor: θ68 and three quantiles of the energy
error in 25 bins of true energy, weighted AUC, gammas and background after cuts.  The reference is
what one replica costs with `numpy.quantile` on repeated rows and `roc_auc_score`.
"""

import argparse
import resource
import time
from functools import partial

import numpy as np
from conditions import interleaved, print_conditions
from sklearn.metrics import roc_auc_score

from ctapipe_gammalearn.irf import metrics
from ctapipe_gammalearn.irf.bootstrap import (
    auc_plan,
    bootstrap,
    count_plan,
    poisson_numbers,
    quantile_plan,
)
from ctapipe_gammalearn.irf.samples import cluster_key

EDGES = np.geomspace(0.01, 100, 26)
N_BINS = len(EDGES) - 1
ENERGY_QUANTILES = [metrics.LOWER, 0.5, metrics.UPPER]


def events(n):
    """Columns of ``n`` rows of 0.6 n showers, as two reconstructors see them."""
    rng = np.random.default_rng(0)
    columns = {
        "cluster": cluster_key(rng.integers(0, int(0.6 * n), n)),
        "is_gamma": np.arange(n) < n // 2,
        "true": metrics.bin_numbers(10 ** rng.uniform(-2, 2, n), EDGES),
        "weight": rng.lognormal(0, 2, n),
    }
    columns["reconstructors"] = [
        {
            "theta": rng.rayleigh(0.1, n),
            "error": rng.normal(0, 0.15, n),
            "score": np.where(columns["is_gamma"], rng.beta(6, 1, n), rng.beta(1, 3, n)),
        }
        for _ in range(2)
    ]
    return columns


def plans_of(columns):
    """All metrics of both reconstructors."""
    cluster, is_gamma, weight = (columns[k] for k in ("cluster", "is_gamma", "weight"))
    gammas = np.where(is_gamma, columns["true"], -1)
    plans = {}
    for i, r in enumerate(columns["reconstructors"]):
        passing = r["score"] > 0.7
        signal = np.where(passing, gammas, -1)
        background = np.where(passing & ~is_gamma, columns["true"], -1)
        everything = np.zeros(len(cluster), dtype=int)
        plans |= {
            f"theta68 {i}": quantile_plan(cluster, gammas, r["theta"], N_BINS, [metrics.ONE_SIGMA]),
            f"energy {i}": quantile_plan(cluster, gammas, r["error"], N_BINS, ENERGY_QUANTILES),
            f"auc {i}": auc_plan(cluster, everything, r["score"], is_gamma, weight, 1),
            f"signal {i}": count_plan(cluster, signal, weight, N_BINS),
            f"background {i}": count_plan(cluster, background, weight, N_BINS),
        }
    return plans


def plainly(columns):
    """One replica of the data with numpy and scikit-learn alone."""
    times = poisson_numbers(columns["cluster"], 0, 1)
    gamma = columns["is_gamma"]
    for r in columns["reconstructors"]:
        for b in range(N_BINS):
            here = gamma & (columns["true"] == b)
            np.quantile(np.repeat(r["theta"][here], times[here]), metrics.ONE_SIGMA)
            np.quantile(np.repeat(r["error"][here], times[here]), ENERGY_QUANTILES)
        weight = columns["weight"] * times
        roc_auc_score(gamma, r["score"], sample_weight=weight)
        passing = r["score"] > 0.7
        for some in (passing & gamma, passing & ~gamma):
            np.bincount(columns["true"][some], weight[some], N_BINS)


def main(rows, replicas, threads, rounds):
    """Measure and print."""
    print_conditions(f"bootstrap, {rows} rows, 2 reconstructors, {replicas} replicas, float64")
    columns = events(rows)
    bootstrap(plans_of(events(1000)), 1)  # compile
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    plans = plans_of(columns)
    print(f"  preparing {time.perf_counter() - start:6.2f} s")
    cases = {str(n): partial(bootstrap, plans, replicas, n_threads=n) for n in threads}
    cases["plain"] = partial(plainly, columns)
    seconds = interleaved(cases, rounds, time.perf_counter)
    plain = seconds.pop("plain")
    print(f"  one replica {plain:6.3f} s with numpy and scikit-learn")
    for n, t in seconds.items():
        # the first values are those of the data: one replica more
        print(f"  all replicas, {n} thread(s) {t:6.2f} s  x {plain * (replicas + 1) / t:5.1f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"  memory beyond the columns at most {(peak - base) / 1024:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--replicas", type=int, default=200)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    main(arguments.rows, arguments.replicas, arguments.threads, arguments.rounds)
