"""From raw images to what the backbone sees: cleaning, time, crop and image features.

All of it is part of the network, so that training, prediction and export cannot differ.
Directions are positions in the camera plane in degrees, rad2deg(x / focal length).
"""

import math
from dataclasses import asdict, dataclass, fields

import torch
from torch import nn
from torch.nn import functional as F

from ..exceptions import ModelFileError
from ..lattice import neighbour_table, patch_lattice, patch_table
from .features import EPS, NUM_FEATURES, border_rings, image_features

__all__ = ["NUM_CHANNELS", "InputSettings", "ShowerInput"]

#: channels given to the backbone
NUM_CHANNELS = 5
CHARGE_SCALE = 3.0  # p.e.; asinh is linear below and logarithmic above
TIME_SCALE, TIME_LIMIT, TIME_WIDTH = 5.0, 12.0, 4.0  # ns
TIME_CHARGE = 2.5  # p.e.; below, the time of a pixel is that of the noise


@dataclass(frozen=True)
class InputSettings:
    """How images are prepared.

    Attributes
    ----------
    focal_length_m : float
        Scale of the camera plane.
    picture_pe, boundary_pe : float
        Thresholds of the tail-cuts cleaning that finds the shower.
    min_neighbours : int
        Picture neighbours that a picture pixel needs.
    all_pixels : bool
        Whether pixels outside the cleaning mask keep their charges.
    crop : int or None
        Rows and columns of the patch around the charge centroid; None: the whole camera.
    features : bool
        Whether image parameters join the features of the convolutions.
    rotations : int
        Predictions are averaged over this many rotated images: 1 or 6.
    """

    focal_length_m: float
    picture_pe: float = 8.0
    boundary_pe: float = 4.0
    min_neighbours: int = 2
    all_pixels: bool = True
    crop: int | None = 24
    features: bool = True
    rotations: int = 6

    def __post_init__(self):
        """Check all values."""
        good = {
            "focal_length_m": 0 < self.focal_length_m < 1000,
            "picture_pe": self.picture_pe >= self.boundary_pe,
            "boundary_pe": self.boundary_pe > 0,
            "min_neighbours": self.min_neighbours in range(1, 7),
            "crop": self.crop is None or self.crop in range(4, 129),
            "rotations": self.rotations in (1, 4, 6),
        }
        for name, ok in good.items():
            if not ok:
                raise ModelFileError(f"shower input: {name} = {getattr(self, name)!r} is not valid")

    @property
    def num_scalars(self):
        """Numbers per image that bypass the convolutions."""
        return 2 + (NUM_FEATURES if self.features else 0)

    def to_dict(self):
        """Plain types for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Inverse of `to_dict`; `ModelFileError` for missing or unknown keys."""
        names = {f.name for f in fields(cls)}
        if odd := sorted(names ^ set(values)):
            raise ModelFileError(f"shower input: missing or unknown key {odd[0]}")
        return cls(**values)


class ShowerInput(nn.Module):
    """Raw images to channels, scalars and the reference position of the direction.

    Parameters
    ----------
    settings : InputSettings
    lattice : CameraLattice
    """

    def __init__(self, settings, lattice):
        super().__init__()
        self.settings = settings
        self.lattice = patch_lattice(lattice, settings.crop) if settings.crop else lattice
        n = lattice.n_pixels
        # level-0 cells out, pixel numbers in: bring the columns to pixel order
        table = torch.empty(lattice.n_taps, n, dtype=torch.int64)
        table[:, lattice.scan_order.copy()] = torch.as_tensor(
            neighbour_table(lattice.matrix, lattice.shape)
        )
        centre = lattice.n_taps // 2
        table = torch.cat([table[:centre], table[centre + 1 :]])
        degrees = math.degrees(1) / settings.focal_length_m
        xy = torch.stack([torch.as_tensor(lattice.pix_x), torch.as_tensor(lattice.pix_y)])
        self._keep("neighbours", torch.where(table < 0, n, table))  # (n_taps - 1, P)
        self._keep("rings", border_rings(self.neighbours, n))
        self._keep("xy", (xy * degrees).float())  # (2, P), deg
        if settings.crop:
            self._keep("cells", torch.as_tensor(patch_table(lattice, settings.crop)))

    def _keep(self, name, value):
        """Tables move with the module and are no part of its state."""
        self.register_buffer(name, value, persistent=False)

    def forward(self, x):
        """Prepare a batch.

        Parameters
        ----------
        x : Tensor, shape (N, 2, n_pixels)
            Charge (p.e.) and peak time (ns), finite.

        Returns
        -------
        channels : Tensor, shape (N, 5, n_cells)
            asinh(q/3); cleaning mask; (t - t₀)/5 ns where q > 2.5 p.e.; asinh(q/3) in time
            with the shower; 1 inside the camera.
        scalars : Tensor, shape (N, num_scalars)
            Charge centroid (deg), then `image_features`.
        centre : Tensor, shape (N, 2), deg
            What the network's direction is relative to: the pixel in the middle of the
            patch, or the centroid.
        """
        with torch.autocast(x.device.type, enabled=False):
            charge, time = x.unbind(1)
            mask = self.clean(charge)
            weight = charge * mask
            total = weight.sum(1, keepdim=True).clamp(min=EPS)
            centroid = (weight[:, None] * self.xy).sum(2) / total
            t0 = (weight * time).sum(1, keepdim=True) / total
            dt = (time - t0).clamp(-TIME_LIMIT, TIME_LIMIT)
            if not self.settings.all_pixels:
                charge, dt = weight, dt * mask
            scalars = [centroid]
            if self.settings.features:
                scalars.append(image_features(weight, mask, dt, self.xy, self.rings, self._pitch()))
            channels = _channels(charge, mask, dt)
            if not self.settings.crop:
                inside = torch.ones_like(channels[:, :1])
                return torch.cat([channels, inside], 1), torch.cat(scalars, 1), centroid
            pixel = (centroid[:, :, None] - self.xy).square().sum(1).argmin(1)
            centre = self.xy[:, pixel].T
            return self._crop(channels, pixel), torch.cat(scalars, 1), centre

    def _pitch(self):
        """Pixel pitch (deg)."""
        return self.lattice.pitch_m * math.degrees(1) / self.settings.focal_length_m

    def clean(self, charge):
        """Tail-cuts mask (N, P) as numbers, as ``ctapipe.image.tailcuts_clean``.

        Picture pixels need picture neighbours, boundary pixels one that is kept.  An image
        without any has its brightest pixel as mask.
        """
        s = self.settings
        above = charge >= s.picture_pe
        core = above & (self._count(above) >= s.min_neighbours)
        mask = core | ((charge >= s.boundary_pe) & (self._count(core) > 0))
        brightest = F.one_hot(charge.argmax(1), charge.shape[1]).bool()
        empty = ~mask.any(1, keepdim=True)
        return (mask | (empty & brightest & (charge > 0))).to(charge.dtype)

    def _count(self, flags):
        """Number of flagged neighbours of each pixel."""
        flags = F.pad(flags.to(torch.uint8), (0, 1))
        return sum(flags.index_select(1, neighbour) for neighbour in self.neighbours)

    def _crop(self, channels, pixel):
        """Cells of the patch around a pixel of each image, with the inside channel."""
        cells = self.cells[pixel]  # (N, n_cells)
        inside = (cells < channels.shape[2]).to(channels.dtype)[:, None]
        index = cells[:, None].expand(-1, channels.shape[1], -1)
        return torch.cat([F.pad(channels, (0, 1)).gather(2, index), inside], 1)


def _channels(charge, mask, dt):
    """First four channels (N, 4, P)."""
    light = torch.asinh(charge / CHARGE_SCALE)
    late = dt / TIME_SCALE * (charge > TIME_CHARGE)
    in_time = light.clamp(min=0) * torch.exp(-0.5 * (dt / TIME_WIDTH) ** 2)
    return torch.stack([light, mask, late, in_time], 1)
