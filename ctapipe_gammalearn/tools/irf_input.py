"""Input of ``ctapipe-gammalearn-irf``: samples, their weights and the rings they stand for."""

import os
from dataclasses import dataclass

import numpy as np

from ..exceptions import IRFError
from ..io.dl2_events import read_sample
from ..io.dl2_settings import check_same_array
from ..irf.samples import in_ring
from ..irf.weights import event_weights, spectrum_named

__all__ = ["BACKGROUND", "IrfData", "n_threads", "read_all"]

BACKGROUND = ("proton", "electron")
#: half the width of the ring (deg) in which a point source is
HALF_RING = 0.1


@dataclass(frozen=True, eq=False)
class IrfData:
    """What the tool works on.

    Attributes
    ----------
    samples : dict of str to Sample
        ``gamma``, a point source or a ring of diffuse gammas, and background of any kind. Events
        that fail the quality selection are left out.
    weights : dict of str to ndarray
        Particles of the target spectra in the observation time.
    whole : Sample
        Gammas of the full-enclosure response: diffuse ones if there are any.
    source_ring : tuple of float, deg
        True offsets of ``gamma``.
    whole_rings : ndarray, deg
        Rings of ``whole``.
    n_read : dict of str to int
        Events before the quality selection.
    """

    samples: dict
    weights: dict
    whole: object
    source_ring: tuple
    whole_rings: np.ndarray
    n_read: dict

    @property
    def diffuse(self):
        """Diffuse gammas of all offsets, None without any."""
        return None if self.whole.thrown.is_point else self.whole

    @property
    def rings(self):
        """Rings (deg) of figures by offset: of diffuse gammas or, without, of background."""
        if self.diffuse is not None:
            return self.whole_rings
        kinds = self.samples.keys() - {"gamma"}
        return _rings(max(self.samples[kind].thrown.viewcone_max for kind in kinds))


def n_threads():
    """Threads for the bootstrap: the cores that we may use, within ``OMP_NUM_THREADS``."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(limit)) if limit.isdigit() and int(limit) else cores


def read_all(
    files, reconstructors, level, quality, spectra, obs_time_h, source_ring=None, progress=None,
    telescopes=(), criteria=None,
):  # fmt: skip
    """Read all samples and weigh them.

    Parameters
    ----------
    files : dict of str to list of path-like
        By kind of sample: gamma, gamma_diffuse, proton, electron; empty lists are left out.
    reconstructors : dict of str to dict
    level : str
    quality : sequence of (str, str)
        See `io.dl2_events.read_sample`.
    spectra : dict of str to str
        Names of the spectra of gamma, proton and electron.
    obs_time_h : float, h
    source_ring : tuple of float, deg, optional
        True offsets of the gammas; needed if there are diffuse ones only.
    progress : callable, optional
        Called after each file.
    telescopes : sequence of int or str
        See `io.dl2_events.read_sample`.
    criteria : dict of str to list of (str, str), optional
        See `io.dl2_events.read_sample`.

    Returns
    -------
    IrfData

    Raises
    ------
    IRFError
        See `read_sample`; samples of different arrays, or diffuse gammas without a ring.
    """
    good, n_read, first = {}, {}, None
    for kind, paths in files.items():
        if paths:
            sample, settings = read_sample(
                paths, kind, reconstructors, level, quality, progress, telescopes, criteria
            )
            first = first or settings
            check_same_array(first, settings)
            # of all events there is no more than one kind in memory
            n_read[kind], good[kind] = len(sample), sample.take(sample.quality)
            if not len(good[kind]):
                raise IRFError(f"{kind}: no event passes the quality selection; loosen quality")
    source_ring = source_ring or _ring_of(good)
    gamma = good.get("gamma")
    gamma = in_ring(good["gamma_diffuse"] if gamma is None else gamma, *source_ring)
    if not len(gamma):
        low, high = source_ring
        raise IRFError(
            f"gamma: no event at true offsets of {low:g} to {high:g} deg; change source_ring"
        )
    samples = {"gamma": gamma} | {kind: good[kind] for kind in BACKGROUND if kind in good}
    weights = {}
    for kind, sample in samples.items():
        rings = source_ring if kind == "gamma" and not sample.thrown.is_point else None
        weights[kind] = event_weights(sample, spectrum_named(spectra[kind]), obs_time_h, rings)
    whole, whole_rings = gamma, np.array(source_ring)
    if "gamma_diffuse" in good:
        whole = good["gamma_diffuse"]
        whole_rings = _rings(whole.thrown.viewcone_max)
    return IrfData(samples, weights, whole, tuple(source_ring), whole_rings, n_read)


def _rings(edge):
    """Edges (deg) of rings of one degree up to that of a cone."""
    return np.append(np.arange(np.ceil(edge)), edge)


def _ring_of(samples):
    """Offsets of a point source (deg)."""
    if "gamma" not in samples:
        raise IRFError("diffuse gammas become a source in a ring: give --IrfTool.source_ring")
    thrown = samples["gamma"].thrown
    if not thrown.is_point:
        raise IRFError(
            f"gamma: thrown at offsets of {thrown.viewcone_min:g} to {thrown.viewcone_max:g} deg,"
            " no point source; give the file with --gamma-diffuse and --IrfTool.source_ring"
        )
    offset = float(np.median(samples["gamma"].true_offset))
    return max(0.0, offset - HALF_RING), offset + HALF_RING
