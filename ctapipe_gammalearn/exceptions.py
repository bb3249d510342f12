"""All error classes of the package; each message is one line: where, what, what to do."""

__all__ = [
    "ApplyError",
    "CheckpointError",
    "ClusterError",
    "DeviceError",
    "GammaLearnError",
    "IRFError",
    "LatticeError",
    "ModelFileError",
    "ModelMismatch",
    "OutOfMemory",
    "OutputError",
    "SimulationError",
    "TrainingError",
]


class GammaLearnError(ValueError):
    """Base of all errors that a user can cause and mend."""


class ApplyError(GammaLearnError):
    """A file to which models cannot be applied, or an output that must not be replaced."""


class LatticeError(GammaLearnError):
    """Pixel positions that are no regular lattice, or not the expected one."""


class ModelFileError(GammaLearnError):
    """A model file that is damaged, foreign or incomplete."""


class ModelMismatch(GammaLearnError):
    """A sound model that does not fit the data: other camera, missing channel."""


class CheckpointError(GammaLearnError):
    """A GammaLearn checkpoint that cannot be converted."""


class ClusterError(GammaLearnError):
    """A cluster that cannot be described or started."""


class DeviceError(GammaLearnError):
    """A device that is not there, or an engine that does not run on it."""


class OutOfMemory(GammaLearnError):
    """Not even a batch of one image fits into memory."""

    exit_code = 71


class OutputError(GammaLearnError):
    """An output that exists and must not be replaced."""


class IRFError(GammaLearnError):
    """Events from which no response or sensitivity can be computed."""


class SimulationError(GammaLearnError):
    """A run description that cannot be simulated."""


class TrainingError(GammaLearnError):
    """Training data or settings cannot be used."""
