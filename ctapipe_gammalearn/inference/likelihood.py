"""From likelihood outputs to values with uncertainties, and their calibration.

The camera plane (deg) of networks with their own input stage and ctapipe's telescope frame
are related exactly by the projection through the mirror's centre:
``x = tan(fov_lat) / cos(fov_lon)``, ``y = tan(fov_lon)`` (in units of the focal length).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..nn.likelihood import (
    LOG_ENERGY_SCALE_RANGE,
    mixture_mode,
    mixture_scale,
    rotate_mixture,
)

__all__ = [
    "Decoded",
    "apply_calibration",
    "average_rotations",
    "camera_to_telescope",
    "decode",
    "decoded_tensors",
    "telescope_to_camera",
]

#: 68 % of a Laplace distribution lie within this many scales
LAPLACE_68 = -math.log(0.32)


@dataclass(frozen=True, eq=False)
class Decoded:
    """Values of a batch; None for tasks and scales that the network does not have.

    Attributes
    ----------
    log10_energy, log10_energy_scale : ndarray, shape (n_images,)
        log10(E/TeV) and the half-width of the interval that holds 68 %.
    direction : ndarray, shape (n_images, 2)
        Camera plane, deg, for networks with their own input stage; else as the card says.
    direction_scale : ndarray, shape (n_images,), deg
        Radius that holds 68 %.
    impact : ndarray, shape (n_images, 2)
    class_logits : ndarray, shape (n_images, n_classes)
    """

    log10_energy: np.ndarray | None = None
    log10_energy_scale: np.ndarray | None = None
    direction: np.ndarray | None = None
    direction_scale: np.ndarray | None = None
    impact: np.ndarray | None = None
    class_logits: np.ndarray | None = None


def average_rotations(outputs):
    """One set of raw outputs from those of images turned by equal steps.

    Parameters
    ----------
    outputs : list of dict of str to Tensor
        Number k for images turned by ``+k * 360 / len(outputs)`` degrees.

    Returns
    -------
    dict of str to Tensor
        Means; the modes of a direction mixture are turned back and pooled.
    """
    if len(outputs) == 1:
        return outputs[0]
    result = {}
    for task in outputs[0]:
        parts = [output[task] for output in outputs]
        if task in ("direction", "impact"):
            angles = -2 * np.pi * np.arange(len(parts)) / len(parts)
            parts = [
                rotate_mixture(p, np.cos(a), np.sin(a)) for p, a in zip(parts, angles, strict=True)
            ]
            if parts[0].shape[1] > 2:
                result[task] = torch.cat(parts, 1)
                continue
        result[task] = torch.stack(parts).mean(0)
    return result


def decoded_tensors(raw):
    """Fields of `Decoded` that the network has, as tensors in float64.

    Parameters
    ----------
    raw : dict of str to Tensor, shape (n_images, n_outputs)

    Returns
    -------
    dict of str to Tensor
    """
    out = {}
    for task, values in raw.items():
        values = values.detach().double()
        if task == "energy":
            out["log10_energy"] = values[:, 0]
            if values.shape[1] == 2:
                scale = torch.exp(values[:, 1].clamp(*LOG_ENERGY_SCALE_RANGE))
                out["log10_energy_scale"] = LAPLACE_68 * scale
        elif task == "direction" and values.shape[1] > 2:
            out["direction"], out["direction_scale"] = mixture_mode(values), mixture_scale(values)
        else:
            out[{"class": "class_logits"}.get(task, task)] = values
    return out


def decode(raw):
    """Values and uncertainties of raw outputs.

    Parameters
    ----------
    raw : dict of str to Tensor, shape (n_images, n_outputs)

    Returns
    -------
    Decoded
        Arrays in float64, not calibrated.
    """
    on_cpu = {task: values.cpu() for task, values in raw.items()}
    return Decoded(**{name: v.numpy() for name, v in decoded_tensors(on_cpu).items()})


def apply_calibration(decoded, calibration):
    """Correct the energy and the sizes of the uncertainties.

    Parameters
    ----------
    decoded : Decoded
    calibration : dict or None
        Section of the model card: at the knots ``log10_energy`` (predicted), the bias (dex)
        to take off and the factors on the two uncertainties; linear in between.

    Returns
    -------
    Decoded
    """
    if calibration is None or decoded.log10_energy is None:
        return decoded
    knots = calibration["log10_energy"]
    # a value that is no number stays one
    at = {k: np.interp(decoded.log10_energy, knots, v) for k, v in calibration.items()}
    changes = {"log10_energy": decoded.log10_energy - at["energy_bias"]}
    for name, factor in (("log10_energy_scale", "energy"), ("direction_scale", "direction")):
        scale = getattr(decoded, name)
        if scale is not None:
            changes[name] = scale * at[f"{factor}_scale"]
    return replace(decoded, **changes)


def camera_to_telescope(position):
    """Camera plane (deg) to fov_lon, fov_lat (deg).

    Parameters
    ----------
    position : ndarray, shape (n, 2)
    """
    x, y = np.deg2rad(position).T
    lon = np.arctan(y)
    return np.rad2deg(np.stack([lon, np.arctan(x * np.cos(lon))], axis=1))


def telescope_to_camera(direction):
    """Inverse of `camera_to_telescope`.

    Parameters
    ----------
    direction : ndarray, shape (n, 2), deg
        fov_lon, fov_lat, less than 90 deg from the pointing.
    """
    lon, lat = np.deg2rad(direction).T
    return np.rad2deg(np.stack([np.tan(lat) / np.cos(lon), np.tan(lon)], axis=1))
