"""Deep-learning reconstruction of Cherenkov telescope events as a ctapipe plugin."""

__version__ = "0.1.0.dev0"
