"""One file of ``ctapipe-gammalearn-apply``, from DL1 images to verified DL2."""

import errno
import logging
import time
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import tables
from ctapipe.core import Component, Provenance, ToolConfigurationError
from ctapipe.core.traits import TraitError
from ctapipe.instrument import SubarrayDescription
from ctapipe.io import write_table
from traitlets.config import Config

from ..exceptions import ApplyError
from ..files import whole_file
from ..io.copied_files import PARTS, Selection, copy_file, missing_rows, summed
from ..io.dl1_chunks import Dl1Reader, ahead
from ..io.dl2_writer import Dl2Writer, EventRows
from ..reco import GammaPhysNetReconstructor
from ..reco.event_tables import algorithms, dl2_rows, example_event
from ..reco.gather import complete_windows
from .apply_files import check_parameters, open_source, write_headers
from .apply_record import flat, is_done, set_record, wanted_record

__all__ = ["CHUNK_SIZE", "apply_file"]

CHUNK_SIZE = 512  # images
AHEAD = 2  # portions that wait for the network, and for being written
CACHE = 1 << 21  # bytes of chunks that each table may keep in memory; 16 MiB unless set
STATISTICS = "/dl2/service/tel_event_statistics"


def apply_file(input, output, settings, progress=None):
    """Reconstruct one file; may be called in any process.

    Parameters
    ----------
    input : str
        DL1 file of ctapipe with images.
    output : str
        File to write.
    settings : dict
        Plain values. ``config``: configuration of the components, as in the file given to
        ctapipe-process. ``copy``: which `PARTS` of the input to copy, name to bool.
        ``overwrite``: bool. ``chunk_size``: images read at once.
    progress : callable, optional
        Called with the number of images just written.

    Returns
    -------
    dict
        ``images``, ``reconstructed``, ``events``: int; ``seconds``: float; ``skipped``: bool.

    Raises
    ------
    GammaLearnError
        Input, model or settings cannot be used; one line.
    OSError
        The output cannot be written.
    """
    start, output = time.perf_counter(), Path(output)
    record = wanted_record(input, settings)
    if is_done(output, record, settings.get("overwrite", False)):
        return {"images": 0, "reconstructed": 0, "events": 0, "seconds": 0.0, "skipped": True}
    with whole_file(output, settings.get("overwrite", False)) as part:
        with _errors_of(output), _activity():
            summary, written = _Job(input, part, settings).run(progress or (lambda n: None))
            set_record(part, record)
        if reason := missing_rows(part, written):
            text = f"not written completely ({reason}), is the disk full?"
            raise OSError(errno.EIO, text, str(output))
    return summary | {"seconds": time.perf_counter() - start, "skipped": False}


@contextmanager
def _errors_of(output):
    """Errors of the components as ours, those of HDF5 with the name of the file."""
    try:
        yield
    except (ToolConfigurationError, TraitError) as error:
        raise ApplyError(" ".join(str(error).split())) from None
    except tables.HDF5ExtError:
        reason = "cannot be written or the input cannot be read, is the disk full?"
        raise OSError(errno.EIO, reason, str(output)) from None


@contextmanager
def _activity():
    """Where ctapipe's components note what they read: with a tool or, in a worker, of our own."""
    own, status = Provenance().current_activity is None, "error"
    if own:
        Provenance().start_activity("ctapipe-gammalearn-apply")
    try:
        with warnings.catch_warnings():
            # ctapipe's headers have blanks in their names
            warnings.simplefilter("ignore", tables.NaturalNameWarning)
            yield
        status = "completed"
    finally:
        if own:
            Provenance().finish_activity(status)


class _Job(Component):
    """Components and open files of one job; parent of the components."""

    def __init__(self, path, part, settings):
        super().__init__(config=Config(flat(settings["config"])))
        self.log = logging.getLogger("ctapipe_gammalearn.apply")
        self.path, self.part, self.settings = path, part, settings

    def run(self, progress):
        """Do everything but the verification."""
        with ExitStack() as stack:
            self.event_source = stack.enter_context(open_source(self.path, self))
            subarray, source = self.event_source.subarray, self.event_source.file_
            self.network = GammaPhysNetReconstructor(subarray, parent=self)
            reader, selection = self._reader(subarray, source)
            check_parameters(self.path, reader, self.network)
            left_out = self._left_out(source)
            target = stack.enter_context(tables.open_file(self.part, "w", CHUNK_CACHE_SIZE=CACHE))
            written = copy_file(source, target, left_out, selection)
            events, images = self._reconstruct(reader, target, written, progress)
            self._finish(target, written)
            self.network.tally.report(self.log)
            done = self.network.tally.counts["reconstructed"]
            return {"images": images, "events": events, "reconstructed": done}, written

    def _reader(self, subarray, source):
        """Reader of the events, and what to copy of other tables."""
        full = SubarrayDescription.from_hdf(
            self.path, focal_length_choice=self.event_source.focal_length_choice
        )
        allowed = self.event_source.allowed_tels
        selection = Selection(source, full.tel_ids, allowed, subarray) if allowed else None
        size = self.settings.get("chunk_size", CHUNK_SIZE)
        return Dl1Reader(source, full.tel_ids, allowed, size), selection

    def _left_out(self, source):
        """Paths that are not copied."""
        groups = [
            group._v_pathname
            for level in ("subarray", "telescope")
            if f"/dl2/event/{level}" in source
            for kind in source.iter_nodes(f"/dl2/event/{level}")
            for group in kind
            if group._v_name in algorithms(self.network)
        ]
        if groups and not self.settings.get("overwrite", False):
            raise ApplyError(
                f"{self.path}: has results of {self.network.prefix} already; set another"
                " GammaPhysNetReconstructor.prefix, or --overwrite to leave them out"
            )
        parts = [path for name, path in PARTS.items() if not self.settings["copy"].get(name, True)]
        return [*groups, *parts, f"{STATISTICS}/{type(self.network).__name__}"]

    def _reconstruct(self, reader, target, written, progress):
        """Read, infer and write, each in a thread of its own; numbers of events and images."""
        n_events = n_images = 0
        if not reader.n_events:
            return n_events, n_images
        subarray = self.event_source.subarray
        example = example_event(self.network, reader.example)
        with ExitStack() as stack:
            model = stack.enter_context(closing(EventRows(subarray)))
            model.add(example, algorithms(self.network))
            writer, waiting = Dl2Writer(target, model), deque()
            reading, writing = (stack.enter_context(ThreadPoolExecutor(1)) for _ in range(2))
            for events, ends in complete_windows(ahead(reading, reader, AHEAD), self.network):
                rows = dl2_rows(self.network, events, ends, writer, partial(EventRows, subarray))
                waiting.append(writing.submit(writer.append, rows))
                if len(waiting) > AHEAD:
                    waiting.popleft().result()
                n_events, n_images = n_events + len(events), n_images + len(events.images)
                progress(len(events.images))
            for appended in waiting:
                appended.result()
        written |= writer.written
        return n_events, n_images

    def _finish(self, target, written):
        """Statistics of the quality query, and headers as of ctapipe-process."""
        path = f"{STATISTICS}/{type(self.network).__name__}"
        write_table(self.network.quality_query.to_table(functions=True), target, path, append=True)
        written |= {n._v_pathname: summed(n) for n in [target.get_node(path)]}
        write_headers(target, self)
