"""The whole prediction as one torch module: what is exported for systems without Python.

It repeats in tensors what `network_input`, `decode`, `apply_calibration`, `camera_to_telescope`
and `physical` do in numpy; whoever writes it to a file compares it with the `Predictor` there.
"""

import math

import numpy as np
import torch
from torch import nn

from ..lattice import rotation_permutations
from ..nn import GammaPhysNet
from .channels import MAX_BAD_FRACTION, MAX_VALUE
from .likelihood import average_rotations, decoded_tensors
from .targets import ENERGY_RANGE_TEV, METRES

__all__ = ["WholeModel"]


class WholeModel(nn.Module):
    """Images to physical quantities, for any batch size.

    Parameters
    ----------
    model : ctapipe_gammalearn.weights.Model

    Attributes
    ----------
    inputs, outputs : tuple of str
        Names in order.
    n_pixels : int
    """

    def __init__(self, model):
        super().__init__()
        self.card = card = model.card
        cartesian = card.architecture.variant == "cartesian"
        engine = "auto" if cartesian else "raster"
        settings = card.input_settings()
        network = GammaPhysNet(card.architecture, model.lattice, model.mapping, engine, settings)
        network.load_state_dict(model.network.state_dict())
        self.network = network.frozen()
        # a loop over parts of a batch would fix its size
        self.network.backbone.engine.micro_batch = lambda x, training: 0
        self.n_turns = 1
        if settings is not None and settings.rotations > 1:
            turns = torch.as_tensor(np.stack(rotation_permutations(model.lattice)))
            self.n_turns = len(turns)
            self.register_buffer("turns", turns.flatten())
        for name, values in (card.calibration or {}).items():
            self.register_buffer(f"at_{name}", torch.tensor(values, dtype=torch.float64))
        self.inputs = ("image", "peak_time") if "peak_time" in card.channels else ("image",)
        self.eval().requires_grad_(False)
        self.n_pixels = model.lattice.n_pixels
        # also makes the engine's masks, which must be there before an export
        example = (torch.zeros(2, self.n_pixels) for _ in self.inputs)
        self.outputs = tuple(self.quantities(*example))

    def forward(self, image, peak_time=None):
        """Values of `quantities` in the order of ``outputs``."""
        return tuple(self.quantities(image, peak_time).values())

    def quantities(self, image, peak_time=None):
        """Everything that the model predicts.

        Parameters
        ----------
        image : Tensor, shape (N, n_pixels), float32, p.e.
            In the model's pixel order; may hold NaN.
        peak_time : Tensor, shape (N, n_pixels), float32, ns

        Returns
        -------
        dict of str to Tensor, shape (N,) or (N, 2), float32
            The fields of `Prediction` that the model has, ``is_valid`` (bool) first.
        """
        x, usable = self._input(image, peak_time)
        if self.n_turns > 1:
            x = x.index_select(2, self.turns).unflatten(2, (self.n_turns, -1))
            x = x.permute(2, 0, 1, 3).flatten(0, 1)
        raw = {task: values.double() for task, values in self.network(x).items()}
        if self.n_turns > 1:
            parts = {k: v.unflatten(0, (self.n_turns, -1)).unbind(0) for k, v in raw.items()}
            raw = average_rotations(
                [{k: p[i] for k, p in parts.items()} for i in range(self.n_turns)]
            )
        return self._physical(decoded_tensors(raw), usable)

    def _input(self, image, peak_time):
        """As `network_input`."""
        policy = self.card.preprocessing
        good = image.isfinite()
        usable = (~good).sum(1) <= MAX_BAD_FRACTION * image.shape[1]
        channels = [torch.where(good, image, policy["nan_image"])]
        if "peak_time" in self.inputs:
            good = peak_time.isfinite()
            usable = usable & good.any(1)
            channels.append(torch.where(good, peak_time, policy["nan_time"]))
        return torch.stack(channels, 1).clamp(-MAX_VALUE, MAX_VALUE), usable

    def _physical(self, decoded, valid):
        """As `apply_calibration` and `physical`."""
        for values in decoded.values():
            finite = values.isfinite()
            valid = valid & (finite.all(1) if values.ndim > 1 else finite)
        out = {}
        factor = {"energy": 1.0, "direction": 1.0}
        if "log10_energy" in decoded:
            log_energy = decoded["log10_energy"]
            if self.card.calibration is not None:
                factor = {name: self._at(log_energy, f"{name}_scale") for name in factor}
                log_energy = log_energy - self._at(log_energy, "energy_bias")
            low, high = np.log10(ENERGY_RANGE_TEV).tolist()
            valid = valid & (log_energy >= low) & (log_energy <= high)
            out["energy"] = torch.exp(math.log(10) * log_energy.clamp(low, high))
        if "log10_energy_scale" in decoded:
            width = torch.exp(math.log(10) * decoded["log10_energy_scale"] * factor["energy"])
            out["energy_uncert"] = out["energy"] * (width - 1 / width) / 2  # sinh
        if "direction" in decoded:
            out["direction"] = decoded["direction"]
            if self.card.shower is not None:
                out["direction"] = _camera_to_telescope(decoded["direction"])
        if "direction_scale" in decoded:
            out["direction_uncert"] = decoded["direction_scale"] * factor["direction"]
        if "impact" in decoded:
            out["impact"] = decoded["impact"] * METRES[self.card.tasks["impact"]["unit"]]
        if "class_logits" in decoded:
            probability = torch.softmax(decoded["class_logits"], 1)
            out["class_probability"] = probability
            out["gammaness"] = probability[:, self.card.tasks["class"]["signal"]]
        return {"is_valid": valid} | {k: _where(valid, v.float()) for k, v in out.items()}

    def _at(self, log_energy, name):
        """Calibration at each energy: linear between the knots, constant outside.

        A sum over the pieces needs no search, which not every run time has.
        """
        knots, values = self.at_log10_energy, getattr(self, f"at_{name}")
        slopes = values.diff() / knots.diff()
        steps = torch.minimum(log_energy[:, None].maximum(knots[:-1]), knots[1:]) - knots[:-1]
        return values[0] + (steps * slopes).sum(1)


def _where(valid, values):
    """NaN in rows that are not valid."""
    return torch.where(valid if values.ndim == 1 else valid[:, None], values, torch.nan)


def _camera_to_telescope(position):
    """As `camera_to_telescope`, in float32: run times have no arc tangent in float64."""
    x, y = torch.deg2rad(position.float()).unbind(1)
    lon = torch.atan(y)
    return torch.rad2deg(torch.stack([lon, torch.atan(x * torch.cos(lon))], 1))
