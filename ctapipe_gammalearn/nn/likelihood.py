"""Likelihood outputs: Laplace for log10 energy, a mixture of modes for the direction.

A single telescope often cannot tell head from tail of an image, so that its direction has
two solutions.  The direction output is a mixture of K bivariate Student-t distributions
(ν = 3, for the tails); per mode six numbers (w, x, y, log s_x, log s_y, c): logit of the
weight, position (deg, camera plane), and the Cholesky factor of the inverse scale matrix
with diagonal 1/s_x, 1/s_y and element c below it (Bishop 1994, mixture density networks).

A network may instead give one such mode in the frame of the image (distance from the centroid
along the axis, offset across it) and the side of the centroid: `axis_mixture` makes two modes
of them, after which nothing distinguishes the two kinds.
"""

import math

import torch
from torch.nn import functional as F

__all__ = [
    "AXIS_SIZE",
    "MODE_SIZE",
    "axis_mixture",
    "laplace_nll",
    "mixture_mode",
    "mixture_nll",
    "mixture_scale",
    "rotate_mixture",
    "shift_mixture",
]

#: numbers per mode
MODE_SIZE = 6
#: numbers of a direction on the axis of the image, see `axis_mixture`
AXIS_SIZE = 7
NU = 3.0
LOG_NORM = math.lgamma(NU / 2 + 1) - math.lgamma(NU / 2) - math.log(NU * math.pi)
LOG_SCALE_RANGE = (-5.0, 2.0)
LOG_ENERGY_SCALE_RANGE = (-4.0, 2.0)
#: deg; modes nearer than this are one answer
SMOOTHING = 0.1
STEPS = 5


def laplace_nll(output, target):
    """Negative log-likelihood of a Laplace distribution, without its constant.

    Parameters
    ----------
    output : Tensor, shape (N, 2)
        Location and log scale.
    target : Tensor, shape (N,)

    Returns
    -------
    Tensor, shape (N,)
    """
    log_scale = output[:, 1].clamp(*LOG_ENERGY_SCALE_RANGE)
    return log_scale + (output[:, 0] - target).abs() * torch.exp(-log_scale)


def _modes(output):
    """(N, 6 K) to (N, K, 6), scales limited."""
    modes = output.unflatten(-1, (-1, MODE_SIZE))
    scales = modes[..., 3:5].clamp(*LOG_SCALE_RANGE)
    return torch.cat([modes[..., :3], scales, modes[..., 5:]], -1)


def mixture_nll(output, target):
    """Negative log-likelihood of positions under the mixture.

    Parameters
    ----------
    output : Tensor, shape (N, 6 K)
    target : Tensor, shape (N, 2), deg

    Returns
    -------
    Tensor, shape (N,)
    """
    modes = _modes(output)
    dx, dy = (target[:, None] - modes[..., 1:3]).unbind(-1)
    log_x, log_y = -modes[..., 3], -modes[..., 4]
    u = torch.exp(log_x) * dx
    v = modes[..., 5] * dx + torch.exp(log_y) * dy
    log_p = LOG_NORM + log_x + log_y - (NU / 2 + 1) * torch.log1p((u * u + v * v) / NU)
    return -torch.logsumexp(torch.log_softmax(modes[..., 0], 1) + log_p, 1)


def mixture_mode(output):
    """Most probable position: mean shift from the best mode (Comaniciu & Meer 2002).

    Parameters
    ----------
    output : Tensor, shape (N, 6 K)

    Returns
    -------
    Tensor, shape (N, 2), deg
    """
    position, _ = _climb(output)
    return position


def mixture_scale(output):
    """Size (deg) of the region that holds about 68 %: for a calibration to scale.

    Root of the probability-weighted mean over all modes of s² + (distance to the answer)²,
    distances limited to 2 deg, so that a second solution counts as uncertainty.

    Parameters
    ----------
    output : Tensor, shape (N, 6 K)

    Returns
    -------
    Tensor, shape (N,)
    """
    position, (weight, centre, square) = _climb(output)
    distance = (centre - position[:, None]).square().sum(-1).clamp(max=4.0)
    return (weight * (square + distance)).sum(1).sqrt()


def _climb(output):
    """Answer (N, 2), and weight (N, K), centre (N, K, 2) and s² (N, K) of the modes."""
    modes = _modes(output)
    weight, centre = torch.softmax(modes[..., 0], 1), modes[..., 1:3]
    square = torch.exp(modes[..., 3] + modes[..., 4]) + SMOOTHING**2

    def kernel(points):  # (N, M, 2) to (N, M, K)
        distance = (points[:, :, None] - centre[:, None]).square().sum(-1)
        inside = 1 + distance / square[:, None] / NU
        return (weight / square)[:, None] * inside ** (-NU / 2 - 1)

    best = kernel(centre).sum(-1).argmax(1)
    point = centre.gather(1, best[:, None, None].expand(-1, 1, 2))
    for _ in range(STEPS):
        k = kernel(point)
        point = (k[..., None] * centre[:, None]).sum(2) / k.sum(2, keepdim=True)
    return point[:, 0], (weight, centre, square)


def shift_mixture(output, offset):
    """Mixture with all modes, or plain position, moved by ``offset`` (N, 2)."""
    if output.shape[1] == 2:
        return output + offset
    modes = output.unflatten(1, (-1, MODE_SIZE))
    moved = modes[..., 1:3] + offset[:, None]
    return torch.cat([modes[..., :1], moved, modes[..., 3:]], -1).flatten(1)


def axis_mixture(output, centroid, axis):
    """Mixture of two modes on opposite sides of an image, from numbers in its own frame.

    Parameters
    ----------
    output : Tensor, shape (N, 7)
        Side (x, y): its product with the axis is the logit of the first mode, so that it does
        not matter which end of the axis is called the front.  Then a mode in the frame of the
        image, without weight: distance along the axis before softplus (deg), offset across it
        (deg), logarithms of both scales, c.
    centroid : Tensor, shape (N, 2), deg
    axis : Tensor, shape (N, 2)
        Unit vector (cos ψ, sin ψ) along the image.

    Returns
    -------
    Tensor, shape (N, 12)
        Modes at centroid ± (distance along + offset across), of equal shape.
    """
    along, across, log_a, log_b, c = output[:, 2:].unbind(1)
    along = F.softplus(along)
    log_a, log_b = log_a.clamp(*LOG_SCALE_RANGE), log_b.clamp(*LOG_SCALE_RANGE)
    cos, sin = axis.unbind(1)
    step = torch.stack([cos * along - sin * across, sin * along + cos * across], 1)
    # the inverse squared scale matrix, turned, and its factor again; s_x s_y does not change
    aa, ab, bb = torch.exp(-2 * log_a) + c**2, c * torch.exp(-log_b), torch.exp(-2 * log_b)
    yy = sin**2 * aa + 2 * sin * cos * ab + cos**2 * bb
    xy = sin * cos * (aa - bb) + (cos**2 - sin**2) * ab
    log_y = -0.5 * torch.log(yy)
    shape = torch.stack([log_a + log_b - log_y, log_y, xy * torch.exp(log_y)], 1)
    logit = (output[:, :2] * axis).sum(1, keepdim=True)
    front = torch.cat([logit, centroid + step, shape], 1)
    back = torch.cat([torch.zeros_like(logit), centroid - step, shape], 1)
    return torch.cat([front, back], 1)


def rotate_mixture(output, cos, sin):
    """Mixture or plain position with its positions turned by an angle.

    The shapes of the modes are not turned: `mixture_mode` and `mixture_scale` do not
    depend on their orientation.

    Parameters
    ----------
    output : Tensor, shape (N, 2) or (N, 6 K)
    cos, sin : float
        Of the angle.

    Returns
    -------
    Tensor
        Of the same shape.
    """
    plain = output.shape[1] == 2
    modes = output if plain else output.unflatten(1, (-1, MODE_SIZE))
    x, y = (modes if plain else modes[..., 1:3]).unbind(-1)
    turned = torch.stack([cos * x - sin * y, sin * x + cos * y], -1)
    if plain:
        return turned
    return torch.cat([modes[..., :1], turned, modes[..., 3:]], -1).flatten(1)
