"""Gather events from tables to the batches that the network sees in ctapipe-process."""

from dataclasses import replace

import numpy as np

from ..io.dl1_chunks import Events
from .checks import passes, refusal
from .rows import RowParameters, passing_rows

__all__ = ["Dl1Row", "complete_windows"]

#: as in `window`: so many events are not waited for
MAX_EVENTS = 4096


def complete_windows(portions, network):
    """Gather events until the network has enough images.

    Parameters
    ----------
    portions : iterable of Events
    network : GammaPhysNetReconstructor
        Decides about each image, once.

    Yields
    ------
    events : Events
        Images that the network must not see have lost their pixels.
    ends : list of int
        Numbers of events at which the windows end.
    """
    waiting = None
    for portion in portions:
        _judge(portion.images, network)
        events = portion if waiting is None else _join(waiting, portion)
        ends = _ends(events, network.images_per_batch)
        if ends:
            yield _part(events, 0, ends[-1]), ends
        waiting = _part(events, ends[-1] if ends else 0, len(events))
        for image in waiting.images:  # not views that keep all of the portion
            for name in ("image", "peak_time"):
                if (pixels := getattr(image, name)) is not None:
                    setattr(image, name, pixels.copy())
    if waiting is not None and len(waiting):
        yield waiting, [len(waiting)]


class Dl1Row:
    """Stands for ``event.dl1.tel[tel_id]``."""

    def __init__(self, image):
        self.image, self.peak_time = image.image, image.peak_time
        found = image.parameters
        self.parameters = None if found is None else RowParameters(*found)


def _judge(images, network):
    """Take the pixels of images that the network must not see."""
    for image, passed in zip(images, _passing(images, network.quality_query), strict=True):
        reason = refusal(Dl1Row(image), network.models.get(image.tel_id), passed)
        if reason is not None:
            network.tally.count(reason)
            image.image = image.peak_time = None


def _passing(images, query):
    """What `passes` says of each image, many at once."""
    passed, rows = [False] * len(images), {}
    for i, image in enumerate(images):
        if image.parameters is None:
            passed[i] = passes(Dl1Row(image), query)
        else:
            table, row = image.parameters
            rows.setdefault(id(table), (table, []))[1].append((i, row))
    for table, found in rows.values():
        places, numbers = map(list, zip(*found, strict=True))
        for i, good in zip(places, passing_rows(table, numbers, query), strict=True):
            passed[i] = good
    return passed


def _ends(events, n_images):
    """Ends of windows: after the event that brings enough images."""
    counts = np.bincount(
        [image.event for image in events.images if image.image is not None], minlength=len(events)
    )
    ends, start, total = [], 0, 0
    for i, count in enumerate(counts.tolist()):
        total += count
        if total >= n_images or i + 1 - start >= MAX_EVENTS:
            ends.append(i + 1)
            start, total = i + 1, 0
    return ends


def _part(events, start, stop):
    """Events from ``start`` to ``stop``, counted anew."""
    images = [
        replace(image, event=image.event - start)
        for image in events.images
        if start <= image.event < stop
    ]
    return Events(events.obs_id[start:stop], events.event_id[start:stop], images)


def _join(first, second):
    """Events one after the other."""
    moved = [replace(image, event=image.event + len(first)) for image in second.images]
    keys = [
        np.concatenate([getattr(e, name) for e in (first, second)])
        for name in ("obs_id", "event_id")
    ]
    return Events(*keys, first.images + moved)
