"""The model card: what the numbers in a weight file mean, as validated JSON."""

import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np

from ..exceptions import ModelFileError
from ..nn import Architecture, InputSettings
from ..nn.likelihood import AXIS_SIZE, MODE_SIZE
from ..nn.shower import NUM_CHANNELS
from .schema import FORMAT_VERSION, SCHEMA, UNITS, check

__all__ = ["FORMAT_VERSION", "PARTICLES", "ModelCard", "camera_section", "class_task", "outputs_of"]

#: names of CORSIKA (lstchain mc_type, ctapipe true_shower_primary_id) particle numbers
PARTICLES = {0: "gamma", 1: "electron", 101: "proton", 402: "helium", 5626: "iron"}


@dataclass(frozen=True)
class ModelCard:
    """Description of a model; sections are plain dicts that follow `SCHEMA`.

    Attributes
    ----------
    architecture : Architecture
    tasks : dict
        What each output means, by task: energy, direction, impact, class.
    camera : dict
        See `camera_section`.
    preprocessing : dict
        "nan_image" (p.e.) and "nan_time" (ns) replace non-finite values.
    channels : tuple of str
        Input channels in order: "image" (p.e.), "peak_time" (ns).
    status : {"trained", "untrained"}
    shower : dict or None
        Settings of the network's own input stage, see `ctapipe_gammalearn.nn.InputSettings`;
        outputs are then positions in the camera plane.
    calibration : dict or None
        Corrections by predicted log10 energy, see `ctapipe_gammalearn.inference.likelihood`.
    validity, training, provenance : dict
    licence : str
    citation : list of str
    weights_sha256 : str
        Over the network's tensors, see `ctapipe_gammalearn.weights.store`.

    Raises
    ------
    ModelFileError
        Naming the key that is wrong.
    """

    architecture: Architecture
    tasks: dict
    camera: dict
    preprocessing: dict
    provenance: dict
    channels: tuple = ("image", "peak_time")
    status: str = "trained"
    validity: dict = None
    training: dict | None = None
    shower: dict | None = None
    calibration: dict | None = None
    licence: str = "unknown"
    citation: tuple = ("doi:10.5220/0010297405340544", "doi:10.22323/1.358.0705")
    weights_sha256: str = ""

    def __post_init__(self):
        """Fill in an open validity and check everything."""
        if self.validity is None:
            nothing = dict.fromkeys(("zenith_deg", "energy_TeV", "site", "nsb"))
            object.__setattr__(self, "validity", {"telescopes": [], **nothing})
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "citation", tuple(self.citation))
        if unknown := set(self.channels) - set(UNITS):
            raise ModelFileError(f"model card: channels: unknown channel {unknown.pop()!r}")
        check(self.to_dict(), SCHEMA)
        num_channels = self.architecture.num_channels
        if (num_channels == NUM_CHANNELS) != (self.shower is not None):
            raise ModelFileError("model card: shower does not fit the channels of the network")
        self._check_shower()
        expected = tuple(UNITS)[: 2 if self.shower else num_channels]
        if self.channels != expected:
            raise ModelFileError(
                f"model card: channels are {self.channels}, the network takes {expected}"
            )
        if outputs_of(self.tasks) != self.architecture.outputs:
            raise ModelFileError("model card: tasks differ from the outputs of the architecture")
        self._check_classes()
        self._check_calibration()

    def _check_shower(self):
        """Input stage that gives what the network needs."""
        shower = self.shower or {"crop": None, "features": False}
        if self.architecture.variant == "cartesian" and shower["crop"]:
            raise ModelFileError("model card: shower.crop must be null for a Cartesian network")
        if self.architecture.outputs.get("direction") == AXIS_SIZE and not shower["features"]:
            raise ModelFileError("model card: shower.features must be true for head axis_sign")

    def _check_calibration(self):
        """Knots of equal number, in order."""
        if self.calibration is None:
            return
        knots = self.calibration["log10_energy"]
        if not knots or np.any(np.diff(knots) <= 0):
            raise ModelFileError("model card: calibration.log10_energy must increase")
        for key, values in self.calibration.items():
            if len(values) != len(knots):
                raise ModelFileError(f"model card: calibration.{key} must have {len(knots)} items")

    def _check_classes(self):
        """Class lists of equal length, distinct ids, the signal among them."""
        task = self.tasks.get("class")
        if task is None:
            return
        ids = task["ids"]
        if len(set(ids)) != len(ids) or len(task["names"]) != len(ids):
            raise ModelFileError("model card: tasks.class: ids and names do not fit each other")
        if not 0 <= task["signal"] < len(ids):
            raise ModelFileError("model card: tasks.class.signal is not the index of a class")

    @property
    def signal_class(self):
        """Index of the signal (gamma) class, None without classification."""
        return self.tasks["class"]["signal"] if "class" in self.tasks else None

    def input_settings(self):
        """`ctapipe_gammalearn.nn.InputSettings`, None without ``shower``."""
        return None if self.shower is None else InputSettings.from_dict(self.shower)

    def to_dict(self):
        """Plain types for JSON, as in `SCHEMA`."""
        architecture = self.architecture.to_dict()
        del architecture["outputs"]  # follow from the tasks
        for key in ("trunk", "num_scalars"):
            if not architecture[key]:
                del architecture[key]
        architecture["name"] = "gamma-physnet"
        architecture["attention"] = {
            "type": architecture["attention"],
            "reduced": architecture.pop("reduced"),
        }
        absent = {k for k in ("shower", "calibration") if getattr(self, k) is None}
        return {
            "format_version": FORMAT_VERSION,
            **{k: v for k, v in vars(self).items() if k not in absent},
            "architecture": architecture,
            "channels": [{"name": c, "unit": UNITS[c]} for c in self.channels],
            "citation": list(self.citation),
        }

    @classmethod
    def from_dict(cls, values):
        """Inverse of `to_dict`."""
        check(values, SCHEMA)
        architecture = dict(values["architecture"])
        del architecture["name"]
        attention = architecture.pop("attention")
        architecture = Architecture.from_dict(
            {
                "trunk": 0,
                "num_scalars": 0,
                **architecture,
                "attention": attention["type"],
                "reduced": attention["reduced"],
                "bn_eps": float(architecture["bn_eps"]),
                "outputs": outputs_of(values["tasks"]),
            }
        )
        channels = [c["name"] for c in values["channels"]]
        card = cls(
            **{k: v for k, v in values.items() if k != "format_version"}
            | {"architecture": architecture, "channels": channels}
        )
        if card.to_dict()["channels"] != values["channels"]:
            raise ModelFileError("model card: channels: wrong unit")
        return card

    def to_json(self):
        """Canonical JSON text: sorted keys, ASCII, no spaces."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text):
        """Inverse of `to_json`."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelFileError(f"model card: not JSON ({error})") from None
        return cls.from_dict(values)

    def with_hash(self, weights_sha256):
        """Copy with another ``weights_sha256``."""
        return replace(self, weights_sha256=weights_sha256)


def outputs_of(tasks):
    """Output size of each task."""
    sizes = {
        "energy": lambda task: 2 if "scale" in task else 1,
        "direction": _direction_size,
        "impact": lambda task: 2,
        "class": lambda task: len(task["ids"]),
    }
    return {name: sizes[name](task) for name, task in tasks.items()}


def _direction_size(task):
    """Output size of the direction."""
    if "head" in task:
        return AXIS_SIZE
    return MODE_SIZE * task["modes"] if task.get("modes") else 2


def class_task(ids, output="logits"):
    """Class section of a card, particle 0 being the signal.

    Parameters
    ----------
    ids : sequence of int
        CORSIKA particle numbers in the order of the outputs.
    output : {"logits", "log_softmax"}
        What the network returned in training; probabilities are the same.

    Raises
    ------
    ModelFileError
        If there is no 0 (gamma) among them, or one is twice.
    """
    ids = [int(i) for i in ids]
    if 0 not in ids or len(set(ids)) != len(ids) or len(ids) < 2:
        raise ModelFileError(
            f"class ids {ids}: need at least two different ones, 0 = gamma included"
        )
    names = [PARTICLES.get(i, f"particle {i}") for i in ids]
    return {"ids": ids, "names": names, "signal": ids.index(0), "output": output}


def camera_section(lattice, name):
    """Camera section of a card.

    Parameters
    ----------
    lattice : CameraLattice
    name : str
        For people; cameras are matched by position.
    """
    tenth_mm = np.rint(1e4 * np.column_stack([lattice.pix_x, lattice.pix_y])).astype("<i4")
    return {
        "name": str(name),
        "n_pixels": lattice.n_pixels,
        "shape": lattice.shape,
        "pix_rotation_deg": float(lattice.rotation_deg),
        "pitch_m": float(lattice.pitch_m),
        "lattice_sha256": lattice.sha256,
        "positions_sha256": hashlib.sha256(tenth_mm.tobytes()).hexdigest(),
    }
