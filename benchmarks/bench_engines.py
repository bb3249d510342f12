"""Engines against indexedconv: γ-PhysNet on the LST camera, one thread, float32.

    python benchmarks/bench_engines.py [--rounds 5] [--batch 1 32 256] [--no-train]

All engines run in turn in one process; CPU time, median.  Quote the ratios.  Peak memory is
that of one forward pass in a fresh process.  MALLOC_MMAP_THRESHOLD_=1073741824 and
MALLOC_TRIM_THRESHOLD_=4294967296 in the environment keep glibc from returning buffers, which
helps indexedconv most: state which setting a number belongs to.
"""

import argparse
import multiprocessing
from pathlib import Path

import torch
from conditions import interleaved, print_conditions

from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.nn import Architecture, GammaPhysNet

LATTICE_DEG = 100.893


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


def inference(batch, rounds):
    """Print images/s of every engine, and check that they agree."""
    nets = networks(["indexedconv", "raster", "gather"])
    cases = {"indexedconv": nets["indexedconv"].eval()}
    cases |= {name: nets[name].frozen() for name in ("raster", "gather")}
    x = images(batch)
    with torch.inference_mode():
        outputs = {name: torch.cat(list(net(x).values()), 1) for name, net in cases.items()}
        scale = outputs["indexedconv"].abs().max()
        for name, out in outputs.items():
            assert (out - outputs["indexedconv"]).abs().max() < 2e-5 * scale, name
        seconds = interleaved({n: lambda net=net: net(x) for n, net in cases.items()}, rounds)
    for name, t in seconds.items():
        memory = peak_memory(name, batch)
        print(f"  inference, batch {batch:4d}  {name:12s} {batch / t:7.0f} images/s"
              f"  x {seconds['indexedconv'] / t:5.2f}  peak memory {memory:4.0f} MiB")  # fmt: skip


def training(batch, rounds):
    """Print images/s of a training step of every engine."""
    nets = networks(["indexedconv", "raster", "gather"])
    x = images(batch)

    def step(network):
        network.zero_grad(set_to_none=True)
        sum(v.square().mean() for v in network(x).values()).backward()

    cases = {name: lambda net=net: step(net.train()) for name, net in nets.items()}
    seconds = interleaved(cases, rounds)
    for name, t in seconds.items():
        print(f"  training,  batch {batch:4d}  {name:12s} {batch / t:7.0f} images/s"
              f"  x {seconds['indexedconv'] / t:5.2f}")  # fmt: skip


def _resident(key):
    """Resident memory of this process (MiB) from Linux: VmRSS now, VmHWM its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def _peak(name, batch, queue):
    """Memory above the loaded network, in a process of its own."""
    torch.set_num_threads(1)
    network = networks([name])[name].eval()
    network = network if name == "indexedconv" else network.frozen()
    x = images(batch)
    with torch.inference_mode():
        network(x[:1])
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
        before = _resident("VmRSS")
        network(x)
    queue.put(_resident("VmHWM") - before)


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
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_conditions("γ-PhysNet DA, 3 layers, 16/32/64 features, LSTCam, float32")
    for size in arguments.batch:
        inference(size, arguments.rounds)
    if not arguments.no_train:
        training(32, arguments.rounds)
