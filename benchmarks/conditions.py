"""What every benchmark prints first, and how it compares."""

import os
import platform
import statistics
import time

import numpy as np
import torch


def print_conditions(title):
    """Hardware, versions, threads and memory allocator settings."""
    malloc = os.environ.get("MALLOC_MMAP_THRESHOLD_", "default")
    print(f"{title}\n  {platform.machine()}, {os.cpu_count()} cores, Python"
          f" {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__},"
          f" {torch.get_num_threads()} thread(s), malloc mmap threshold {malloc}")  # fmt: skip


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
