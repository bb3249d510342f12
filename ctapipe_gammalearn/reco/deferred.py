"""Base class of reconstructors that see many events at once."""

from abc import abstractmethod

from ctapipe.core.traits import Bool
from ctapipe.io import DataWriter
from ctapipe.reco import Reconstructor

from .window import Window

__all__ = ["DeferredReconstructor"]


class DeferredReconstructor(Reconstructor):
    """A reconstructor that sees many events at once inside ctapipe-process.

    The results must be the same when a list of events is processed in parts or
    again. The abstract methods also keep this class out of ctapipe's list of names.
    """

    needs_atmosphere_profile = False

    defer = Bool(
        True,
        help="Collect the images of several events for one forward pass in ctapipe-process.",
    ).tag(config=True)

    def __call__(self, event):
        """Fill ``event.dl2``: now, or inside ctapipe-process before the event is written."""
        window = self._window() if self.defer else None
        if window is None:
            self.process([event], [self.note(event)])
        else:
            window.announce(event)

    def _window(self):
        """Return the window of the tool; None if it writes in a way we do not know."""
        tool = getattr(self.parent, "parent", None)
        writer = getattr(tool, "write", None)
        if isinstance(writer, Window):
            return writer
        chain = getattr(self.parent, "reconstructors", [])
        deferred = [s for s in chain if isinstance(s, DeferredReconstructor) and s.defer]
        if isinstance(writer, DataWriter) and deferred and deferred[0] is self:
            return Window(tool, self.parent, deferred)
        return None

    @property
    @abstractmethod
    def images_per_batch(self):
        """Number of images that it pays to wait for."""

    @abstractmethod
    def note(self, event):
        """Return what `process` must know of the event as it is now.

        Called exactly once for each event. The note's length is the number of images.
        """

    @abstractmethod
    def process(self, events, notes):
        """Fill ``dl2`` of all events."""
