"""Images per second of lst-gammaphysnet on a GPU, by precision and batch size.

    python benchmarks/bench_gpu.py [--peak-tflops 60 990 990] [--rounds 5] [--batch 32 256 1024]

From arrays to physical quantities, copies included, wall time.  TF32 is off.  With the chip's
limits for float32, bfloat16 and float16, the fraction of them that the network's
convolutions and matrix products reach is printed as well.  Without a GPU it ends with 0.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from conditions import interleaved, print_conditions
from torch.utils.flop_counter import FlopCounterMode

import ctapipe_gammalearn
from ctapipe_gammalearn.inference import Predictor

MODEL = Path(ctapipe_gammalearn.__file__).parent / "resources/lst_gammaphysnet.safetensors"
PRECISIONS = ("float32", "bfloat16", "float16")


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
            predictor = Predictor(MODEL, device="cuda", precision=precision, batch_size=n)
            shape = 4 * n, predictor.lattice.n_pixels
            images = rng.poisson(2.0, shape).astype("f4"), rng.uniform(0, 40, shape).astype("f4")
            with FlopCounterMode(display=False) as flops:
                predictor.predict(*images)
            run = {"": lambda p=predictor, x=images: p.predict(*x)}
            seconds = interleaved(run, args.rounds, time.perf_counter)[""]
            line = f"{precision:9s} batch {n:5d} {len(images[0]) / seconds:9.0f} images/s"
            if args.peak_tflops:
                share = flops.get_total_flops() / seconds / (1e12 * args.peak_tflops[i])
                line += f", {share:.1%} of the chip's limit"
            print(line)


if __name__ == "__main__":
    main()
