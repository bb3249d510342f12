"""From a recipe and a set of images to what is trained on what."""

import logging
from dataclasses import dataclass, field

import numpy as np
import torch

from ..exceptions import TrainingError
from ..nn import Architecture, GammaPhysNet, InputSettings, camera_mapping
from ..nn.likelihood import AXIS_SIZE, MODE_SIZE
from ..nn.shower import NUM_CHANNELS
from .selection import Cleaning, fill_summaries, select
from .split import CALIBRATION, TRAIN, VALIDATION, parts

__all__ = ["Parts", "divide", "make_network"]

log = logging.getLogger(__name__)

#: true_shower_primary_id of gamma rays
GAMMA = 0
#: gamma images without which a part says nothing
LEAST = 10
CHUNK = 8192


@dataclass(frozen=True, eq=False)
class Parts:
    """Numbers of the images in each part.

    Attributes
    ----------
    gammas, background : ndarray, shape (n,), int64
        Training images.
    validation, calibration : ndarray, shape (n,), int64
        Images of both classes; of gammas.
    is_gamma : ndarray, shape (n_images,), bool
    """

    gammas: np.ndarray = field(repr=False)
    background: np.ndarray = field(repr=False)
    validation: np.ndarray = field(repr=False)
    calibration: np.ndarray = field(repr=False)
    is_gamma: np.ndarray = field(repr=False)

    def labels(self):
        """Class of each image of the set: 0 gamma, 1 background; shape (n_images,), int64."""
        return np.where(self.is_gamma, 0, 1)

    def counts(self):
        """Number of images by part."""
        names = ("gammas", "background", "validation", "calibration")
        return {name: len(getattr(self, name)) for name in names}


def divide(recipe, images):
    """Select images and divide them by shower.

    Parameters
    ----------
    recipe : Recipe
    images : ImageSet

    Returns
    -------
    Parts

    Raises
    ------
    TrainingError
        If a part has too few gammas, or there is no background to learn the class from.
    """
    events = images.events
    shower = recipe.shower
    cleaning = Cleaning(shower.picture_pe, shower.boundary_pe, shower.min_neighbours)
    if any(a.meta.get("cleaning", vars(Cleaning())) != vars(cleaning) for a in images.arrays):
        events = _summarise(images, cleaning)
    good = select(events, recipe.selection)
    part = parts(events, recipe.data.split_salt, recipe.data.fractions)
    is_gamma = events["particle"] == GAMMA
    index = {
        "gammas": np.flatnonzero(good & is_gamma & (part == TRAIN)),
        "background": np.flatnonzero(good & ~is_gamma & (part == TRAIN)),
        "validation": np.flatnonzero(good & (part == VALIDATION)),
        "calibration": np.flatnonzero(good & is_gamma & (part == CALIBRATION)),
    }
    _check(recipe, index, is_gamma, len(events))
    index["gammas"] = _thin(index["gammas"], recipe.data.max_images)
    index["background"] = _thin(index["background"], recipe.data.max_images)
    index["validation"] = _thin(index["validation"], recipe.run.validation_images)
    log.info("images: %s", ", ".join(f"{len(v)} {k}" for k, v in index.items()))
    return Parts(is_gamma=is_gamma, **index)


def _check(recipe, index, is_gamma, n):
    """Refuse what cannot be trained on."""
    if not is_gamma.any():
        raise TrainingError(f"no gamma among {n} images; give files of simulated gamma rays, too")
    chosen = {
        "training": len(index["gammas"]),
        "validation": int(is_gamma[index["validation"]].sum()),
        "calibration": len(index["calibration"]),
    }
    for name, count in chosen.items():
        if count < LEAST:
            raise TrainingError(
                f"{count} gamma images left for the {name} part, at least {LEAST} are needed; give"
                " more files, loosen the selection or change data.fractions"
            )
    classes = "class" in recipe.network.tasks
    if classes and (not len(index["background"]) or is_gamma[index["validation"]].all()):
        raise TrainingError(
            "no background image left for the training or validation part; give proton files, or"
            " take class out of network.tasks and set data.gamma_fraction to 1"
        )


def _summarise(images, cleaning):
    """Events with the sizes of images cleaned with other thresholds."""
    events = images.events.copy()
    for start in range(0, len(events), CHUNK):
        index = np.arange(start, min(start + CHUNK, len(events)))
        block = events[index]
        fill_summaries(block, images.rows(index)[0], images.lattice, cleaning)
        events[index] = block
    return events


def _thin(index, limit):
    """At most ``limit`` of the numbers, evenly spread."""
    if limit is None or len(index) <= limit:
        return index
    return index[np.linspace(0, len(index) - 1, limit).astype(np.int64)]


def make_network(recipe, images):
    """Network of a recipe for a camera, with random weights of the recipe's seed.

    Parameters
    ----------
    recipe : Recipe
    images : ImageSet

    Returns
    -------
    GammaPhysNet
    """
    network, loss = recipe.network, recipe.loss
    shower = InputSettings(focal_length_m=images.focal_length_m, **vars(recipe.shower))
    directions = {"mixture": MODE_SIZE * network.modes, "axis_sign": AXIS_SIZE}
    sizes = {
        "energy": 2 if loss.energy == "laplace" else 1,
        "impact": 2,
        "direction": directions.get(loss.direction, 2),
        "class": 2,
    }
    attention = network.attention != "none"
    cartesian = network.variant == "cartesian"
    mapping = camera_mapping(images.lattice) if cartesian else None
    architecture = Architecture(
        variant=network.variant,
        num_channels=NUM_CHANNELS,
        num_layers=network.num_layers,
        block_features=network.block_features,
        activation=network.activation,
        attention=network.attention,
        reduced=[max(1, c // network.ratio) for c in network.block_features] if attention else (),
        fc_width=network.fc_width,
        trunk=network.trunk,
        num_scalars=shower.num_scalars if network.trunk else 0,
        outputs={task: size for task, size in sizes.items() if task in network.tasks},
        output_size=_last_size(mapping, network.block_features) if cartesian else None,
    )
    result = GammaPhysNet(architecture, images.lattice, mapping, shower=shower)
    result.reset_parameters(torch.Generator().manual_seed(recipe.run.seed))
    result.dropout = network.dropout
    return result


def _last_size(mapping, blocks):
    """Rows and columns of a square image after all blocks, each but the first halving them."""
    return tuple(-(-n // 2 ** (len(blocks) - 1)) for n in mapping.image_shape)
