"""Differences between the ctapipe releases that we support; nothing else asks for a version."""

from ctapipe import __version__ as CTAPIPE_VERSION
from ctapipe.containers import ReconstructedContainer

__all__ = ["CTAPIPE_VERSION", "PARTICLE_TYPE"]

#: Field of ``event.dl2.tel[tel_id]`` and ``event.dl2.stereo`` that holds the
#: particle type: ``classification`` up to ctapipe 0.28, renamed afterwards.
PARTICLE_TYPE = next(
    name for name in ("particle_type", "classification") if name in ReconstructedContainer.fields
)
