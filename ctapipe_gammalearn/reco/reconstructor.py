"""The plugin: γ-PhysNet as a reconstructor of ctapipe."""

import astropy.units as u
import numpy as np
from ctapipe.core import ToolConfigurationError
from ctapipe.core.traits import CaselessStrEnum, ComponentName, Int, TelescopeParameter
from ctapipe.reco import StereoCombiner

from ..exceptions import GammaLearnError
from .announce import announce
from .checks import check_input, number_of_threads, passes, refusal, root
from .containers import fill_telescopes, property_prefixes, to_tables
from .deferred import DeferredReconstructor
from .estimates import reconstruct
from .models import assign_models
from .rows import TableRow, pointing, telescopes
from .stereo import combine
from .stop import sigterm_as_interrupt
from .tally import Tally
from .traits import ModelPath, Pattern
from .verify import EventLog, verified

__all__ = ["GammaPhysNetReconstructor"]


class GammaPhysNetReconstructor(DeferredReconstructor):
    """Energy, direction, particle type and impact point from camera images, by γ-PhysNet.

    Each telescope with a trigger gets a result of its own from its image and peak times;
    stereo combiners make the result of the array. What cannot be reconstructed is NaN with
    ``is_valid=False``.
    """

    model_path = TelescopeParameter(
        ModelPath(),
        default_value=None,
        allow_none=True,
        help="Model file (.safetensors), for all telescopes or per type or id;"
        " cameras are recognised by their pixel positions",
    ).tag(config=True)

    device = Pattern(
        "auto",
        r"auto|cpu|cuda(:\d+)?",
        "auto, cpu, cuda or cuda:n",
        help="Where the network runs: auto (a GPU if there is one), cpu, cuda or cuda:n.",
    ).tag(config=True)

    engine = CaselessStrEnum(
        ["auto", "runtiled", "raster", "gather", "indexedconv"],
        default_value="auto",
        help="How convolutions are computed; all give the same numbers, auto is the fastest.",
    ).tag(config=True)

    precision = CaselessStrEnum(
        ["float32", "float64", "bfloat16", "float16"],
        default_value="float32",
        help="Arithmetic of the network; the last two are faster on GPUs, not exact.",
    ).tag(config=True)

    batch_size = Int(
        default_value=None,
        allow_none=True,
        min=1,
        help="Images per forward pass, 1 or more; by default 32 on a CPU and 256 on a GPU.",
    ).tag(config=True)

    n_jobs = Int(
        default_value=None,
        allow_none=True,
        min=1,
        help="Threads of the network on a CPU, 1 or more; by default 1.",
    ).tag(config=True)

    prefix = Pattern(
        "GammaPhysNet",
        r"[A-Za-z]\w*",
        "a letter followed by letters, digits and underscores",
        help="Start of the names of DL2 columns; Energy, Geometry or Particle follows.",
    ).tag(config=True)

    stereo_combiner_cls = ComponentName(
        StereoCombiner,
        default_value="StereoMeanCombiner",
        help="How the results of telescopes are combined; one combiner for each property",
    ).tag(config=True)

    def __init__(self, subarray, atmosphere_profile=None, **kwargs):
        super().__init__(subarray, atmosphere_profile, **kwargs)
        tool = root(self.parent)
        source = getattr(tool, "event_source", None)
        try:
            self.models = self._assign_models(source)
            check_input(source, self.models.channels)
        except GammaLearnError as error:
            raise ToolConfigurationError(f"{type(self).__name__}: {error}") from error
        self.tasks = self.models.tasks
        self.stereo_combiners = [
            StereoCombiner.from_name(
                self.stereo_combiner_cls, prefix=name, property=prop, parent=self
            )
            for prop, name in property_prefixes(self.prefix, self.tasks).items()
        ]
        self._positions = {
            tel_id: position.to_value(u.m) for tel_id, position in subarray.positions.items()
        }
        self.tally, self._seen = Tally(), EventLog()
        announce(self.models, subarray, self.device, self.log)
        if hasattr(tool, "enter_context"):
            # entered before the writer, hence left after it has closed its file
            tool.enter_context(verified(tool, self._seen, self.log))
            tool.enter_context(self.tally.reported(self.log))
            tool.enter_context(sigterm_as_interrupt())

    def _assign_models(self, source):
        """Load the models; `GammaLearnError` if they do not serve this subarray."""
        return assign_models(
            list(self.model_path or ()),
            self.subarray,
            restricted=bool(getattr(source, "allowed_tels", None)),
            device=self.device,
            engine=self.engine,
            precision=self.precision,
            batch_size=self.batch_size,
            n_threads=number_of_threads(self.n_jobs),
        )

    @property
    def images_per_batch(self):
        """Images per forward pass."""
        return max(p.batch_size for p in self.models.predictors.values())

    def note(self, event):
        """Telescopes that the network will see, with their pointing (rad) as it is now."""
        self._seen.add(event.index)
        note = []
        for tel_id in map(int, event.trigger.tels_with_trigger):
            if self._accepts(event.dl1.tel.get(tel_id), tel_id):
                monitoring = event.monitoring.tel.get(tel_id)
                alt = az = np.nan
                if monitoring is not None:
                    alt = float(monitoring.pointing.altitude.to_value(u.rad))
                    az = float(monitoring.pointing.azimuth.to_value(u.rad))
                note.append((tel_id, alt, az))
        return note

    def _accepts(self, dl1, tel_id):
        """Whether the network will see an image; the reason is counted if not."""
        reason = refusal(dl1, self.models.get(tel_id), passes(dl1, self.quality_query))
        if reason is not None:
            self.tally.count(reason)
        return reason is None

    def process(self, events, notes):
        """Fill ``dl2`` of all events, whatever they hold already under our names."""
        jobs = [(i, *job) for i, note in enumerate(notes) for job in note]
        dl1 = [events[i].dl1.tel[tel_id] for i, tel_id, *_ in jobs]
        estimates = self.estimate(
            [tel_id for _, tel_id, *_ in jobs],
            [tel.image for tel in dl1],
            [tel.peak_time for tel in dl1],
            np.array([job[2:] for job in jobs]).reshape(-1, 2),
        )
        keys = [job[:2] for job in jobs]
        fill_telescopes(keys, estimates, events, self.prefix, self.tasks)
        for event in events:
            combine(event, self.stereo_combiners, "impact" in self.tasks)

    def predict_table(self, key, table):
        """Reconstruct a table of telescope events; the same numbers as in the event loop.

        Parameters
        ----------
        key : ctapipe.instrument.TelescopeDescription or int
            Kind of telescope; used only if the table has no column ``tel_id``.
        table : astropy.table.Table
            From ``TableLoader(…, dl1_images=True, dl1_parameters=True, pointing=True)``.

        Returns
        -------
        dict of ReconstructionProperty to astropy.table.Table
            One row for each row of ``table``, columns as in the DL2 telescope tables.
        """
        tel_ids = telescopes(key, table, self.subarray)
        dl1 = [TableRow(table, row) for row in range(len(table))]
        rows = [row for row, tel_id in enumerate(tel_ids) if self._accepts(dl1[row], tel_id)]
        estimates = self.estimate(
            [tel_ids[row] for row in rows],
            [dl1[row].image for row in rows],
            [dl1[row].peak_time for row in rows],
            pointing(table)[rows],
        )
        return to_tables(estimates.spread(rows, len(table)), self.prefix, self.tasks)

    def estimate(self, tel_ids, images, peak_times, pointing):
        """`Estimates` for images that may be given to the network; see `reconstruct`."""
        positions = np.array([self._positions[t] for t in tel_ids]).reshape(-1, 3)
        return reconstruct(
            self.models, tel_ids, images, peak_times, pointing, positions, self.tally
        )
