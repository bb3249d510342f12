"""Scaling of ``ctapipe-gammalearn-simulate --images-only`` with processes, and its memory.

    python benchmarks/bench_simulation_cores.py [--rounds 3] [--showers 8000] [--jobs 2]

In every round, in turn: one process; ``--jobs`` processes; and as many commands at once, each with
its share of the showers, which is the most that the machine gives while it does other things.
Wall and CPU time of the whole command, with start, reading back and merging.  Medians of the
ratios within a round: quote those.  Memory is the peak of the largest process; the last line is
that of a process that computes image parameters, too.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ctapipe
import numba

from ctapipe_gammalearn.simulation.dataset import CHUNK, PRESETS

PRESET, SAMPLE = "small", "train_gamma_diffuse"
COMMAND = [sys.executable, "-c", "from ctapipe_gammalearn.tools.simulate import main; main()"]


def start(folder, jobs, n_showers, *options):
    """Start the command."""
    scale = n_showers / PRESETS[PRESET][SAMPLE]
    argv = [*COMMAND, "-o", str(folder), f"--preset={PRESET}", f"--samples={SAMPLE}"]
    argv += [f"--scale={scale}", f"--jobs={jobs}", *options]
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL)


def measure(jobs, n_showers, *options, commands=1):
    """Wall and CPU time (s) of one command, or of several at once that share the showers."""
    with tempfile.TemporaryDirectory() as name:
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        folders = [Path(name) / str(i) for i in range(commands)]
        running = [start(folder, jobs, n_showers / commands, *options) for folder in folders]
        for process in running:
            assert process.wait() == 0
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - begin
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peak():
    """Peak memory (MiB) of the largest process so far."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--showers", type=int, default=8000)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    n, jobs = arguments.showers, arguments.jobs
    print(f"ctapipe {ctapipe.__version__}, numba {numba.__version__}, {os.cpu_count()} cores, load"
          f" {os.getloadavg()[0]:.1f}; {n} showers in runs of {CHUNK[PRESET]}")  # fmt: skip
    measure(1, 20, "--images-only")  # compiles
    rounds = []
    for _ in range(arguments.rounds):
        one = measure(1, n, "--images-only")
        many = measure(jobs, n, "--images-only")
        most = measure(1, n, "--images-only", commands=jobs)
        rounds.append((one, many, most))
        print("  wall (CPU) s: " + ", ".join(f"{w:.1f} ({c:.1f})" for w, c in rounds[-1]))
    speed_up = statistics.median(one[0] / many[0] for one, many, _ in rounds)
    limit = statistics.median(one[0] / most[0] for one, _, most in rounds)
    cpu = statistics.median(many[1] / one[1] for one, many, _ in rounds)
    print(f"--jobs {jobs}: x {speed_up:.2f} of one process, CPU time x {cpu:.2f};"
          f" {jobs} commands at once: x {limit:.2f}")  # fmt: skip
    print(f"peak memory of the largest process {peak():.0f} MiB")
    measure(1, 500)
    print(f"the same with image parameters {peak():.0f} MiB")


if __name__ == "__main__":
    main()
