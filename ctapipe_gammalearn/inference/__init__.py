"""Inference on arrays: `Predictor` (torch and numpy, no ctapipe)."""

from .predictor import Predictor
from .targets import Prediction

__all__ = ["Prediction", "Predictor"]
