"""Combine the results of telescopes to one of the array, by ctapipe's stereo combiners."""

import warnings

import astropy.units as u
import numpy as np
from ctapipe.containers import ImageParametersContainer, ReconstructedGeometryContainer
from ctapipe.reco import ReconstructionProperty, StereoMeanCombiner

__all__ = ["combine"]


def combine(event, combiners, with_impact):
    """Fill ``dl2.stereo``; the core is the mean over the telescopes with a direction.

    Parameters
    ----------
    event : ArrayEventContainer
        Every telescope in ``dl2.tel`` has the containers that are combined.
    combiners : list of ctapipe.reco.StereoCombiner
    with_impact : bool
        Whether the telescopes have a core position.
    """
    for dl1 in event.dl1.tel.values():
        if dl1.parameters is None:  # StereoMeanCombiner looks at them even without weights
            dl1.parameters = ImageParametersContainer()
    with warnings.catch_warnings():
        # the spread of a single telescope is 0/0, three warnings per event
        warnings.simplefilter("ignore", RuntimeWarning)
        for combiner in combiners:
            if combiner.property is ReconstructionProperty.GEOMETRY:
                _combine_geometry(event, combiner, with_impact)
            else:
                combiner(event)


def _combine_geometry(event, combiner, with_impact):
    """Direction and core of the array."""
    monos = {tel_id: dl2.geometry[combiner.prefix] for tel_id, dl2 in event.dl2.tel.items()}
    monos = {tel_id: mono for tel_id, mono in monos.items() if mono.is_valid}
    if len(monos) < 2 and type(combiner) is StereoMeanCombiner:
        stereo = event.dl2.stereo.geometry[combiner.prefix] = _of_at_most_one(monos)
        stereo.prefix = combiner.prefix
    else:
        combiner(event)
        stereo = event.dl2.stereo.geometry[combiner.prefix]
    for axis in ("core_x", "core_y") if with_impact else ():
        cores = np.array([getattr(monos[i], axis).to_value(u.m) for i in stereo.telescopes])
        cores = cores[np.isfinite(cores)]
        setattr(stereo, axis, u.Quantity(cores.mean() if len(cores) else np.nan, u.m))


def _of_at_most_one(monos):
    """Return the mean over fewer than two telescopes, for which ctapipe needs milliseconds.

    A single direction has no spread; ctapipe gives rounding noise for it, we NaN.
    """
    stereo = ReconstructedGeometryContainer(telescopes=list(monos), is_valid=bool(monos))
    for mono in monos.values():
        stereo.alt, stereo.az = mono.alt, mono.az
    return stereo
