"""Speed of training: images per second of CPU time, one thread, images of the LST camera.

    python benchmarks/bench_training.py [--rounds 5] [--batch 128]

A step (forward, backward, AdamW, running average) of each recipe of the package, by the default
engine and by the engines raster and indexedconv, and the loader that feeds it, with augmentation;
all in turn in one process, medians.  Quote the ratios: to the step of the same recipe by raster,
and of loader to step (a loader that is not faster by a few times would hold up the training).
Images are those of the package's small file, repeated.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from conditions import interleaved, print_conditions

import ctapipe_gammalearn
from ctapipe_gammalearn.io.training_files import convert
from ctapipe_gammalearn.nn import GammaPhysNet
from ctapipe_gammalearn.training.arrays import join
from ctapipe_gammalearn.training.loader import BatchLoader
from ctapipe_gammalearn.training.module import TrainingModule
from ctapipe_gammalearn.training.preparation import make_network
from ctapipe_gammalearn.training.settings import read_recipe

RESOURCES = Path(ctapipe_gammalearn.__file__).parent / "resources"
RECIPES = {
    "patch": "train.yaml",
    "gammaphysnet": "train_gammaphysnet.yaml",
    "full camera": "train_camera.yaml",
}
ENGINES = ("raster", "indexedconv", "auto")
N_COPIES, N_BATCHES = 20, 10


def images(folder):
    """The package's images, every other one called background."""
    return join([convert(RESOURCES / "demo_events.dl1.h5", folder / "demo")] * N_COPIES)


def loader_of(recipe, data, batch):
    """Endless batches."""
    index = np.arange(len(data))
    loader = BatchLoader(
        data, index[::2], index[1::2], batch_size=batch, augmentation=recipe.augmentation
    )
    while True:
        yield from loader


def step_of(recipe, data, batch, engine):
    """One step of training on a fixed batch."""
    network = make_network(recipe, data)
    lattice, shower = data.lattice, network.shower.settings
    network = GammaPhysNet(network.architecture, lattice, engine=engine, shower=shower)
    module = TrainingModule(network, recipe, 10_000).train()
    optimizer = module.configure_optimizers()["optimizer"]
    values = next(loader_of(recipe, data, batch))

    def step():
        optimizer.zero_grad()
        module.training_step(values, 0).backward()
        module.configure_gradient_clipping(optimizer)
        optimizer.step()
        module.update_average()

    return step


def main(rounds, batch):
    """Measure and print."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    recipes = {name: read_recipe(RESOURCES / file) for name, file in RECIPES.items()}
    with tempfile.TemporaryDirectory() as folder:
        data = images(Path(folder))
        print_conditions(f"training, batch {batch}, {data.camera}, float32")
        cases = {
            (name, engine): step_of(recipe, data, batch, engine)
            for name, recipe in recipes.items()
            for engine in ENGINES
        }
        batches = loader_of(recipes["patch"], data, batch)
        # many at once: one batch is always prepared in the background
        cases["loader", ""] = lambda: [next(batches) for _ in range(N_BATCHES)]
        seconds = interleaved(cases, rounds)
        seconds["loader", ""] /= N_BATCHES
    for (name, engine), t in seconds.items():
        slow = seconds[name if engine else "patch", "raster"]
        print(f"  {name:14s} {engine:12s} {batch / t:7.0f} images/s  x {slow / t:6.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128)
    arguments = parser.parse_args()
    main(arguments.rounds, arguments.batch)
