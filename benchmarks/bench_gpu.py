"""Images per second of lst-gammaphysnet on a GPU, by precision and batch size.

    python benchmarks/bench_gpu.py [--peak-tflops 60 990 990] [--rounds 5] [--batch 32 256 1024]

From arrays to physical quantities, copies included, wall time, twelve batches per call.  TF32 is
off.  With CUDA graphs and pinned buffers, and with the kernels launched one by one and blocking
copies.  With the chip's limits for float32, bfloat16 and float16, the fraction of them that
the network's convolutions and matrix products reach is printed as well.  The last line is the
preparation of the images by one core of the host alone: no device can be faster.  Without a GPU it
ends with 0.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from conditions import interleaved, print_conditions
from torch.utils.flop_counter import FlopCounterMode

import ctapipe_gammalearn
from ctapipe_gammalearn.inference import Predictor
from ctapipe_gammalearn.inference.channels import network_input
from ctapipe_gammalearn.inference.forward import run_eagerly

MODEL = Path(ctapipe_gammalearn.__file__).parent / "resources/lst_gammaphysnet.safetensors"
PRECISIONS = ("float32", "bfloat16", "float16")
BATCHES = 12


def main():
    """Print a line per precision and batch size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peak-tflops", type=float, nargs=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 256, 1024])
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU")
        return
    print_conditions(f"bench_gpu, {torch.cuda.get_device_name()}")
    rng = np.random.default_rng(0)
    for n in args.batch:
        for i, precision in enumerate(PRECISIONS):
            graph, eager = (
                Predictor(MODEL, device="cuda", precision=precision, batch_size=n) for _ in range(2)
            )
            eager._run = partial(run_eagerly, eager._forward, eager.device)
            shape = BATCHES * n, graph.lattice.n_pixels
            images = rng.poisson(2.0, shape).astype("f4"), rng.uniform(0, 40, shape).astype("f4")
            with FlopCounterMode(display=False) as flops:  # does not see inside a graph
                eager.predict(*images)
            cases = {"graph": graph, "eager": eager}
            runs = {name: partial(p.predict, *images) for name, p in cases.items()}
            seconds = interleaved(runs, args.rounds, time.perf_counter)
            line = f"{precision:9s} batch {n:5d} {len(images[0]) / seconds['graph']:9.0f} images/s"
            line += f", {seconds['eager'] / seconds['graph']:.2f} times as fast as without graphs"
            if args.peak_tflops:
                share = flops.get_total_flops() / seconds["graph"] / (1e12 * args.peak_tflops[i])
                line += f", {share:.1%} of the chip's limit"
            print(line)
    seconds = interleaved({"": partial(network_input, *images)}, args.rounds, time.perf_counter)
    print(f"preparation on the host {len(images[0]) / seconds['']:9.0f} images/s")


if __name__ == "__main__":
    main()
