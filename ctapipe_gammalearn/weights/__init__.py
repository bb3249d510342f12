"""Model files: cards, reading, writing, conversion of GammaLearn checkpoints, downloads."""

from .card import ModelCard
from .initialise import random_model, trained_model
from .store import Model, read_model, write_model

__all__ = ["Model", "ModelCard", "random_model", "read_model", "trained_model", "write_model"]
