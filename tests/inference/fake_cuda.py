"""A GPU that is none: torch.cuda's streams, events, graphs and pinned memory on CPU tensors.

Copies that do not block, and graphs, are put into a queue.  They are carried out as late as a
real device may do it, when somebody waits for them, or, with ``Stream.prompt``, at once.  A graph
repeats the operations that were carried out while it was recorded, on the same memory; after the
recording that memory holds NaN.
"""

from contextlib import contextmanager, nullcontext

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Stream:
    """Queue of work."""

    prompt = False
    current = None

    def __init__(self, device=None):
        self.queue, self.n_done = [], 0

    def add(self, work):
        """Queue a function."""
        self.queue.append(work)
        if self.prompt:
            self.synchronize()

    def run(self, stop):
        """Carry out the first ``stop`` pieces of work that were ever queued."""
        with torch.inference_mode():
            while self.n_done < stop:
                self.n_done += 1
                self.queue[self.n_done - 1]()

    def synchronize(self):
        """Carry out everything."""
        self.run(len(self.queue))

    def wait_stream(self, other):
        """Work of another queue comes first."""


class Event:
    """Place in a queue."""

    def __init__(self, blocking=False):
        self.stream, self.place = None, 0

    def record(self, stream):
        """Remember the end of the queue."""
        self.stream, self.place = stream, len(stream.queue)

    def synchronize(self):
        """Carry out what comes before."""
        if self.stream is not None:
            self.stream.run(self.place)


class Recording(TorchDispatchMode):
    """All operations, with their results."""

    def __init__(self):
        super().__init__()
        self.calls, self.outside, self.made = [], set(), {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Carry out one operation and keep it."""
        kwargs = kwargs or {}
        self.outside |= {memory(t) for t in tensors((args, kwargs))} - self.made.keys()
        result = func(*args, **kwargs)
        self.made |= {memory(t): t for t in tensors(result) if memory(t) not in self.outside}
        self.calls.append((func, args, kwargs, result))
        return result


class Graph:
    """Recorded operations."""

    n_recorded = n_launched = 0

    def replay(self):
        """Queue all operations."""
        Graph.n_launched += 1
        Stream.current.add(self.run)

    def run(self):
        """Repeat each operation and put its result where it was."""
        for func, args, kwargs, result in self.recording.calls:
            again = func(*args, **kwargs)
            for old, new in zip(tensors(result), tensors(again), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)


@contextmanager
def record(graph, *, pool, stream, capture_error_mode):
    """Stands for ``torch.cuda.graph``."""
    assert capture_error_mode == "thread_local"
    assert not torch.is_inference_mode_enabled()
    assert stream is Stream.current
    stream.synchronize()
    with Recording() as graph.recording:
        yield
    Graph.n_recorded += 1
    own = [t for *_, result in graph.recording.calls for t in tensors(result)]
    with torch.inference_mode():
        for tensor in own:
            if memory(tensor) not in graph.recording.outside and tensor.is_floating_point():
                tensor.fill_(torch.nan)


class Device(TorchDispatchMode):
    """Inside, tensors behave as if some of them were on a GPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Postpone copies that do not block; pinned memory is just memory."""
        kwargs = {k: v for k, v in (kwargs or {}).items() if k != "pin_memory"}
        if func is torch.ops.aten.copy_.default and len(args) > 2 and args[2]:
            Stream.current.add(lambda: args[0].copy_(args[1]))
            return args[0]
        return func(*args, **kwargs)


@contextmanager
def use_stream(stream):
    """Stands for ``torch.cuda.stream``."""
    before, Stream.current = Stream.current, stream
    try:
        yield
    finally:
        Stream.current = before


def install(monkeypatch):
    """Replace what `ctapipe_gammalearn.inference.cuda` uses of torch.cuda."""
    monkeypatch.setattr(Graph, "n_recorded", 0)
    monkeypatch.setattr(Graph, "n_launched", 0)
    replacements = {
        "CUDAGraph": Graph,
        "Event": Event,
        "Stream": Stream,
        "current_stream": lambda device: None,
        "device": lambda device: nullcontext(),
        "graph": record,
        "graph_pool_handle": object,
        "stream": use_stream,
    }
    for name, value in replacements.items():
        monkeypatch.setattr(torch.cuda, name, value)


def tensors(tree):
    """All tensors in nested containers."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def memory(tensor):
    """Address of the storage."""
    return tensor.untyped_storage().data_ptr()
