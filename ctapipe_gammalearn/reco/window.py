"""Batches over the event loop of an unmodified ``ctapipe-process``.

ctapipe asks a reconstructor for one event at a time and writes the event at once.
A `Window` takes the place of the tool's writer and cuts the chain of reconstructors
after the stage that wants batches. Events gather in the window; when it is full,
the deferred stages see all of them together, the other stages after them one by
one, and the real writer gets the events in the order in which they were read.
"""

from collections import deque
from itertools import islice
from typing import Any, NamedTuple

from ctapipe.containers import ArrayEventContainer, DL0Container, R0Container, R1Container
from ctapipe.core import ToolConfigurationError

from .stop import signals_held

__all__ = ["Window"]

#: Whatever the batch size, a window is emptied when it holds this much.
MAX_EVENTS = 4096
MAX_BYTES = 256_000_000
#: Size of the containers of one telescope without their arrays.
CONTAINER_BYTES = 25_000


class Waiting(NamedTuple):
    """An event in the window, and what each deferred stage noted when it came in."""

    event: ArrayEventContainer
    notes: dict[int, Any]


class Window:
    """Stands in for ``tool.write`` and owns the events between reading and writing.

    Parameters
    ----------
    tool : ctapipe.core.Tool
        Runs ``tool.process_shower(event)`` and then ``tool.write(event)``.
    processor : ctapipe.reco.ShowerProcessor
        Owner of the chain of reconstructors.
    deferred : list of DeferredReconstructor
        Stages that want many events at once; the first one is being called.
    """

    def __init__(self, tool, processor, deferred):
        self.writer = tool.write
        self.tool, self.chain = tool, processor.reconstructors
        self.deferred, self.head = deferred, deferred[0]
        self.start = next(i for i, stage in enumerate(self.chain) if stage is self.head)
        self.stages = self.chain[self.start :]
        # the first ``n_ready`` events of the queue only wait for being written
        self.queue, self.n_ready = deque(), 0
        self.n_images = self.n_bytes = 0
        self.announced = False
        # in place: the running loop over the chain ends after the head
        del self.chain[self.start + 1 :]
        tool.write = self
        # entered after the writer, hence left before it: events are completed while
        # the output file is still open, also after an error or Ctrl-C
        tool.enter_context(self)

    def __getattr__(self, name):
        return getattr(self.writer, name)

    def announce(self, event):
        """Note that an event has reached the head: the tool must want it written next."""
        if self.announced:
            self._refuse("the tool does not write each event with its component 'write'")
        if any(event is waiting.event for waiting in self.queue):
            self._refuse("the event source uses the same event container again")
        self.announced = True

    def __call__(self, event):
        """Keep the event that the tool wants written; empty the window when it is full."""
        self.announced = False
        _drop_waveforms(event, self.writer)
        notes = {id(stage): stage.note(event) for stage in self.deferred}
        self.queue.append(Waiting(event, notes))
        self.n_images += max(map(len, notes.values()))
        self.n_bytes += _size(event)
        full = self.n_images >= self.head.images_per_batch
        if full or self.n_bytes >= MAX_BYTES or len(self.queue) >= MAX_EVENTS:
            self.flush()

    def flush(self):
        """Complete and write all waiting events.

        If a stage fails, the events are repeated one by one, so that those before the
        bad one reach the file as they would without a window; the rest is given up.
        After Ctrl-C the window can be flushed again: stages overwrite their results.
        """
        waiting = list(islice(self.queue, self.n_ready, None))
        try:
            self._run(waiting)
        except Exception:
            self._write_until_failure()
            raise
        self.n_ready = len(self.queue)
        self.n_images = self.n_bytes = 0
        self._write_ready()

    def _run(self, waiting):
        """Let all stages see the waiting events."""
        events = [w.event for w in waiting]
        for stage in self.stages if events else ():
            if any(stage is other for other in self.deferred):
                stage.process(events, [w.notes[id(stage)] for w in waiting])
            else:
                for event in events:
                    stage(event)

    def _write_ready(self):
        """Write events that all stages have seen; none is written twice or in part."""
        try:
            while self.n_ready:
                with signals_held():
                    self.n_ready -= 1
                    self.writer(self.queue.popleft().event)
        except Exception:
            self._clear()
            raise

    def _write_until_failure(self):
        """Run and write event by event; forget all events after the one that fails."""
        try:
            self._write_ready()
            while self.queue:
                self._run([self.queue[0]])
                self.n_ready = 1
                self._write_ready()
        finally:
            self._clear()

    def _clear(self):
        self.queue.clear()
        self.n_ready = self.n_images = self.n_bytes = 0

    def _refuse(self, reason):
        """Stop the run, without the events that can no longer be told apart."""
        self._clear()
        name = type(self.head).__name__
        raise ToolConfigurationError(
            f"{name}: cannot collect events, {reason}; set {name}.defer=False"
        )

    def write_simulated_shower_distributions(self, distributions):
        """Finish the window: this is the first thing that a tool does after the last event."""
        if len(self.queue) > 1:
            self.head.log.info("Finishing %d events", len(self.queue))
        self.flush()
        self._restore()
        self.writer.write_simulated_shower_distributions(distributions)

    def _restore(self):
        """Give writer and chain back; the tool needs the whole chain for its statistics."""
        if self.tool.write is self:
            self.tool.write = self.writer
            self.chain[self.start :] = self.stages

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        try:
            self.flush()
        finally:
            self._restore()


def _drop_waveforms(event, writer):
    """Free what neither the stages nor the writer need: most of the memory."""
    if not writer.write_r0_waveforms:
        event.r0 = R0Container()
    if not writer.write_r1_waveforms:
        event.r1 = R1Container()
    event.dl0 = DL0Container()
    event.meta.pop("simtel_event", None)


def _size(event):
    """Estimate of the memory held by an event, in bytes."""
    arrays = [dl1.image for dl1 in event.dl1.tel.values()]
    arrays += [dl1.peak_time for dl1 in event.dl1.tel.values()]
    arrays += [tel.waveform for level in (event.r0, event.r1) for tel in level.tel.values()]
    n_bytes = sum(array.nbytes for array in arrays if array is not None)
    return n_bytes + CONTAINER_BYTES * (1 + len(event.dl1.tel))
