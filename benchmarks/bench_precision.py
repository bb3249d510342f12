"""What bfloat16, float16 and a GPU change, and how fast the exported ONNX file is on a CPU.

    python benchmarks/bench_precision.py [--device cpu] [--rounds 3] [--onnx model.onnx]

Outputs of lst-gammaphysnet for the images of the package's DL1 sample, against float32 on a CPU:
median, 99 % quantile and largest difference.  With ``--onnx``, the file that
``ctapipe-gammalearn-models export`` made of that model runs in turn with the predictor: CPU time.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from conditions import interleaved, print_conditions
from ctapipe.io import TableLoader

import ctapipe_gammalearn
from ctapipe_gammalearn.inference import Predictor

RESOURCES = Path(ctapipe_gammalearn.__file__).parent / "resources"


def sample():
    """Charges and times of the sample, in the order of its file, and pixel positions."""
    with TableLoader(RESOURCES / "demo_events.dl1.h5") as loader:
        tables = loader.read_telescope_events_by_id(dl1_images=True).items()
        camera = loader.subarray.tel[min(loader.subarray.tel)].camera.geometry
        columns = [np.concatenate([t[c] for _, t in tables]) for c in ("image", "peak_time")]
    return *columns, camera.pix_x.to_value("m"), camera.pix_y.to_value("m")


def main():
    """Print the differences of each precision and the ratio of times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--onnx")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print_conditions("bench_precision")
    path = RESOURCES / "lst_gammaphysnet.safetensors"
    predictor = Predictor(path, device="cpu")
    *images, x, y = sample()
    order = predictor.pixel_order(x, y)
    images = [np.ascontiguousarray(a[:, order], dtype=np.float32) for a in images]
    exact = predictor.predict(*images)
    for precision in ("float32", "bfloat16", "float16"):
        near = Predictor(path, device=args.device, precision=precision).predict(*images)
        valid = exact.is_valid & near.is_valid
        changes = {
            "log10 E": np.log10(near.energy / exact.energy),
            "gammaness": near.gammaness - exact.gammaness,
            "direction (deg)": np.linalg.norm(near.direction - exact.direction, axis=1),
        }
        for name, change in changes.items():
            middle, most, worst = np.quantile(np.abs(change[valid]), [0.5, 0.99, 1])
            print(f"{precision:9s} {name:16s} {middle:.1e} {most:.1e} {worst:.1e}"
                  f"  ({valid.sum()} images)")  # fmt: skip
    if args.onnx:
        compare_times(args, predictor, [a[:32] for a in images])


def compare_times(args, predictor, images):
    """Time of 32 images in the predictor and in ONNX Runtime, one thread each."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(args.onnx, options)
    feed = dict(zip([node.name for node in session.get_inputs()], images, strict=True))
    cases = {
        "predictor": lambda: predictor.predict(*images),
        "onnxruntime": lambda: session.run(None, feed),
    }
    times = interleaved(cases, args.rounds)
    for name, seconds in times.items():
        print(f"{name:12s} {len(images[0]) / seconds:7.1f} images/s")
    print(f"predictor / onnxruntime, time: {times['predictor'] / times['onnxruntime']:.2f}")


if __name__ == "__main__":
    main()
