"""γ-PhysNet as plain torch modules: no files, no configuration, no ctapipe."""

from .architecture import Architecture
from .engines import ENGINES, Mapping
from .gammaphysnet import GammaPhysNet

__all__ = ["ENGINES", "Architecture", "GammaPhysNet", "Mapping"]
