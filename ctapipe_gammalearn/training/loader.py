"""Batches of images in an order that depends on the seed and the epoch only.

An interrupted training that goes on from `BatchLoader.state_dict` sees exactly the batches
that it would have seen: orders and noise are drawn from counter-based generators, keyed by
seed, epoch and batch.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from ..exceptions import TrainingError
from .augment import apply, augmentation_tables

__all__ = ["BACKGROUND", "GAMMA", "BatchLoader", "batches", "shuffled"]

GAMMA, BACKGROUND = 0, 1
BLOCK = 64  # neighbouring images that stay together when read
WINDOW = 64  # blocks whose images are mixed: 4096 images
LEAST_WEIGHT, LARGEST_WEIGHT = 0.1, 10.0


def _generator(*key):
    """Random numbers of a key of non-negative integers."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def shuffled(index, rng):
    """Shuffle so that images close in time were close on the disk.

    Blocks of 64 images are shuffled; then the images within windows of 64 blocks.

    Parameters
    ----------
    index : ndarray, shape (n,), int
        In the order of the files.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (n,)
    """
    blocks = np.array_split(index, range(BLOCK, len(index), BLOCK))
    order = rng.permutation(len(blocks))
    windows = np.array_split(order, range(WINDOW, len(order), WINDOW))
    mixed = [rng.permutation(np.concatenate([blocks[j] for j in window])) for window in windows]
    return np.concatenate(mixed)


class BatchLoader:
    """Iterable over the batches of an epoch; iterated again, it gives the next epoch.

    An epoch is one pass through the class that lasts longer; the other one is repeated, in
    another order each time.  Every batch has the same number of gammas; a last partial batch
    is left out (BatchNorm needs equal batches).

    Parameters
    ----------
    images : ImageSet
    gammas, background : ndarray of int
        Images of the two classes.
    labels : ndarray, shape (len(images),), int, optional
        Class of each image; default: 0 for gammas, 1 for background.
    batch_size : int
    gamma_fraction : float
        Of each batch.
    seed : int
    augmentation : Augmentation, optional
    energy_weight_index : float, optional
        Weights of gammas are E to this power divided by their mean, within 0.1 and 10.
    threads : int
        Batches that are prepared ahead, each in a thread; the batches do not depend on it.
    place : tuple of int
        Number k of this process and number n of those that share each batch: it gets every
        n-th gamma and background image, from the k-th on.

    Raises
    ------
    TrainingError
        If a class that the batches need has no images, or the processes cannot share a batch.
    """

    def __init__(
        self, images, gammas, background, labels=None, *, batch_size=128, gamma_fraction=0.5,
        seed=0, augmentation=None, energy_weight_index=None, threads=1, place=(0, 1),
    ):  # fmt: skip
        self.images, self.seed, self.augmentation = images, seed, augmentation
        self.threads, self.place = threads, place
        self.classes = [
            np.sort(np.asarray(index, dtype=np.int64)) for index in (gammas, background)
        ]
        n_gammas = round(batch_size * gamma_fraction)
        self.shares = (n_gammas, batch_size - n_gammas)
        self._check()
        self.labels = _labels(images, self.classes) if labels is None else np.asarray(labels)
        self.weights = _energy_weights(images.events, self.classes[GAMMA], energy_weight_index)
        self.tables = None
        if augmentation is not None:
            self.tables = augmentation_tables(images.lattice, augmentation)
        self.epoch, self.position = 0, 0

    def _check(self):
        """Raise unless every class that is needed has images."""
        names = ("gammas", "background events")
        for name, index, share in zip(names, self.classes, self.shares, strict=True):
            if share and not len(index):
                raise TrainingError(
                    f"no {name} left for training; give files of both classes and looser cuts"
                )
        if any(share % self.place[1] for share in self.shares):
            raise TrainingError(
                f"run.devices: {self.shares[0]} gammas and {self.shares[1]} background images of a"
                f" batch cannot be shared by {self.place[1]} devices; change data.batch_size"
            )
        if np.intersect1d(*self.classes).size:
            raise TrainingError("an image cannot be gamma and background at once")
        if not len(self):
            raise TrainingError(
                f"fewer images ({sum(map(len, self.classes))}) than a batch of {sum(self.shares)}"
            )

    def __len__(self):
        """Number of batches of an epoch."""
        shares = zip(self.classes, self.shares, strict=True)
        return max(len(index) // share for index, share in shares if share)

    def state_dict(self):
        """Where the next batch is: ``epoch`` and ``position`` (batch of the epoch)."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state):
        """Go on where the state was taken."""
        self.epoch, self.position = int(state["epoch"]), int(state["position"])

    def __iter__(self):
        """Yield the rest of the epoch, as dictionaries of tensors.

        Yields
        ------
        dict
            x (N, 2, n_pixels) p.e. and ns, log10_energy (N,), direction (N, 2) deg, impact
            (N, 2) 100 m, weight (N,): float32; label (N,): int64.
        """
        epoch, first, n = self.epoch, self.position, len(self)
        orders = [self._order(epoch, number, n) for number in (GAMMA, BACKGROUND)]
        with ThreadPoolExecutor(self.threads) as pool:
            ahead = range(first, min(first + self.threads, n))
            coming = deque(pool.submit(self._batch, orders, epoch, b) for b in ahead)
            for b in range(first, n):
                batch = coming.popleft().result()
                if b + self.threads < n:
                    coming.append(pool.submit(self._batch, orders, epoch, b + self.threads))
                # before the yield: a checkpoint taken meanwhile names the next batch, and
                # nobody has to ask for a batch after the last one
                last = b + 1 == n
                self.epoch, self.position = (epoch + 1, 0) if last else (epoch, b + 1)
                yield batch

    def _order(self, epoch, number, n):
        """Images of one class for an epoch, long enough for ``n`` batches."""
        index, share = self.classes[number], self.shares[number]
        need, parts, turn = n * share, [], 0
        while need > 0:
            parts.append(shuffled(index, _generator(self.seed, epoch, number, turn))[:need])
            need -= len(parts[-1])
            turn += 1
        return np.concatenate(parts) if parts else index[:0]

    def _batch(self, orders, epoch, b):
        """One batch: gammas first, which no layer or loss can notice."""
        index = np.concatenate([
            order[b * share : (b + 1) * share]
            for order, share in zip(orders, self.shares, strict=True)
        ])  # fmt: skip
        image, peak_time = self.images.rows(index)
        events = self.images.events[index]
        direction, impact = events["direction"], events["impact"]
        if self.augmentation is not None:
            rng = _generator(self.seed, epoch, b, 2, 0, 0)
            image, peak_time, direction, impact = apply(
                image, peak_time, direction, impact, self.augmentation, self.tables, rng
            )
        batch = _tensors(image, peak_time, events, direction, impact)
        batch["label"] = torch.from_numpy(self.labels[index].astype(np.int64))
        batch["weight"] = torch.from_numpy(self.weights[index])
        # noise was drawn for the whole batch, so that it does not depend on who shares it;
        # gammas first and shares that can be divided: every n-th row serves both classes
        first, step = self.place
        return {name: rows[first::step] for name, rows in batch.items()}


def _tensors(image, peak_time, events, direction, impact):
    """Network input and true values."""
    return {
        "x": torch.from_numpy(np.stack([image, peak_time], axis=1)),
        "log10_energy": torch.from_numpy(events["log10_energy"].copy()),
        "direction": torch.from_numpy(np.array(direction, dtype=np.float32)),
        "impact": torch.from_numpy(np.array(impact, dtype=np.float32)),
    }


def _labels(images, classes):
    """Class 0 for gammas, 1 for all others."""
    labels = np.full(len(images), BACKGROUND, dtype=np.int64)
    labels[classes[GAMMA]] = GAMMA
    return labels


def _energy_weights(events, gammas, index):
    """Weight of each image, shape (n_images,), float32."""
    weights = np.ones(len(events), dtype=np.float32)
    if index is not None and len(gammas):
        power = 10.0 ** (index * events["log10_energy"][gammas].astype(float))
        weights[gammas] = np.clip(power / power.mean(), LEAST_WEIGHT, LARGEST_WEIGHT)
    return weights


def batches(images, index, size=512):
    """Batches of given images in the given order, not augmented, for evaluation.

    Parameters
    ----------
    images : ImageSet
    index : ndarray of int
    size : int
        The last batch may be smaller.

    Yields
    ------
    dict
        As from `BatchLoader`, without label and weight, and with ``index``, shape (N,), int64.
    """
    index = np.asarray(index, dtype=np.int64)
    for start in range(0, len(index), size):
        here = index[start : start + size]
        events = images.events[here]
        image, peak_time = images.rows(here)
        batch = _tensors(image, peak_time, events, events["direction"], events["impact"])
        yield batch | {"index": torch.from_numpy(here)}
