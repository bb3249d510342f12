"""Speed and memory of ctapipe-gammalearn-apply.

    python benchmarks/bench_apply.py events.dl1.h5 [--model m] [--device cpu] [--events n]
        [--memory n …]

The input is repeated until it has as many events as asked for.  Every number comes from a
fresh process, in wall time from the first event to the end of the file, verification included;
imports are left out.

* apply, ctapipe-process with the same model, reading of the images alone, network alone;
* apply for several portions (``--chunk-size``) and batches;
* four files by one and by two workers of ``--cluster``, with the start of the workers;
* peak memory of apply for each number of events in ``--memory``, with a small untrained network.
"""

import argparse
import multiprocessing
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import tables
from conditions import print_conditions, resident

import ctapipe_gammalearn

RESOURCES = Path(ctapipe_gammalearn.__file__).parent / "resources"
NETWORK = "GammaPhysNetReconstructor"
SHIFT = 10_000_000  # of event numbers


def replicate(source, target, n_events):
    """Copy a DL1 file and repeat its events, with new numbers, until there are ``n_events``."""
    with tables.open_file(source) as file:
        file.copy_file(str(target), overwrite=True)
    with tables.open_file(target, "a") as file:
        if "/dl2" in file:
            file.remove_node("/dl2", recursive=True)
        there = file.root.dl1.event.subarray.trigger.nrows
        for table in [t for t in file.walk_nodes("/", "Table") if "event_id" in t.colnames]:
            rows = table.read()
            for i in range(1, -(-n_events // there)):
                more = rows.copy()
                more["event_id"] += i * SHIFT
                table.append(more)
    return target


def settings(model, **network):
    """Settings of `apply_file`."""
    config = {NETWORK: {"model_path": str(model), **network}}
    return {"config": config, "copy": {"dl1_images": False, "true_images": False}}


def apply(path, model, folder, device, chunk_size=512, **network):
    """Apply to a file; images, seconds, peak memory (MiB)."""
    from ctapipe_gammalearn.tools.apply_job import apply_file

    options = settings(model, device=device, **network) | {"chunk_size": chunk_size}
    done = apply_file(str(path), f"{folder}/apply.h5", options)
    Path(f"{folder}/apply.h5").unlink()
    return done["images"], done["seconds"], resident("VmHWM")


def process(path, model, folder, device):
    """Run ctapipe-process; None, seconds from its start to its end."""
    from ctapipe.core import run_tool
    from ctapipe.tools.process import ProcessorTool

    argv = [f"--input={path}", f"--output={folder}/process.h5", f"--provenance-log={folder}/log",
            "--overwrite", "--write-showers", "--quiet", f"--reconstructor={NETWORK}",
            f"--{NETWORK}.model_path={model}", f"--{NETWORK}.device={device}"]  # fmt: skip
    start = time.perf_counter()
    run_tool(ProcessorTool(), argv, raises=True)
    return None, time.perf_counter() - start, None


def many(path, model, folder, device, workers):
    """Run the command on a cluster of this machine for four files; seconds in all."""
    from ctapipe.core import run_tool

    from ctapipe_gammalearn.tools.apply import ApplyTool

    inputs = [Path(folder, f"{i}.dl1.h5") for i in range(4)]
    for link in inputs:
        link.unlink(missing_ok=True)
        link.hardlink_to(path)
    argv = [*(f"--input={p}" for p in inputs), f"--output={folder}/{workers}", "--cluster",
            f"--workers={workers}", "--quiet", f"--{NETWORK}.model_path={model}",
            f"--{NETWORK}.device={device}"]  # fmt: skip
    start = time.perf_counter()
    run_tool(ApplyTool(), argv, cwd=folder, raises=True)
    return time.perf_counter() - start


def read(path, *_):
    """Read and decode all images and parameters."""
    from ctapipe.io import HDF5EventSource

    from ctapipe_gammalearn.io.dl1_chunks import Dl1Reader

    with HDF5EventSource(path) as source:
        start = time.perf_counter()
        n = sum(len(e.images) for e in Dl1Reader(source.file_, source.subarray.tel_ids))
        return n, time.perf_counter() - start, None


def infer(path, model, _, device):
    """Give the images that pass the quality query to the network, from memory."""
    from ctapipe.io import HDF5EventSource

    from ctapipe_gammalearn.io.dl1_chunks import Dl1Reader
    from ctapipe_gammalearn.reco import GammaPhysNetReconstructor
    from ctapipe_gammalearn.reco.gather import complete_windows

    with HDF5EventSource(path) as source:
        network = GammaPhysNetReconstructor(
            source.subarray, model_path=[("type", "*", str(model))], device=device
        )
        reader = Dl1Reader(source.file_, source.subarray.tel_ids)
        images = [i for e, _ in complete_windows(reader, network) for i in e.images]
    seen = [i for i in images if i.image is not None]
    predictor = next(iter(network.models.predictors.values()))
    order = network.models.get(seen[0].tel_id).order
    start = time.perf_counter()
    for i in range(0, len(seen), predictor.batch_size):
        part = seen[i : i + predictor.batch_size]
        predictor.predict(*(np.stack([getattr(x, k)[order] for x in part])
                            for k in ("image", "peak_time")))  # fmt: skip
    return len(images), time.perf_counter() - start, None


def fresh(function, *args, **kwargs):
    """Result of a function in a process of its own."""
    # not daemonic, as the workers of a Pool are: these may not start processes of their own
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def small_model(path, folder):
    """Untrained network of few layers for the camera of a file."""
    from ctapipe.io import HDF5EventSource

    from ctapipe_gammalearn.lattice import CameraLattice
    from ctapipe_gammalearn.nn import Architecture
    from ctapipe_gammalearn.weights import random_model, write_model

    with HDF5EventSource(path) as source:
        geometry = next(iter(source.subarray.tel.values())).camera.geometry
    xy = (geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m"))
    architecture = Architecture(num_layers=1, block_features=(4, 6), reduced=(1, 1), fc_width=8)
    model = random_model(CameraLattice.from_positions(*xy), geometry.name, architecture, seed=3)
    write_model(f"{folder}/small.safetensors", model, overwrite=True)
    return f"{folder}/small.safetensors"


def speed(source, model, n_events, folder, device):
    """Print rates."""
    path = replicate(source, f"{folder}/events.h5", n_events)
    fresh(apply, path, model, folder, device)  # files and programs into the caches of the system
    n, seconds, _ = fresh(apply, path, model, folder, device)
    print(f"{n} images of {n_events} events, {device}\n  apply: {n / seconds:.0f} images/s")
    times = {f.__name__: fresh(f, path, model, folder, device)[1] for f in (process, read, infer)}
    print(f"  ctapipe-process: {n / times['process']:.0f} images/s,"
          f" apply is {times['process'] / seconds:.2f} times as fast")  # fmt: skip
    print(f"  reading alone: {n / times['read']:.0f}, network alone: {n / times['infer']:.0f}"
          f" images/s; apply takes {seconds / max(times['read'], times['infer']):.2f} of the"
          " slower one's time")  # fmt: skip
    for size in (64, 2048):
        n, seconds, peak = fresh(apply, path, model, folder, device, chunk_size=size)
        print(f"  portions of {size} images: {n / seconds:.0f} images/s, peak {peak:.0f} MiB")
    for size in (8, 128):
        n, seconds, _ = fresh(apply, path, model, folder, device, batch_size=size)
        print(f"  batches of {size} images: {n / seconds:.0f} images/s")
    rates = {workers: 4 * n / fresh(many, path, model, folder, device, workers)
             for workers in (1, 2)}  # fmt: skip
    print(f"  four files, one worker: {rates[1]:.0f} images/s, two: {rates[2]:.0f},"
          f" {rates[2] / rates[1]:.2f} times as fast")  # fmt: skip


def main():
    """Print all numbers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("--model", type=Path, default=RESOURCES / "lst_patch.safetensors")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--memory", type=int, nargs="*", default=[10_000, 100_000])
    options = parser.parse_args()
    warnings.simplefilter("ignore", tables.NaturalNameWarning)  # ctapipe's headers have blanks
    print_conditions("ctapipe-gammalearn-apply")
    with tempfile.TemporaryDirectory() as folder:
        if options.events:
            model = options.model.resolve()
            speed(options.input, model, options.events, folder, options.device)
        for n_events in options.memory:
            path = replicate(options.input, f"{folder}/{n_events}.h5", n_events)
            model = small_model(path, folder)
            n, seconds, peak = fresh(apply, path, model, folder, options.device)
            print(f"  {n} images: peak {peak:.0f} MiB, {n / seconds:.0f} images/s (small network)")
            Path(path).unlink()


if __name__ == "__main__":
    main()
