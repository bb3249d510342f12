"""γ-PhysNet as plain torch modules: no files, no configuration, no ctapipe."""

from .architecture import Architecture
from .engines import ENGINES, Mapping, camera_mapping
from .gammaphysnet import GammaPhysNet
from .shower import InputSettings

__all__ = [
    "ENGINES",
    "Architecture",
    "GammaPhysNet",
    "InputSettings",
    "Mapping",
    "camera_mapping",
]
