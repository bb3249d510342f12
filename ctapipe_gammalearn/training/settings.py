"""A training recipe: everything that decides which model comes out, as one YAML file."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from ..exceptions import TrainingError
from .augment import Augmentation
from .sections import build, plain
from .selection import Selection

__all__ = [
    "BalanceSettings",
    "DataSettings",
    "LossSettings",
    "NetworkSettings",
    "OptimiserSettings",
    "Recipe",
    "RunSettings",
    "ShowerSettings",
    "read_recipe",
]

TASKS = ("energy", "direction", "class", "impact")
#: losses that may be negative
LIKELIHOODS = ("laplace", "mixture", "axis_sign")


def _require(section, **good):
    """Refuse the first value that is not in order."""
    for name, ok in good.items():
        if not ok:
            raise TrainingError(f"recipe: {section}.{name}: this value is not possible")


@dataclass(frozen=True)
class NetworkSettings:
    """Size of the network.

    Attributes
    ----------
    variant : {"indexed", "cartesian"}
        Convolutions on the pixels, or on a square image interpolated from the whole camera.
    tasks : tuple of str
        Outputs, among energy, direction, class, impact.
    num_layers : int
        Residual layers per block.
    block_features : tuple of int
        Channels of the blocks.
    activation : str
    attention : {"none", "se", "dual"}
    ratio : int
        Channels per neuron of the squeeze layer of the attention.
    fc_width : int
        Width of the dense layers.
    trunk : int
        Dense layers shared by all outputs.
    dropout : float
        Fraction of the trunk's values dropped in training.
    modes : int
        Solutions of the direction with the loss "mixture".
    """

    variant: str = "indexed"
    tasks: tuple = ("energy", "direction", "class")
    num_layers: int = 1
    block_features: tuple = (16, 32, 64)
    activation: str = "relu"
    attention: str = "none"
    ratio: int = 16
    fc_width: int = 128
    trunk: int = 2
    dropout: float = 0.2
    modes: int = 4

    def __post_init__(self):
        """Check what the network itself does not."""
        _require(
            "network",
            variant=self.variant in ("indexed", "cartesian"),
            tasks=self.tasks and set(self.tasks) <= set(TASKS),
            block_features=self.block_features,
            ratio=self.ratio > 0,
            dropout=0 <= self.dropout < 1,
            modes=0 < self.modes <= 64,
        )


@dataclass(frozen=True)
class ShowerSettings:
    """Preparation of the images: `ctapipe_gammalearn.nn.InputSettings` without focal length."""

    picture_pe: float = 8.0
    boundary_pe: float = 4.0
    min_neighbours: int = 2
    all_pixels: bool = True
    crop: int | None = 24
    features: bool = True
    rotations: int = 6


@dataclass(frozen=True)
class LossSettings:
    """Losses of the tasks and their weights.

    Attributes
    ----------
    energy : {"laplace", "l1", "smooth_l1"}
    direction : {"mixture", "axis_sign", "l1", "smooth_l1", "angular"}
    impact : {"l1", "smooth_l1"}
    weights : dict of str to float
        Of each task in the sum.
    gradient_penalty : float
        Factor on the squared gradient of the loss with respect to the charges; 0 turns it
        off, any other value doubles the time of a step.
    """

    energy: str = "laplace"
    direction: str = "mixture"
    impact: str = "l1"
    weights: dict = field(
        default_factory=lambda: {"energy": 1.0, "direction": 1.0, "class": 2.0, "impact": 0.2}
    )
    gradient_penalty: float = 0.0

    def __post_init__(self):
        """Check names and signs."""
        smooth = ("l1", "smooth_l1")
        _require(
            "loss",
            energy=self.energy in ("laplace", *smooth),
            direction=self.direction in ("mixture", "axis_sign", "angular", *smooth),
            impact=self.impact in smooth,
            weights=set(self.weights) <= set(TASKS) and all(w > 0 for w in self.weights.values()),
            gradient_penalty=self.gradient_penalty >= 0,
        )


@dataclass(frozen=True)
class BalanceSettings:
    """How the losses are added up.

    Attributes
    ----------
    method : {"fixed", "uncertainty", "gradnorm"}
        The last two adapt the weights and need losses that are never negative.
    priority : dict of str to float
        Uncertainty: α of each task.
    strength : float
        GradNorm: exponent of the relative training rate.
    learning_rate : float
        Of the balance's own parameters.
    """

    method: str = "fixed"
    priority: dict = field(default_factory=dict)
    strength: float = 1.5
    learning_rate: float = 0.01

    def __post_init__(self):
        """Check names and signs."""
        _require(
            "balance",
            method=self.method in ("fixed", "uncertainty", "gradnorm"),
            priority=set(self.priority) <= set(TASKS)
            and all(a > 0 for a in self.priority.values()),
            strength=self.strength >= 0,
            learning_rate=self.learning_rate > 0,
        )


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW with a linear rise and a cosine fall of the learning rate.

    Attributes
    ----------
    learning_rate : float
        At its highest.
    weight_decay : float
        Of kernels and matrices only.
    warmup_steps : int
    final_fraction : float
        Learning rate at the end, relative to the highest.
    clip : float
        Largest norm of the gradient; 0 does not clip.
    average : float
        Decay of the running average of the weights that is validated and written.
    precision : str
        Of Lightning: "32-true", or "bf16-mixed": convolutions and shared layers in bfloat16.
    """

    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    final_fraction: float = 0.01
    clip: float = 5.0
    average: float = 0.998
    precision: str = "32-true"

    def __post_init__(self):
        """Check ranges."""
        _require(
            "optimiser",
            learning_rate=0 < self.learning_rate < 10,
            weight_decay=self.weight_decay >= 0,
            warmup_steps=self.warmup_steps >= 0,
            final_fraction=0 <= self.final_fraction <= 1,
            clip=self.clip >= 0,
            average=0 <= self.average < 1,
            precision=self.precision in ("32-true", "bf16-mixed"),
        )


@dataclass(frozen=True)
class DataSettings:
    """Which images are shown, and how.

    Attributes
    ----------
    batch_size : int
    gamma_fraction : float
        Share of gamma rays in each batch.
    energy_weight_index : float or None
        Gammas count in the regressions with E to this power, within a factor 10 of the mean;
        None: all alike.
    split_salt : str
        Another word splits the showers otherwise.
    fractions : tuple of float
        Training, validation, calibration.
    max_images : int or None
        Use only so many training images of each class.
    """

    batch_size: int = 128
    gamma_fraction: float = 0.5
    energy_weight_index: float | None = None
    split_salt: str = "ctapipe_gammalearn"
    fractions: tuple = (0.8, 0.1, 0.1)
    max_images: int | None = None

    def __post_init__(self):
        """Check ranges."""
        _require(
            "data",
            batch_size=self.batch_size >= 2,
            gamma_fraction=0 < self.gamma_fraction <= 1,
            fractions=len(self.fractions) == 3
            and all(0 < f < 1 for f in self.fractions)
            and abs(sum(self.fractions) - 1) < 1e-6,
            max_images=self.max_images is None or self.max_images > 0,
        )


@dataclass(frozen=True)
class RunSettings:
    """Length of the training and what is kept.

    Attributes
    ----------
    epochs : int
        An epoch shows every image of the larger class once.
    max_steps : int or None
        End earlier, after so many batches; the learning rate falls accordingly.
    seed : int
    threads : int
        Threads of torch on the CPU.
    save_every : int
        Steps between two points to resume from.
    log_every : int
        Steps between two lines of the history.
    validation_images : int or None
        Validate on so many images at most.
    keep_best : int
        Checkpoints of the best epochs to keep.
    patience : int or None
        Stop after so many epochs without a better validation loss; None: never.
    device : str
        "auto", "cpu" or "cuda".
    devices : int
        GPUs, or processes on the CPU, that share each batch.
    deterministic : bool
        Refuse operations whose result may change from run to run (GPU).
    """

    epochs: int = 14
    max_steps: int | None = None
    seed: int = 1
    threads: int = 1
    save_every: int = 500
    log_every: int = 100
    validation_images: int | None = 20000
    keep_best: int = 1
    patience: int | None = None
    device: str = "auto"
    devices: int = 1
    deterministic: bool = False

    def __post_init__(self):
        """Check ranges."""
        counts = ("epochs", "threads", "save_every", "log_every", "keep_best", "devices")
        optional = ("max_steps", "validation_images", "patience")
        _require(
            "run",
            **{name: getattr(self, name) > 0 for name in counts},
            **{n: getattr(self, n) is None or getattr(self, n) > 0 for n in optional},
            seed=0 <= self.seed < 2**63,
            device=self.device in ("auto", "cpu", "cuda"),
        )


@dataclass(frozen=True)
class Recipe:
    """All settings of a training.

    Attributes
    ----------
    network, shower, loss, balance, optimiser, augmentation, selection, data, run : dataclass
        One section of the file each.
    """

    network: NetworkSettings = field(default_factory=NetworkSettings)
    shower: ShowerSettings = field(default_factory=ShowerSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    balance: BalanceSettings = field(default_factory=BalanceSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)
    selection: Selection = field(default_factory=Selection)
    data: DataSettings = field(default_factory=DataSettings)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self):
        """Check what concerns several sections."""
        if missing := set(self.network.tasks) - set(self.loss.weights):
            raise TrainingError(f"recipe: loss.weights: give the weight of {sorted(missing)[0]}")
        if self.network.variant == "cartesian" and self.shower.crop is not None:
            raise TrainingError(
                "recipe: network.variant cartesian needs the whole camera; set shower.crop: null"
            )
        axis = "direction" in self.network.tasks and self.loss.direction == "axis_sign"
        if axis and not (self.shower.features and self.network.trunk):
            raise TrainingError(
                "recipe: loss.direction axis_sign needs the axis of the image; set shower.features:"
                " true and network.trunk of at least 1"
            )
        if self.balance.method != "fixed":
            self._check_losses()

    def _check_losses(self):
        """Refuse likelihoods where losses must not be negative."""
        for task in ("energy", "direction"):
            if task in self.network.tasks and (loss := getattr(self.loss, task)) in LIKELIHOODS:
                raise TrainingError(
                    f"recipe: balance.method {self.balance.method} needs losses that are never"
                    f" negative; choose another loss.{task} than {loss}, or fixed"
                )

    def to_dict(self):
        """Plain types for JSON and YAML."""
        return plain(asdict(self))

    @classmethod
    def from_dict(cls, values):
        """Recipe from nested dictionaries; what is left out has its default.

        Raises
        ------
        TrainingError
            Unknown key (with the nearest known one), wrong type, impossible value.
        """
        return build(cls, values, "recipe")


def read_recipe(path):
    """Recipe of a YAML file.

    Raises
    ------
    TrainingError
        No readable YAML, or see `Recipe.from_dict`; the message names the file.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise TrainingError(f"{path}: not a readable YAML file ({reason})") from None
    try:
        return Recipe.from_dict({} if values is None else values)
    except TrainingError as error:
        raise TrainingError(f"{path}: {error}") from None
