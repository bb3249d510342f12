"""The model card: what the numbers in a weight file mean, as validated JSON.

`SCHEMA` is the whole format.  A rule is a type; ``None``; a set of allowed values; a tuple
of alternatives; a list (one rule: any number of items, several: exactly those); a dict of
keys (all required unless they end in "?", no others allowed); or a `By`.
"""

import hashlib
import json
import math
from dataclasses import dataclass, replace

import numpy as np

from ..exceptions import ModelFileError
from ..nn import Architecture

__all__ = ["FORMAT_VERSION", "PARTICLES", "ModelCard", "camera_section", "class_task", "outputs_of"]

FORMAT_VERSION = 1

#: names of CORSIKA (lstchain mc_type, ctapipe true_shower_primary_id) particle numbers
PARTICLES = {0: "gamma", 1: "electron", 101: "proton", 402: "helium", 5626: "iron"}

UNITS = {"image": "p.e.", "peak_time": "ns"}


@dataclass(frozen=True)
class By:
    """Rule for an object whose keys depend on the value of one of them."""

    key: str
    rules: dict


_RANGE = (None, [float, float])

SCHEMA = {
    "format_version": {FORMAT_VERSION},
    "status": {"trained", "untrained"},
    "architecture": {
        "name": {"gamma-physnet"},
        "variant": {"indexed", "cartesian"},
        "num_channels": int,
        "num_layers": int,
        "block_features": [int],
        "activation": str,
        "norm": {"batch", "none"},
        "bn_eps": float,
        "attention": {"type": {"dual", "se", "none"}, "reduced": [int]},
        "fc_width": int,
        "output_size": (None, [int, int]),
    },
    "channels": [{"name": set(UNITS), "unit": set(UNITS.values())}],
    "preprocessing": {
        "nan_image": float,
        "nan_time": float,
        "cleaning": {None},  # reserved: this version feeds all pixels
        "dtype": {"float32"},
    },
    "tasks": {
        "energy?": {"transform": {"log10"}, "unit": {"TeV"}},
        "direction?": By(
            "frame",
            {
                "telescope": {"unit": {"deg"}, "axes": [{"fov_lon"}, {"fov_lat"}]},
                "altaz-offset": {"unit": {"rad"}, "axes": [{"alt"}, {"az"}]},
                "camera": {
                    "unit": {"m"},
                    "axes": [{"x"}, {"y"}],
                    "focal_length_m": float,
                    "focal_length": {"equivalent", "effective"},
                },
            },
        ),
        "impact?": {"frame": {"ground"}, "unit": {"km", "m"}},
        "class?": {
            "ids": [int],
            "names": [str],
            "signal": int,
            "output": {"logits", "log_softmax"},
        },
    },
    "camera": {
        "name": str,
        "n_pixels": int,
        "shape": {"hexagonal", "square"},
        "pix_rotation_deg": float,
        "pitch_m": float,
        "lattice_sha256": str,
        "positions_sha256": str,
    },
    "validity": {
        "telescopes": [str],
        "zenith_deg": _RANGE,
        "energy_TeV": _RANGE,
        "site": (None, str),
        "nsb": (None, str),
    },
    "training": (
        None,
        {"regression_on": str, "dataset": str, "epochs": (None, int), "seed": (None, int)},
    ),
    "provenance": {
        "created": str,
        "source_file_sha256": (None, str),
        "converter": str,
        "gammalearn": (None, str),
        "assumed": [str],
    },
    "licence": str,
    "citation": [str],
    "weights_sha256": str,
}


def check(value, rule, where=""):
    """Raise `ModelFileError`, naming the key, unless ``value`` follows ``rule``."""
    if isinstance(rule, By):
        check(value, dict, where)
        kind = value.get(rule.key)
        check(kind, set(rule.rules), f"{where}.{rule.key}")
        check(value, {rule.key: str, **rule.rules[kind]}, where)
    elif isinstance(rule, dict):
        check(value, dict, where)
        _check_keys(value, rule, where)
    elif isinstance(rule, list):
        check(value, list, where)
        if len(rule) > 1 and len(value) != len(rule):
            raise ModelFileError(f"model card: {where} must have {len(rule)} items")
        for i, item in enumerate(value):
            check(item, rule[i if len(rule) > 1 else 0], f"{where}[{i}]")
    elif isinstance(rule, tuple):  # (None, rule)
        if value is not None:
            check(value, rule[1], where)
    elif isinstance(rule, set):
        if not any(type(value) is type(allowed) and value == allowed for allowed in rule):
            known = ", ".join(sorted(map(str, rule)))
            raise ModelFileError(f"model card: {where} is {value!r}, known: {known}")
    elif not (type(value) is rule or (rule is float and type(value) is int)):
        raise ModelFileError(
            f"model card: {where} must be of type {rule.__name__}, is {type(value).__name__}"
        )
    elif rule is float and not math.isfinite(value):
        raise ModelFileError(f"model card: {where} is {value}")


def _check_keys(value, rule, where):
    """Keys of an object: none missing, none unknown, each with its rule."""
    rules = {key.rstrip("?"): sub for key, sub in rule.items()}
    dot = f"{where}." if where else ""
    if missing := [k for k in rule if not k.endswith("?") and k not in value]:
        raise ModelFileError(f"model card: missing key {dot}{missing[0]}")
    if unknown := sorted(set(value) - set(rules)):
        raise ModelFileError(f"model card: unknown key {dot}{unknown[0]}")
    for key, item in value.items():
        check(item, rules[key], dot + key)


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
        expected = tuple(UNITS)[: self.architecture.num_channels]
        if self.channels != expected:
            raise ModelFileError(
                f"model card: channels are {self.channels}, the network takes {expected}"
            )
        if outputs_of(self.tasks) != self.architecture.outputs:
            raise ModelFileError("model card: tasks differ from the outputs of the architecture")
        self._check_classes()

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

    def to_dict(self):
        """Plain types for JSON, as in `SCHEMA`."""
        architecture = self.architecture.to_dict()
        del architecture["outputs"]  # follow from the tasks
        architecture["name"] = "gamma-physnet"
        architecture["attention"] = {
            "type": architecture["attention"],
            "reduced": architecture.pop("reduced"),
        }
        return {
            "format_version": FORMAT_VERSION,
            **vars(self),
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
    sizes = {"energy": 1, "impact": 2, "direction": 2}
    return {k: len(v["ids"]) if k == "class" else sizes[k] for k, v in tasks.items()}


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
