"""What a γ-PhysNet looks like: every number that fixes its parameters, nothing else."""

from dataclasses import asdict, dataclass, fields

from torch import nn

from ..exceptions import ModelFileError
from .likelihood import AXIS_SIZE, MODE_SIZE

__all__ = ["ACTIVATIONS", "ATTENTIONS", "TASKS", "Architecture"]

#: activations by name; all have σ(0) = 0, which the raster engine relies on
ACTIVATIONS = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
ATTENTIONS = ("dual", "se", "none")
TASKS = ("energy", "impact", "direction", "class")


@dataclass(frozen=True)
class Architecture:
    """Hyper-parameters of a γ-PhysNet (Jacquemont et al. 2021, doi:10.5220/0010297405340544).

    Attributes
    ----------
    variant : {"indexed", "cartesian"}
        Convolutions on the camera lattice, or on a square image interpolated from it.
    num_channels : int
        Input channels: 1 (charge), 2 (charge, peak time) or 5 (made by `ShowerInput`).
    num_layers : int
        Residual layers per block.
    block_features : tuple of int
        Channels of each block; every block but the first halves the resolution.
    activation : str
        Name in `ACTIVATIONS`; "leaky_relu:0.01" also gives the slope.
    norm : {"batch", "none"}
    bn_eps : float
    attention : {"dual", "se", "none"}
        Squeeze-and-excitation with or without spatial attention, after each block.
    reduced : tuple of int
        Width of the squeeze layer in each block; empty without attention.
    fc_width : int
        Hidden width of the heads.
    trunk : int
        Dense layers shared by all heads, which are then linear; 0: the original heads.
    num_scalars : int
        Numbers beside the images that enter the trunk.
    outputs : dict
        Output size of each task present, a subset of `TASKS`: energy 1, or 2 with its
        scale; direction 2, 6 for each mode of a mixture, or 7 for two modes on the axis of
        the image (`nn.likelihood`).
    output_size : tuple of int or None
        Cartesian only: the image before the heads is averaged to this size.
    """

    variant: str = "indexed"
    num_channels: int = 2
    num_layers: int = 3
    block_features: tuple = (16, 32, 64)
    activation: str = "relu"
    norm: str = "batch"
    bn_eps: float = 1e-5
    attention: str = "dual"
    reduced: tuple = (1, 2, 4)
    fc_width: int = 256
    trunk: int = 0
    num_scalars: int = 0
    outputs: dict = None
    output_size: tuple | None = None

    def __post_init__(self):
        """Bring sequences to tuples, fill the default tasks and check all values."""
        for name in ("block_features", "reduced"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.outputs is None:
            object.__setattr__(
                self, "outputs", {"energy": 1, "impact": 2, "direction": 2, "class": 2}
            )
        if self.output_size is not None:
            object.__setattr__(self, "output_size", tuple(self.output_size))
        for name, good in self._rules().items():
            if not good:
                raise ModelFileError(f"architecture: {name} = {getattr(self, name)!r} is not valid")
        self.make_activation()

    def _rules(self):
        """Validity of each field."""
        whole = lambda *values: all(type(v) is int and v > 0 for v in values)  # noqa: E731
        sizes = {"energy": (1,), "impact": (2,), "direction": (2,), "class": range(2, 100)}
        if self.trunk:
            sizes |= {
                "energy": (1, 2),
                "direction": (2, AXIS_SIZE, *range(MODE_SIZE, 97, MODE_SIZE)),
            }
        n_blocks = len(self.block_features)
        return {
            "variant": self.variant in ("indexed", "cartesian"),
            "num_channels": self.num_channels in (1, 2, 5),
            "num_layers": whole(self.num_layers),
            "block_features": n_blocks > 0 and whole(*self.block_features),
            "norm": self.norm in ("batch", "none"),
            "bn_eps": isinstance(self.bn_eps, float) and 0 < self.bn_eps < 1,
            "attention": self.attention in ATTENTIONS,
            "reduced": whole(*self.reduced)
            and len(self.reduced) == (0 if self.attention == "none" else n_blocks),
            "fc_width": whole(self.fc_width),
            "trunk": self.trunk in range(9),
            "num_scalars": type(self.num_scalars) is int
            and 0 <= self.num_scalars < 1000
            and (self.trunk > 0 or self.num_scalars == 0),
            "outputs": bool(self.outputs)
            and all(n in sizes.get(task, ()) for task, n in self.outputs.items()),
            "output_size": self.output_size is None
            if self.variant == "indexed"
            else self.output_size is not None
            and len(self.output_size) == 2
            and whole(*self.output_size),
        }

    def make_activation(self):
        """Activation module of the network.

        Raises
        ------
        ModelFileError
            For an unknown name or a slope that is no number.
        """
        name, _, slope = str(self.activation).partition(":")
        try:
            kind = ACTIVATIONS[name]
            return kind(float(slope)) if slope else kind()
        except (KeyError, ValueError, TypeError):
            known = ", ".join(ACTIVATIONS)
            raise ModelFileError(
                f"architecture: unknown activation {self.activation!r}; known: {known}"
            ) from None

    def to_dict(self):
        """Plain types for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values):
        """Inverse of `to_dict`.

        Raises
        ------
        ModelFileError
            If a key is missing, unknown, or a value is not valid.
        """
        names = {f.name for f in fields(cls)}
        if not isinstance(values, dict) or set(values) != names:
            odd = sorted(names ^ set(values)) if isinstance(values, dict) else values
            raise ModelFileError(f"architecture: missing or unknown keys: {odd}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ModelFileError(f"architecture: wrong type of value ({error})") from None
