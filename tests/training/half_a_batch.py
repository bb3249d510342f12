"""One of two processes that compute a gradient together; run by `test_processes`.

``python -m tests.training.half_a_batch RANK PORT FOLDER CASE...`` writes ``CASE.RANK.npz`` with the
batch and the gradient that averaging over the processes leaves.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import distributed

from ctapipe_gammalearn.training.loader import BatchLoader
from ctapipe_gammalearn.training.module import TrainingModule
from ctapipe_gammalearn.training.preparation import divide, make_network

from .toy import small_recipe, toy_images

#: sections of the recipe by case
CASES = {
    "likelihoods": {},
    "penalty": {"loss": {"gradient_penalty": 0.1}},
    "attention": {
        "network": {"attention": "dual", "trunk": 0, "tasks": ["energy", "class"]},
        "loss": {"energy": "l1"},
    },
    "whole_camera": {"shower": {"crop": None}, "data": {"energy_weight_index": 1.0}},
    "uncertainty": {
        "loss": {"energy": "l1", "direction": "angular"},
        "balance": {"method": "uncertainty"},
    },
    "gradnorm": {"loss": {"energy": "l1", "direction": "l1"}, "balance": {"method": "gradnorm"}},
}


def batch_and_gradient(images, case, place=(0, 1)):
    """Second batch of a process, and gradients, losses and statistics after it."""
    recipe = small_recipe(**CASES[case])
    parts = divide(recipe, images)
    settings = {"batch_size": 16, "seed": 3, "augmentation": recipe.augmentation, "place": place}
    settings["energy_weight_index"] = recipe.data.energy_weight_index
    batches = iter(BatchLoader(images, parts.gammas, parts.background, **settings))
    batch = next(batches), next(batches)
    network = make_network(recipe, images)
    network.dropout = 0.0
    module = TrainingModule(network, recipe, 10).double().train()
    if case == "gradnorm":
        module.balance.scale.count.fill_(100)
    module.training_step({**batch[1], "x": batch[1]["x"].double()}, 0).backward()
    gradient = {
        f"{kind}.{name}": value.detach()
        for kind, values in (
            ("gradient", [(n, p.grad) for n, p in module.named_parameters() if p.grad is not None]),
            ("buffer", [(n, b) for n, b in module.named_buffers() if "running" in n]),
            ("loss", [(n, torch.tensor(v)) for n, v in module.last_losses.items()]),
        )
        for name, value in values
    }
    return batch[1], gradient


def main(rank, port, folder, *cases):
    """Compute and write."""
    distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=int(rank), world_size=2
    )
    images = toy_images(Path(folder), 150, rings=4)
    for case in cases:
        batch, gradient = batch_and_gradient(images, case, (int(rank), 2))
        for name, value in gradient.items():
            if name.startswith("gradient."):
                distributed.all_reduce(value)
                value /= 2
        rows = {f"batch.{name}": value for name, value in batch.items()} | gradient
        arrays = {name: value.numpy() for name, value in rows.items()}
        np.savez(Path(folder) / f"{case}.{rank}.npz", **arrays)
    distributed.destroy_process_group()
    sys.stdout.write(json.dumps(cases))


if __name__ == "__main__":
    main(*sys.argv[1:])
