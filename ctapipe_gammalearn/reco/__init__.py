"""The plugin of ctapipe: `GammaPhysNetReconstructor` (imports neither torch nor a model)."""

from .reconstructor import GammaPhysNetReconstructor

__all__ = ["GammaPhysNetReconstructor"]
