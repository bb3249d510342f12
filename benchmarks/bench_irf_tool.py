"""``ctapipe-gammalearn-irf`` as a whole: time and peak memory by the number of events.

    python benchmarks/bench_irf_tool.py [--events 100000 1000000] [--replicas 200] [--threads 2]

Run in the repository: the events are those of the tests' analytic instrument, half of them gammas
and half protons, in DL2 files of at most a million events each; two reconstructors, optimised cuts.
Each run is a process of its own. The CPU time of the bootstrap is the difference to a run with 20
replicas, printed also as part of the whole.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from conditions import print_conditions

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.irf.dl2 import PREFIXES, write_dl2  # noqa: E402
from tests.irf.toy import toy  # noqa: E402

PER_FILE = 1_000_000
# the peak that the system tells of a child includes the memory of its parent before the start
TOOL = """
import atexit, re
from pathlib import Path

def tell():
    status = Path("/proc/self/status").read_text()
    Path("peak").write_text(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])

atexit.register(tell)
from ctapipe_gammalearn.tools.irf import main
main()
"""


def write_files(folder, n_events):
    """DL2 files; returns options that name them."""
    options = []
    for i, start in enumerate(range(0, n_events, PER_FILE)):
        n = min(PER_FILE, n_events - start) // 2
        for kind, sample in toy(n, n, seed=i).items():
            path = folder / f"{kind}_{i}.dl2.h5"
            write_dl2(path, sample, obs_id=i + 1)
            options += [f"--{kind}", str(path)]
    return options


def measure(folder, options, replicas, threads):
    """Wall and CPU time (s) and peak memory (MiB) of the tool, in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    argv = [sys.executable, "-c", TOOL, "--config", str(folder / "irf.yaml"), *options]
    argv += ["-o", str(folder / "out"), "--overwrite", f"--n-replicas={replicas}"]
    start = time.perf_counter()
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, cwd=folder)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the tool ended with {os.waitstatus_to_exitcode(status)}")
    wall = time.perf_counter() - start
    return wall, used.ru_utime + used.ru_stime, int((folder / "peak").read_text()) / 1024


def main(numbers, replicas, threads):
    """Measure and print."""
    print_conditions(f"irf tool, 2 reconstructors, {replicas} replicas, {threads} thread(s)")
    fields = {"reference": PREFIXES["ref"], "network": PREFIXES["dl"]}
    values = {"reconstructors": fields, "background_ring": [0.0, 3.0]}
    peaks = {}
    for n in numbers:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "irf.yaml").write_text(yaml.safe_dump({"IrfTool": values}))
            options = write_files(folder, n)
            few = measure(folder, options, 20, threads)
            wall, cpu, peaks[n] = measure(folder, options, replicas, threads)
        bootstrap = (cpu - few[1]) * replicas / max(replicas - 20, 1)
        print(f"  {n:9d} events: {wall:6.1f} s, CPU {cpu:6.1f} s, peak {peaks[n]:6.0f} MiB;"
              f" bootstrap {bootstrap:6.1f} s x {bootstrap / cpu:4.2f}")  # fmt: skip
    if len(peaks) > 1:
        (least, low), (most, high) = sorted(peaks.items())[:: len(peaks) - 1]
        print(f"  {(high - low) * 2**20 / (most - least):.0f} B an event and"
              f" {low - (high - low) * least / (most - least):.0f} MiB for all")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--replicas", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    main(arguments.events, arguments.replicas, arguments.threads)
