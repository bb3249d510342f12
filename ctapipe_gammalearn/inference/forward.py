"""What the device computes of a batch: network, mean over rotations, decoding."""

import contextlib

import torch

from .likelihood import average_rotations, decoded_tensors

__all__ = ["forward", "run_eagerly"]


def forward(network, turns, dtype, reduced, x):
    """Decoded outputs of a batch; nothing in between is needed on the host.

    Parameters
    ----------
    network : GammaPhysNet
        Frozen.
    turns : list of (Tensor or slice)
        Pixel orders of the turned images, by equal steps.
    dtype : torch.dtype
        Of the input.
    reduced : torch.dtype or None
        Of convolutions and shared layers, if not the same.
    x : Tensor, shape (n, n_channels, n_pixels), float32
        On the device of the network.

    Returns
    -------
    dict of str to Tensor, float64, n rows each
        Fields of `Decoded`; each can be copied at once.
    """
    x = x.to(dtype)
    with contextlib.ExitStack() as stack:
        if reduced is not None:
            # the cache would keep tensors of a CUDA graph, and weights need no conversion
            cast = torch.autocast(x.device.type, reduced, cache_enabled=False)
            stack.enter_context(cast)
        if x.is_cuda:
            # unlike for matrices, TF32 is torch's default for convolutions
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
        outputs = [network(x[..., turn]) for turn in turns]
    raw = [{task: values.double() for task, values in out.items()} for out in outputs]
    decoded = decoded_tensors(average_rotations(raw))
    return {name: values.contiguous() for name, values in decoded.items()}


def run_eagerly(function, device, batches, _size):
    """One batch after the other: see `ctapipe_gammalearn.inference.cuda.GraphRunner`."""
    for x, usable in batches:
        outputs = function(torch.as_tensor(x).to(device))
        yield {name: values.cpu() for name, values in outputs.items()}, usable
