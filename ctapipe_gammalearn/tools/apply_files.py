"""Names, input and headers of a job of ``ctapipe-gammalearn-apply``."""

from pathlib import Path
from types import SimpleNamespace

import tables
from ctapipe.core import ToolConfigurationError
from ctapipe.instrument import SoftwareTrigger
from ctapipe.io import DataLevel, HDF5EventSource, metadata
from ctapipe.io.datawriter import write_reference_metadata_headers
from ctapipe.utils import EventTypeFilter

from ..exceptions import ApplyError
from ..io.copied_files import PARTS
from ..io.dl1_chunks import opened

__all__ = ["check_parameters", "count_images", "open_source", "output_name", "write_headers"]

VERSION = "CTA PRODUCT DATA MODEL VERSION"


def output_name(path):
    """Name of the DL2 file of an input, such as a.dl2.h5 of a.dl1.h5."""
    name = Path(path).name
    for ending in (".h5", ".hdf5", ".hdf", ".dl1", ".dl2"):
        name = name.removesuffix(ending)
    return f"{name}.dl2.h5"


def count_images(path):
    """Stored images of a file; `ApplyError` if it is no HDF5 file."""
    group = PARTS["dl1_images"]
    with opened(path) as file:
        return sum(t.nrows for t in (file.iter_nodes(group, "Table") if group in file else ()))


def open_source(path, job):
    """Event source of a file.

    Parameters
    ----------
    path : str
    job : ctapipe.core.Component
        Parent.

    Returns
    -------
    ctapipe.io.HDF5EventSource

    Raises
    ------
    ApplyError
        If ctapipe cannot read the file, or the configuration asks for some of its events.
    """
    with opened(path) as file:
        version = getattr(file.root._v_attrs, VERSION, "none")
    try:
        known = HDF5EventSource.is_compatible(path)
    except OSError:
        known = False
    if not known:
        raise ApplyError(
            f"{path}: no DL1 file that this release of ctapipe reads (data model: {version})"
        )
    try:
        source = HDF5EventSource(input_url=path, parent=job)
    except (KeyError, RuntimeError, ValueError, tables.NoSuchNodeError) as error:
        if isinstance(error, ToolConfigurationError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise ApplyError(f"{path}: not readable ({reason})") from None
    trigger = SoftwareTrigger(parent=job, subarray=source.subarray)
    if (
        source.max_events
        or EventTypeFilter(parent=job).allowed_types is not None
        or trigger.min_telescopes > 1
        or any(n > 1 for *_, n in trigger.min_telescopes_of_type)
    ):
        source.close()
        raise ApplyError(
            f"{path}: the configuration selects events (EventSource.max_events, EventTypeFilter or"
            " SoftwareTrigger), which only ctapipe-process can do"
        )
    return source


def check_parameters(path, reader, network):
    """Raise `ApplyError` if image parameters are needed and not in the file."""
    weighted = any(getattr(c, "weights", "none") != "none" for c in network.stereo_combiners)
    if reader.has_parameters or not reader.n_events:
        return
    if network.quality_query.quality_criteria or weighted:
        raise ApplyError(
            f"{path}: no image parameters, which quality query or stereo weights need; set"
            " StereoQualityQuery.quality_criteria to [] or use ctapipe-process"
        )


def write_headers(file, job):
    """Reference metadata as of ctapipe-process; tables that were copied keep their version.

    Parameters
    ----------
    file : tables.File
    job : ctapipe.core.Component
        With ``event_source``; configures contact and instrument.
    """
    source, version = job.event_source, file.root._v_attrs[VERSION]
    levels = {
        PARTS["dl1_images"]: DataLevel.DL1_IMAGES,
        PARTS["dl1_parameters"]: DataLevel.DL1_PARAMETERS,
        "/dl1/event/telescope/muon": DataLevel.DL1_MUON,
    }
    write_reference_metadata_headers(
        subarray=source.subarray,
        obs_ids=source.obs_ids,
        writer=SimpleNamespace(h5file=file),
        is_simulation=source.is_simulation,
        data_levels=[*(level for path, level in levels.items() if path in file), DataLevel.DL2],
        contact_info=metadata.Contact(parent=job),
        instrument_info=metadata.Instrument(parent=job),
    )
    file.root._v_attrs[VERSION] = version
