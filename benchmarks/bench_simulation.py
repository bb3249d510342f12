"""Speed of the shower simulation: images per second of CPU time, one core, one thread.

    python benchmarks/bench_simulation.py [--rounds 3] [--scale 1.0]

Four ways in turn, on the same showers, in every round: the generator alone, the generator with
image-only output, the generator through ``ctapipe-process`` (images, parameters, truth), and
``ctapipe-process`` on the image file (ctapipe's own processing and writing, nothing simulated).
Medians; quote the ratios.  Compilation is done and cached before the clock starts.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import ctapipe
import numba
import numpy as np
import tables
from ctapipe.core import run_tool
from ctapipe.tools.process import ProcessorTool
from traitlets.config import Config

from ctapipe_gammalearn.io.shower_source import ShowerSimulationSource  # noqa: F401
from ctapipe_gammalearn.simulation.events import Simulator
from ctapipe_gammalearn.simulation.run import RunConfig
from ctapipe_gammalearn.tools import simulation_jobs as jobs

GAMMA = RunConfig(n_showers=600, energy_min=0.02, scatter_radius=600.0)
RUNS = {
    "point gammas, 20 GeV to 50 TeV": GAMMA,
    "diffuse gammas, 2.5 deg, 10 GeV to 50 TeV": replace(
        GAMMA, viewcone=(0.0, 2.5), energy_min=0.01, n_showers=900
    ),
    "diffuse protons, 6 deg, 40 GeV to 50 TeV": replace(
        GAMMA, primary="proton", viewcone=(0.0, 6.0), energy_min=0.04, scatter_radius=700.0,
        n_showers=2000,
    ),
    "point gammas, 4 LSTs, 10 GeV to 50 TeV": replace(
        GAMMA, array="4LST", min_tel=2, energy_min=0.01, n_showers=300
    ),
}  # fmt: skip


def n_images(path):
    """Telescope images of a file."""
    with tables.open_file(path) as file:
        return file.root.dl1.event.telescope.trigger.nrows


def process(source, output, *options):
    """Run ctapipe-process in this process; CPU time of everything after the imports."""
    argv = ["-i", str(source), "-o", str(output), "--write-images", "--log-level=ERROR"]
    argv += ["--overwrite", f"--provenance-log={os.devnull}", *options]
    start = time.process_time()
    assert run_tool(ProcessorTool(config=Config(jobs.configuration())), argv=argv) == 0
    return time.process_time() - start


def generator(run):
    """CPU time and number of images of the generator, without its preparation."""
    simulator = Simulator(run)
    start = time.process_time()
    n = sum(len(event.telescopes) for event in simulator.events())
    return time.process_time() - start, n


def images_only(description, output):
    """CPU time of image-only output, without the preparation of the simulation."""
    start = time.process_time()
    jobs.simulate_images(description, output)
    return time.process_time() - start


def measure(run, folder, rounds):
    """Median times (s) of the four ways, and the number of images."""
    description = folder / "x.shower.yaml"
    jobs.write_run(description, run)
    prepare = statistics.median(_prepare(run) for _ in range(3))
    times = {"generator": [], "image files": [], "ctapipe-process": [], "ctapipe alone": []}
    for _ in range(rounds):
        seconds, n = generator(run)
        times["generator"].append(seconds)
        (folder / "i.h5").unlink(missing_ok=True)
        times["image files"].append(images_only(description, folder / "i.h5") - prepare)
        times["ctapipe-process"].append(process(description, folder / "p.h5") - prepare)
        times["ctapipe alone"].append(process(folder / "i.h5", folder / "q.h5"))
    size = (folder / "i.h5").stat().st_size / n, (folder / "p.h5").stat().st_size / n
    return {name: statistics.median(t) for name, t in times.items()}, n, size


def _prepare(run):
    """CPU time of the tables and noise banks, spent once per run."""
    start = time.process_time()
    Simulator(run)
    return time.process_time() - start


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the showers")
    arguments = parser.parse_args()
    print(f"ctapipe {ctapipe.__version__}, numba {numba.__version__}, numpy {np.__version__},"
          f" {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        measure(replace(GAMMA, n_showers=20), folder, 1)
        print(f"first use, compilation included if it was not cached: "
              f"{time.perf_counter() - start:.0f} s")  # fmt: skip
        for title, run in RUNS.items():
            run = replace(run, n_showers=max(20, round(arguments.scale * run.n_showers)))
            t, n, size = measure(run, folder, arguments.rounds)
            both = t["generator"] + t["ctapipe alone"]
            print(f"{title}: {n} images of {run.n_showers} showers x {run.reuse}\n"
                  f"  generator             {n / t['generator']:6.0f} images/s"
                  f"  {run.n_showers / t['generator']:6.0f} showers/s\n"
                  f"  image-only files      {n / t['image files']:6.0f} images/s"
                  f"  x {t['generator'] / t['image files']:4.2f} of the generator,"
                  f" {size[0] / 1e3:.1f} kB/image\n"
                  f"  ctapipe-process       {n / t['ctapipe-process']:6.0f} images/s"
                  f"  time x {t['ctapipe-process'] / both:4.2f} of generator + ctapipe alone,"
                  f" {size[1] / 1e3:.1f} kB/image\n"
                  f"  ctapipe alone         {n / t['ctapipe alone']:6.0f} images/s")  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
