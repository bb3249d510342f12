"""The predictor: arrays in, arrays out, no ctapipe."""

import logging
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..exceptions import DeviceError, LatticeError, ModelMismatch, OutOfMemory
from ..lattice import match_positions, rotation_permutations
from ..nn import GammaPhysNet
from ..weights import read_model
from .channels import network_input
from .cuda import GraphRunner
from .device import PRECISIONS, is_out_of_memory, number_of_threads, resolve_device
from .forward import forward, run_eagerly
from .likelihood import Decoded, apply_calibration, camera_to_telescope
from .targets import physical

__all__ = ["Predictor"]

log = logging.getLogger(__name__)

#: precisions in which convolutions and shared layers have fewer digits
REDUCED = ("bfloat16", "float16")
#: default number of images per forward pass
BATCH_SIZE = {"cpu": 32, "cuda": 256}


class Predictor:
    """A model file ready to run.

    Parameters
    ----------
    model : path or ctapipe_gammalearn.weights.Model
    device : {"auto", "cpu", "cuda", "cuda:n"}
    engine : {"auto", "runtiled", "raster", "gather", "indexedconv"}
        All give the same numbers; "auto" is the fastest.
    precision : {"float32", "float64", "bfloat16", "float16"}
        The last two are not exact, and faster on GPUs; heads stay in float32.
    batch_size : int, optional
        Images per forward pass; default 32 on a CPU, 256 on a GPU.  Halved when memory
        runs out.
    n_threads : int, optional
        torch threads on a CPU; default: what torch is set to.

    Attributes
    ----------
    card : ModelCard
    lattice : CameraLattice
    device : torch.device
    batch_size : int

    Raises
    ------
    ModelFileError
        See `ctapipe_gammalearn.weights.read_model`.
    DeviceError
        Device, engine or precision not available.
    """

    def __init__(
        self,
        model,
        *,
        device="auto",
        engine="auto",
        precision="float32",
        batch_size=None,
        n_threads=None,
    ):
        if precision not in PRECISIONS:
            raise DeviceError(f"unknown precision {precision!r}; use {', '.join(PRECISIONS)}")
        self.device = resolve_device(device)
        if isinstance(model, str | Path):
            model = read_model(model, engine=engine)
        self.card, self.lattice = model.card, model.lattice
        shower = self.card.input_settings()
        network = GammaPhysNet(self.card.architecture, self.lattice, model.mapping, engine, shower)
        network.load_state_dict(model.network.state_dict())
        dtype = torch.float64 if precision == "float64" else torch.float32
        reduced = getattr(torch, precision) if precision in REDUCED else None
        self._network = network.to(dtype).frozen(reduced).to(self.device)
        turns = [slice(None)]
        if shower is not None and shower.rotations > 1:
            turns = torch.as_tensor(rotation_permutations(self.lattice))
            turns = list(turns.to(self.device))
        self._forward = partial(forward, self._network, turns, dtype, reduced)
        if self.device.type == "cuda":
            self._run = GraphRunner(self._forward, self.device)
        else:
            self._run = partial(run_eagerly, self._forward, self.device)
        self.batch_size = batch_size or BATCH_SIZE[self.device.type]
        self.n_threads = n_threads

    @property
    def tasks(self):
        """Names of the quantities that the model predicts."""
        return tuple(self.card.tasks)

    def pixel_order(self, pix_x, pix_y):
        """Find the pixels of the model's camera in another one, by position alone.

        Parameters
        ----------
        pix_x, pix_y : ndarray, shape (n_pixels,), m
            Pixel centres of the data, camera frame.

        Returns
        -------
        ndarray, shape (n_pixels,), int64
            ``image_model = image[..., order]``.

        Raises
        ------
        ModelMismatch
            If the camera is not the model's (tolerance: a tenth of the pixel pitch).
        """
        lattice = self.lattice
        try:
            return match_positions(
                lattice.pix_x, lattice.pix_y, pix_x, pix_y, 0.1 * lattice.pitch_m
            )
        except LatticeError as error:
            raise ModelMismatch(f"the model is for {self.card.camera['name']}: {error}") from None

    def predict(self, image, peak_time=None, pixel_order=None):
        """Reconstruct images of one camera.

        Parameters
        ----------
        image : ndarray, shape (n_images, n_pixels), p.e.
        peak_time : ndarray, shape (n_images, n_pixels), ns
            May be None if the model does not use it.
        pixel_order : ndarray, shape (n_pixels,), int, optional
            From `pixel_order`; default: the images have the model's order.

        Returns
        -------
        Prediction
            One row per image, in order; see `Prediction` and `network_input` for when a
            row is invalid.

        Raises
        ------
        ModelMismatch
            Wrong number of pixels, or peak times missing.
        OutOfMemory
            Not even one image fits.
        """
        decoded, usable = self.decode(image, peak_time, pixel_order)
        decoded = apply_calibration(decoded, self.card.calibration)
        if self.card.shower is not None and decoded.direction is not None:
            decoded = replace(decoded, direction=camera_to_telescope(decoded.direction))
        return physical(decoded, usable, self.card.tasks)

    def decode(self, image, peak_time=None, pixel_order=None):
        """Outputs of the network before any calibration; parameters as for `predict`.

        Returns
        -------
        decoded : ctapipe_gammalearn.inference.likelihood.Decoded
        usable : ndarray, shape (n_images,), bool
            See `network_input`.
        """
        image, peak_time = self._check(image, peak_time)
        rows, usable, start = [], [], 0
        while True:
            rest = slice(start, None)
            batches = self._batches(image[rest], _part(peak_time, rest), pixel_order)
            try:
                with (
                    torch.inference_mode(),
                    number_of_threads(self.n_threads),
                    closing(self._run(batches, self.batch_size)) as done,
                ):
                    for outputs, good in done:
                        rows.append(outputs)
                        usable.append(good)
                        start += len(good)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._halve()
        joined = {name: torch.cat([row[name] for row in rows]).numpy() for name in rows[0]}
        return Decoded(**joined), np.concatenate(usable)

    def _batches(self, image, peak_time, order):
        """Input and usable rows of each batch, made when asked for; one even if it is empty."""
        policy = {key: self.card.preprocessing[key] for key in ("nan_image", "nan_time")}
        size = self.batch_size
        for start in range(0, max(len(image), 1), size):
            part = slice(start, start + size)
            yield network_input(image[part], _part(peak_time, part), order=order, **policy)

    def _check(self, image, peak_time):
        """Arrays of the right shape, or a ModelMismatch."""
        image = np.atleast_2d(image)
        n_pixels = self.lattice.n_pixels
        if image.shape[1] != n_pixels:
            raise ModelMismatch(f"images have {image.shape[1]} pixels, the model {n_pixels}")
        if "peak_time" not in self.card.channels:
            return image, None
        if peak_time is None:
            raise ModelMismatch("the model needs peak_time, which the data do not have")
        peak_time = np.atleast_2d(peak_time)
        if peak_time.shape != image.shape:
            raise ModelMismatch(f"peak_time has shape {peak_time.shape}, image {image.shape}")
        return image, peak_time

    def _halve(self):
        """Smaller batches from now on."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.batch_size == 1:
            raise OutOfMemory(f"not enough memory on {self.device} for one image")
        self.batch_size = max(1, self.batch_size // 2)
        log.warning("out of memory: batches of %d images from now on", self.batch_size)


def _part(array, part):
    """Rows of an optional array."""
    return None if array is None else array[part]
