"""Batches on a GPU: pinned buffers, asynchronous copies, CUDA graphs.

While the device works on one batch, the host prepares the next.  Copies and work of all
batches stand in one queue (a stream), so that the device keeps their order.  The host waits only
before it reads results; their buffers are used again after that.

Hundreds of kernels, each launched from Python, take longer than a small batch.  They are
recorded once per number of rows and then launched as one (Gray 2019, "Getting started with CUDA
graphs").  A graph knows addresses, not tensors: inputs and outputs stay where they are.
"""

import logging
import threading
from collections import deque

import torch

from .device import is_out_of_memory

__all__ = ["GraphRunner"]

log = logging.getLogger(__name__)

#: batches that the device has or that wait to be collected
SLOTS = 2
#: passes before a graph is recorded: they make handles, workspaces and masks that outlive it
WARM_UP = 2
#: torch records one graph at a time in a process
_recording = threading.Lock()


class GraphRunner:
    """Run a function of batches on one GPU; threads that share it take turns.

    If a graph cannot be recorded, there is one warning and the kernels are launched one by one
    from then on.

    Parameters
    ----------
    forward : callable
        From a tensor (n, n_channels, n_pixels), float32, to a dict of tensors with n rows, all on
        the device.  Must not need values on the host.
    device : torch.device
    """

    def __init__(self, forward, device):
        self._forward, self._device = forward, device
        self._lock = threading.Lock()
        self._stream = torch.cuda.Stream(device)
        self._stream.wait_stream(torch.cuda.current_stream(device))  # weights are on their way
        self._records = True
        self._buffers = None

    def __call__(self, batches, size):
        """Run all batches.

        Parameters
        ----------
        batches : iterable of (ndarray, ndarray)
            Input (n, n_channels, n_pixels), float32, n <= size, and something that belongs to it.
            One is taken while the device works on those before it.
        size : int
            Largest number of rows that the device gets at once.

        Yields
        ------
        outputs : dict of str to Tensor
            With n rows, on the CPU, in the order of the batches.
        usable : ndarray
            As given.

        Raises
        ------
        RuntimeError
            Of torch; all memory was given back.
        """
        with self._lock, torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            try:
                yield from self._pipeline(batches, size)
            except RuntimeError:
                self._release()
                raise

    def _pipeline(self, batches, size):
        """Start each batch as soon as there is a free slot."""
        waiting = deque()
        for number, (x, usable) in enumerate(batches):
            if len(waiting) == SLOTS:
                yield waiting.popleft().result()
            rows = len(x)
            if self._records:  # a power of two: few graphs, less than half of the rows for nothing
                rows = min(size, 1 << max(rows - 1, 0).bit_length())
            if self._buffers is None or rows > len(self._buffers.x):
                self._release()
                self._buffers = _Buffers((rows, *x.shape[1:]), self._device)
            slot = self._buffers.slots[number % SLOTS]
            waiting.append(self._start(slot, x, usable, rows))
        while waiting:
            yield waiting.popleft().result()

    def _release(self):
        """Give all memory back, once the device needs it no more."""
        buffers, self._buffers = self._buffers, None
        self._stream.synchronize()
        del buffers

    def _start(self, slot, x, usable, rows):
        """Queue copy, network and copy back of one batch."""
        slot.put(x, usable)
        self._buffers.x[: len(x)].copy_(slot.x[: len(x)], non_blocking=True)
        slot.get(self._outputs(rows))
        slot.done.record(self._stream)
        return slot

    def _outputs(self, rows):
        """Queue the network for the first rows; what it gives."""
        buffers = self._buffers
        if self._records and rows not in buffers.graphs:
            self._record(buffers, rows)
        if not self._records:
            return self._forward(buffers.x[:rows])
        graph, outputs = buffers.graphs[rows]
        graph.replay()
        return outputs

    def _record(self, buffers, rows):
        """Add the graph for a number of rows."""
        x, graph = buffers.x[:rows], torch.cuda.CUDAGraph()
        with _recording:
            for _ in range(WARM_UP):
                self._forward(x)
            try:
                outputs = self._recorded(graph, buffers.pool, x)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                self._records = False
                buffers.graphs.clear()
                reason = " ".join(str(error).split())[:200]
                log.warning("no CUDA graph on %s, slower: %s", self._device, reason)
            else:
                buffers.graphs[rows] = graph, outputs

    def _recorded(self, graph, pool, x):
        """Where a graph will put its outputs."""
        # Graphs can share a pool, as one runs after the other and outputs are copied at once.
        # thread_local: other threads may use the device meanwhile.
        options = {"pool": pool, "stream": self._stream, "capture_error_mode": "thread_local"}
        recording = torch.cuda.graph(graph, **options)
        # what torch keeps for later recordings of others must not become inference tensors
        with torch.inference_mode(False), recording, torch.inference_mode():
            return self._forward(x)


class _Buffers:
    """Memory for batches of up to shape[0] rows, and the graphs that use it."""

    def __init__(self, shape, device):
        self.x = torch.zeros(shape, device=device)
        self.slots = [_Slot(shape) for _ in range(SLOTS)]
        self.pool, self.graphs = torch.cuda.graph_pool_handle(), {}


class _Slot:
    """Pinned memory of one batch, which the device reads and writes by itself."""

    def __init__(self, shape):
        self.x = torch.empty(shape, pin_memory=True)
        self.outputs = {}
        # blocking: other threads of the process get the core meanwhile
        self.done = torch.cuda.Event(blocking=True)

    def put(self, x, usable):
        """Take a batch.

        What an interrupted call left in the queue reads it, too, but nobody reads the result.
        """
        self.x[: len(x)].copy_(torch.as_tensor(x))
        self.n, self.usable = len(x), usable

    def get(self, outputs):
        """Queue the copy of outputs from the device."""
        for name, values in outputs.items():
            if name not in self.outputs:
                shape = len(self.x), *values.shape[1:]
                self.outputs[name] = torch.empty(shape, dtype=values.dtype, pin_memory=True)
            self.outputs[name][: self.n].copy_(values[: self.n], non_blocking=True)

    def result(self):
        """Outputs, copied so that the slot is free, and what came with the batch."""
        self.done.synchronize()
        return {name: v[: self.n].clone() for name, v in self.outputs.items()}, self.usable
