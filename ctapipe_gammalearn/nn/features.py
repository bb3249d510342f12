"""Image parameters of cleaned images as tensors: a few that do not turn, a few that do."""

import torch
from torch.nn import functional as F

__all__ = ["NUM_FEATURES", "border_rings", "image_axis", "image_features"]

NUM_INVARIANT, NUM_TURNING = 16, 8
NUM_FEATURES = NUM_INVARIANT + NUM_TURNING
EPS = 1e-9


def border_rings(neighbours, n_pixels):
    """Pixels of the outermost and of the two outermost rings of the camera.

    Parameters
    ----------
    neighbours : Tensor, shape (n_taps - 1, n_pixels), int64
        ``n_pixels`` where there is no neighbour.
    n_pixels : int

    Returns
    -------
    Tensor, shape (2, n_pixels), float32
    """
    outer = (neighbours == n_pixels).any(0)
    second = outer | F.pad(outer, (0, 1))[neighbours].any(0)
    return torch.stack([outer, second]).float()


def image_features(weight, mask, dt, xy, rings, pitch):
    """Hillas, timing, leakage and concentration parameters (Hillas 1985) of a batch.

    Parameters
    ----------
    weight : Tensor, shape (N, P), p.e.
        Charges of cleaned pixels, 0 elsewhere.
    mask : Tensor, shape (N, P)
    dt : Tensor, shape (N, P), ns
        Times relative to the mean.
    xy : Tensor, shape (2, P), deg
    rings : Tensor, shape (2, P)
        See `border_rings`.
    pitch : float, deg

    Returns
    -------
    Tensor, shape (N, NUM_FEATURES)
        Signed logarithms of 16 numbers that are the same for a turned image, then four
        vectors that turn with it (time gradient, skewness along the axis, the elongation
        as (cos 2ψ, sin 2ψ), and the direction to the camera centre).  Finite for any
        finite image.
    """
    total = weight.sum(1).clamp(min=EPS)
    p = weight / total[:, None]
    centroid = (p[:, None] * xy).sum(2)  # (N, 2)
    dx, dy = xy[0] - centroid[:, :1], xy[1] - centroid[:, 1:]
    sxx, syy, sxy = (p * dx * dx).sum(1), (p * dy * dy).sum(1), (p * dx * dy).sum(1)
    psi = 0.5 * torch.atan2(2 * sxy, sxx - syy + EPS)
    cos, sin = torch.cos(psi)[:, None], torch.sin(psi)[:, None]
    along, across = cos * dx + sin * dy, cos * dy - sin * dx
    length2 = (p * along.square()).sum(1).clamp(min=EPS)
    width2 = (p * across.square()).sum(1).clamp(min=EPS)
    third = (p * along**3).sum(1) / (length2 + EPS) ** 1.5
    fourth = (p * along**4).sum(1) / (length2 + EPS) ** 2
    slope = (p * along * dt).sum(1) / (length2 + pitch**2 / 12)
    residual = dt - slope[:, None] * along
    spread = (p * dt.square()).sum(1).clamp(min=0).sqrt()
    deviation = (p * residual.square()).sum(1).clamp(min=0).sqrt()
    n = mask.sum(1)
    distance = centroid.square().sum(1).sqrt()
    inside = (along**2 / length2[:, None] + across**2 / width2[:, None]) < 1
    near = (dx**2 + dy**2) < pitch**2
    invariant = [
        torch.log(total), distance, length2.sqrt(), width2.sqrt(), length2.sqrt() * width2.sqrt(),
        third.abs(), fourth, slope.abs(), spread, deviation, n,
        (p * rings[0]).sum(1), (p * rings[1]).sum(1),
        (p * inside).sum(1), (p * near).sum(1), weight.amax(1),
    ]  # fmt: skip
    invariant = torch.stack(invariant, 1)
    invariant = invariant.sign() * torch.log1p(invariant.abs())
    axis = torch.cat([cos, sin], 1)
    elongation = (1 - (width2 / length2).clamp(0, 1).sqrt())[:, None]
    double = torch.cat([cos * cos - sin * sin, 2 * cos * sin], 1)
    turning = [
        torch.tanh(slope / 5)[:, None] * axis,
        third.clamp(-2, 2)[:, None] * axis,
        elongation * double,
        centroid / (distance[:, None] + pitch),
    ]
    return torch.cat([invariant, *turning], 1)


def image_axis(features):
    """Unit vector (cos ψ, sin ψ) along the image, shape (N, 2), -90° <= ψ <= 90°.

    Parameters
    ----------
    features : Tensor, shape (N, NUM_FEATURES)
        From `image_features`; a round image has ψ = 0.
    """
    cos2, sin2 = features[:, NUM_INVARIANT + 4 : NUM_INVARIANT + 6].unbind(1)
    psi = 0.5 * torch.atan2(sin2, cos2)
    return torch.stack([torch.cos(psi), torch.sin(psi)], 1)
