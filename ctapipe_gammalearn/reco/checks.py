"""Checks of input, images and resources."""

import os

import numpy as np
from ctapipe.io import DataLevel, HDF5EventSource

from ..exceptions import ModelMismatch
from . import tally as outcomes

__all__ = ["check_input", "number_of_threads", "passes", "refusal", "root"]

IMAGE_LEVELS = [DataLevel.R1, DataLevel.DL0, DataLevel.DL1_IMAGES]


def root(component):
    """Return the component at the top of the hierarchy, None without parent."""
    while component is not None and component.parent is not None:
        component = component.parent
    return component


def check_input(source, channels):
    """Raise `ModelMismatch` if an event source cannot provide what the models need.

    Parameters
    ----------
    source : ctapipe.io.EventSource or None
        None: nothing to check.
    channels : set of str
        Channels of all models, "image" and "peak_time".
    """
    if source is None:
        return
    if not source.has_any_datalevel(IMAGE_LEVELS):
        raise ModelMismatch(
            f"{source.input_url} has no images; make it again with ctapipe-process --write-images"
        )
    if "peak_time" in channels and isinstance(source, HDF5EventSource):
        file, group = source.file_, "/dl1/event/telescope/images"
        for table in file.iter_nodes(group, "Table") if group in file else ():
            if "peak_time" not in table.colnames:
                raise ModelMismatch(
                    f"{source.input_url} has no peak times, which the model needs; choose a model"
                    " that uses the image only"
                )


def number_of_threads(wanted):
    """Threads for torch: as wanted (default 1), within ``OMP_NUM_THREADS`` and our cores."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(wanted or 1, available, int(limit) if limit.isdigit() and int(limit) else available)


def passes(dl1, query):
    """Whether a telescope passes a quality query, which counts those with image parameters.

    Parameters
    ----------
    dl1 : ctapipe.containers.DL1CameraContainer or None
        Or another object with ``parameters``.
    query : ctapipe.core.QualityQuery

    Returns
    -------
    bool
        Without image parameters: whether there are no criteria.
    """
    if dl1 is None or dl1.parameters is None:
        return not query.quality_criteria
    return bool(all(query(parameters=dl1.parameters)))


def refusal(dl1, model, passed):
    """Reason why a telescope gets no prediction, None if it does.

    Parameters
    ----------
    dl1 : ctapipe.containers.DL1CameraContainer or None
        Or another object with ``image``, ``peak_time`` and ``parameters``.
    model : TelescopeModel or None
    passed : bool
        See `passes`.
    """
    if model is None:
        return outcomes.NO_MODEL
    if dl1 is None or dl1.image is None:
        return outcomes.NO_IMAGE
    shapes = [np.shape(dl1.image)]
    if "peak_time" in model.predictor.card.channels:
        if dl1.peak_time is None:
            return outcomes.NO_PEAK_TIME
        shapes.append(np.shape(dl1.peak_time))
    if any(shape != model.order.shape for shape in shapes):
        return outcomes.WRONG_SIZE
    if not passed:
        return outcomes.NO_PARAMETERS if dl1.parameters is None else outcomes.QUALITY_CUT
    return None
