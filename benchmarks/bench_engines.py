"""Engines against indexedconv: γ-PhysNet on the LST camera, one thread, float32.

    python benchmarks/bench_engines.py [--rounds 5] [--batch 1 32 256] [--no-train] [--avx2]

All engines run in turn in one process; CPU time, median.  Quote the ratios: to indexedconv
at the same batch, and to its best, eight images at a time.  "sgemm" and "FMA" are the useful
operations per second (taps on missing neighbours included, as the neighbour table has them)
relative to a product of two 1024 x 1024 matrices by numpy, and to independent fused
multiply-adds in registers.  Peak memory is that of one forward pass in a fresh process.
MALLOC_MMAP_THRESHOLD_=1073741824 and MALLOC_TRIM_THRESHOLD_=4294967296 in the environment keep
glibc from returning buffers, which helps indexedconv most: state which setting a number belongs
to.  ``--avx2`` is for the code of runtiled; numpy's follows with OPENBLAS_CORETYPE=Haswell, torch's
with ONEDNN_MAX_CPU_ISA=AVX2 and ATEN_CPU_CAPABILITY=avx2.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from conditions import interleaved, print_conditions, resident

from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.nn import Architecture, GammaPhysNet, camera_mapping, runtiled
from ctapipe_gammalearn.nn.runtiled import machine, machine_code
from ctapipe_gammalearn.nn.runtiled.text import Function, vector
from ctapipe_gammalearn.weights import read_model

LATTICE_DEG = 100.893
FAST = ("raster", "gather", "runtiled")
SHIPPED = "lst_gammaphysnet.safetensors"


def lst_camera():
    """The LST camera, as GammaLearn orients it."""
    from ctapipe_gammalearn.io.cameras import load_camera

    geometry = load_camera("LSTCam")
    x, y = geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")
    return CameraLattice.from_positions(x, y, rotation_deg=LATTICE_DEG)


def networks(names):
    """The same network on several engines."""
    lattice = lst_camera()
    torch.manual_seed(0)
    result = {name: GammaPhysNet(Architecture(), lattice, engine=name) for name in names}
    state = next(iter(result.values())).state_dict()
    for network in result.values():
        network.load_state_dict(state)
    return result


def images(n):
    """Noise and bright pixels."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 2, 1855, generator=generator)
    return x + 30 * (torch.rand(x.shape, generator=generator) < 0.02)


def cartesian():
    """The network on square images of 55 x 55 cells, in its inference form."""
    architecture = Architecture(variant="cartesian", output_size=(14, 14))
    return GammaPhysNet(architecture, mapping=camera_mapping(lst_camera())).frozen()


def useful_operations(network):
    """Floating-point operations per image of a network on a lattice."""
    levels = network.backbone.engine.levels
    total = 0
    for name, parameter in network.named_parameters():
        if not name.endswith("weight") or parameter.ndim < 2:
            continue
        n = 1
        if parameter.ndim > 2:
            block = name.split(".")[1].partition("block")[2][:1]
            n = levels[int(block or 0)].n_cells
        total += 2 * n * parameter.numel()
    return total


def sgemm():
    """Function that multiplies matrices, and its number of operations."""
    a, b = np.random.default_rng(0).random((2, 1024, 1024), dtype=np.float32)
    return lambda: a @ b, 2 * 1024**3


def fused_multiply_adds():
    """Function that does nothing else, and its number of operations."""
    host, rounds = runtiled.processor(), 500_000
    w, n_sums = host.lanes, host.accumulators
    f = Function("run", ("i64 %n", "ptr %in", "ptr %out", "ptr %a", "ptr %b"))
    x = f.load("%in", 0, w)
    with f.loop("%n", carried=[(vector(w), x)] * n_sums) as loop:
        loop.next = [f.fma(value, x, x, w) for value in loop.values]
    f.store(f.total(loop.next, w), "%out", 0, w)
    run = machine_code("\n".join([*f.declarations.values(), str(f)]), host)
    memory = np.full(2 * w, 0.5, dtype=np.float32)
    addresses = memory.ctypes.data, memory.ctypes.data + 4 * w, 0, 0
    return lambda: (run(rounds, *addresses), memory)[0], 2 * w * n_sums * rounds


def leave_out_avx512():
    """Let runtiled generate what it would for a processor with AVX2 at best."""
    host = replace(runtiled.processor(), name="x86-64-v3", features="", lanes=8, accumulators=12)
    runtiled.processor = lambda: host


def check(outputs, tolerance=2e-5):
    """Compare the outputs of all engines with the first one's."""
    first = next(iter(outputs.values()))
    for name, out in outputs.items():
        assert (out - first).abs().max() < tolerance * first.abs().max(), name


def inference(batch, rounds):
    """Print images/s of every engine, and check that they agree."""
    nets = networks(["indexedconv", *FAST])
    reference = nets["indexedconv"].eval()
    frozen = {name: nets[name].frozen() for name in FAST}
    x = images(batch)
    cases = {"indexedconv": lambda: reference(x)}
    cases["indexedconv, by 8"] = lambda: [reference(part) for part in x.split(8)]
    cases |= {name: lambda net=net: net(x) for name, net in frozen.items()}
    cases["its backbone"] = lambda: frozen["runtiled"].backbone(x)
    square = cartesian()
    cases["cartesian 55x55"] = lambda: square(x)
    yardsticks = {"sgemm": sgemm(), "FMA": fused_multiply_adds()}
    with torch.inference_mode():
        nets = {"indexedconv": reference} | frozen
        check({name: torch.cat(list(net(x).values()), 1) for name, net in nets.items()})
        seconds = interleaved(cases | {k: run for k, (run, _) in yardsticks.items()}, rounds)
    rates = {k: n / seconds[k] for k, (_, n) in yardsticks.items()}
    print("  " + ", ".join(f"{k} {rate / 1e9:.0f} Gflop/s" for k, rate in rates.items()))
    n_all, n_backbone = useful_operations(reference), _backbone_operations(reference)
    for name in cases:
        n = n_backbone if name == "its backbone" else n_all
        rate = batch / seconds[name]
        shares = ""
        if name != "cartesian 55x55":
            shares = "".join(f"  {k} {n * rate / peak:4.2f}" for k, peak in rates.items())
        memory = ""
        if name in nets:
            memory = f"  peak memory {peak_memory(name, batch):4.0f} MiB"
        best = min(seconds["indexedconv"], seconds["indexedconv, by 8"])
        print(f"  inference, batch {batch:4d}  {name:18s} {rate:7.0f} images/s  x"
              f" {seconds['indexedconv'] / seconds[name]:5.2f}  x best"
              f" {best / seconds[name]:5.2f}{shares}{memory}")  # fmt: skip


def _backbone_operations(network):
    """Operations per image without the heads."""
    heads = sum(p.numel() for n, p in network.named_parameters()
                if not n.startswith("backbone") and p.ndim == 2)  # fmt: skip
    return useful_operations(network) - 2 * heads


def threads(batch, rounds):
    """Print images/s by the clock on one and on two threads."""
    nets = {name: net.frozen() for name, net in networks(["raster", "runtiled"]).items()}
    x, rates = images(batch), {}

    def run(net, n):
        torch.set_num_threads(n)
        net(x)

    cases = {(k, n): lambda net=net, n=n: run(net, n) for k, net in nets.items() for n in (1, 2)}
    with torch.inference_mode():
        seconds = interleaved(cases, rounds, time.perf_counter)
    torch.set_num_threads(1)
    for (name, n), t in seconds.items():
        rates[name, n] = batch / t
        print(f"  wall clock, batch {batch:4d}  {name:12s} {n} thread(s) {batch / t:7.0f}"
              f" images/s  x {rates[name, n] / rates[name, 1]:4.2f}")  # fmt: skip


def compilation():
    """Print the time to the first image, without and with code in the cache."""
    network = networks(["runtiled"])["runtiled"]
    kept = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        os.environ["XDG_CACHE_HOME"] = folder
        for state in ("no code", "code in the cache"):
            machine._codes.clear()
            frozen = network.frozen()
            cpu, wall = time.process_time(), time.perf_counter()
            frozen(images(1))
            print(f"  first image, {state}: {time.process_time() - cpu:.2f} s CPU,"
                  f" {time.perf_counter() - wall:.2f} s")  # fmt: skip
    os.environ.pop("XDG_CACHE_HOME")
    if kept is not None:
        os.environ["XDG_CACHE_HOME"] = kept


def shipped(batch, rounds):
    """Print images/s of the network that comes with the package, cleaning included."""
    import ctapipe_gammalearn

    path = Path(ctapipe_gammalearn.__file__).parent / "resources" / SHIPPED
    nets = {name: read_model(path, name).network for name in ("indexedconv", "raster", "runtiled")}
    nets = {k: net.eval() if k == "indexedconv" else net.frozen() for k, net in nets.items()}
    x = images(batch).abs()
    with torch.inference_mode():
        seconds = interleaved({k: lambda net=net: net(x) for k, net in nets.items()}, rounds)
    for name, t in seconds.items():
        print(f"  {SHIPPED}, batch {batch:4d}  {name:12s} {batch / t:7.0f} images/s"
              f"  x {seconds['indexedconv'] / t:5.2f}")  # fmt: skip


def training(batch, rounds):
    """Print images/s of a training step of every engine."""
    nets = networks(["indexedconv", *FAST])
    x = images(batch)

    def step(network):
        network.zero_grad(set_to_none=True)
        sum(v.square().mean() for v in network(x).values()).backward()

    cases = {name: lambda net=net: step(net.train()) for name, net in nets.items()}
    seconds = interleaved(cases, rounds)
    for name, t in seconds.items():
        print(f"  training,  batch {batch:4d}  {name:12s} {batch / t:7.0f} images/s"
              f"  x {seconds['indexedconv'] / t:5.2f}")  # fmt: skip


def _peak(name, batch, queue):
    """Memory above the loaded network, in a process of its own."""
    torch.set_num_threads(1)
    network = networks([name])[name].eval()
    network = network if name == "indexedconv" else network.frozen()
    x = images(batch)
    with torch.inference_mode():
        network(x[:1])
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
        before = resident("VmRSS")
        network(x)
    queue.put(resident("VmHWM") - before)


def peak_memory(name, batch):
    """Peak memory (MiB) of a forward pass above that for one image."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_peak, args=(name, batch, queue))
    process.start()
    result = queue.get()
    process.join()
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--no-train", action="store_true")
    parser.add_argument("--avx2", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.avx2:
        leave_out_avx512()
    print_conditions("γ-PhysNet DA, 3 layers, 16/32/64 features, LSTCam, float32")
    for size in arguments.batch:
        inference(size, arguments.rounds)
    threads(256, arguments.rounds)
    shipped(32, arguments.rounds)
    compilation()
    if not arguments.no_train:
        training(32, arguments.rounds)
