"""Sums over the processes that share a batch; with one process they are the values themselves."""

import torch
from torch import distributed

__all__ = ["n_processes", "total"]


def n_processes():
    """Number of processes that train together."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def total(x):
    """Sum of a tensor over all processes, the same in each of them.

    Its gradient is that of the sum of the processes' losses. Where each process computes the
    loss of the whole batch, that is n times the gradient, which averaging over the n processes,
    as `torch.nn.parallel.DistributedDataParallel` does, puts right.

    Parameters
    ----------
    x : Tensor
        Of equal shape in all processes.
    """
    return x if n_processes() == 1 else _Total.apply(x)


class _Total(torch.autograd.Function):
    """All-reduce that can be differentiated any number of times."""

    @staticmethod
    def forward(ctx, x):
        """Sum of the values."""
        x = x.contiguous().clone()
        distributed.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, dy):
        """Sum of the gradients."""
        return _Total.apply(dy)
