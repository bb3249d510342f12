"""Choice of the device and the limits of its memory."""

import contextlib
import re

import torch

from ..exceptions import DeviceError

__all__ = ["is_out_of_memory", "number_of_threads", "resolve_device"]

PRECISIONS = ("float32", "float64", "bfloat16", "float16")


def resolve_device(name="auto"):
    """Device of that name, checked with a one-element tensor.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "cuda:n"}
        "auto" is the first GPU if there is one, else the CPU.

    Returns
    -------
    torch.device

    Raises
    ------
    DeviceError
        Unknown name or absent device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", str(name)):
        raise DeviceError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:n")
    device = torch.device(name)
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise DeviceError(
            f"device {name} is not available on this machine; use device=auto or device=cpu"
        ) from None
    return device


def is_out_of_memory(error):
    """Whether a RuntimeError of torch means that the batch is too large."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(error)


@contextlib.contextmanager
def number_of_threads(n):
    """Run with ``n`` torch threads (None: leave them) and put the old number back."""
    before = torch.get_num_threads()
    if n is not None:
        torch.set_num_threads(n)
    try:
        yield
    finally:
        if n is not None:
            torch.set_num_threads(before)
