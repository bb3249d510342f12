"""What every benchmark prints first, and how it compares."""

import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch


def print_conditions(title):
    """Hardware, versions, threads and memory allocator settings."""
    malloc = os.environ.get("MALLOC_MMAP_THRESHOLD_", "default")
    print(f"{title}\n  {platform.machine()}, {os.cpu_count()} cores, Python"
          f" {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__},"
          f" {torch.get_num_threads()} thread(s), malloc mmap threshold {malloc}")  # fmt: skip


def resident(key):
    """Resident memory of this process (MiB) from Linux: VmRSS now, VmHWM its peak.

    ``ru_maxrss`` would begin with the memory of the process that started this one.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def interleaved(cases, rounds, clock=time.process_time):
    """Median time of each case, all run in turn in every round (one warm-up round).

    Parameters
    ----------
    cases : dict of str to callable
    rounds : int

    Returns
    -------
    dict of str to float
        Seconds.
    """
    times = {name: [] for name in cases}
    for i in range(rounds + 1):
        for name, run in cases.items():
            start = clock()
            run()
            if i:
                times[name].append(clock() - start)
    return {name: statistics.median(t) for name, t in times.items()}
