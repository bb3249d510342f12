"""Choice of the device and the limits of its memory."""

import contextlib
import re

import torch

from ..exceptions import DeviceError

__all__ = ["is_out_of_memory", "number_of_threads", "resolve_device"]

#: in errors of torch that have no class of their own: on a CPU, and for pinned memory
NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory")
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
        With its number, if it is a GPU.

    Raises
    ------
    DeviceError
        Unknown name or absent device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", str(name)):
        raise DeviceError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:n")
    try:
        return torch.zeros(1, device=torch.device(name)).device
    except (RuntimeError, AssertionError):
        raise DeviceError(
            f"device {name} is not available on this machine; use device=auto or device=cpu"
        ) from None


def is_out_of_memory(error):
    """Whether a RuntimeError of torch, or one before it, means that the batch is too large.

    A CUDA graph whose recording ran out of memory fails again when the recording is ended.
    """
    while error is not None:
        if isinstance(error, torch.cuda.OutOfMemoryError):
            return True
        if any(text in str(error) for text in NO_MEMORY):
            return True
        error = error.__context__
    return False


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
