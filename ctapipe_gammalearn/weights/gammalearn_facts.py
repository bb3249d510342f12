"""What a GammaLearn checkpoint does not say: given by the user, or implied by a version."""

import json
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path

from ..exceptions import CheckpointError
from .gammalearn_keys import LAYOUT_VERSIONS

__all__ = ["DIRECTIONS", "Facts", "parse_class_ids", "read_hints", "with_preset"]

#: direction conventions: what the two outputs are
DIRECTIONS = ("altaz-offset-rad", "camera-metre")

_EXAMPLES = {
    "activation": "--activation relu|gelu|leaky_relu:0.01",
    "direction": f"--direction {'|'.join(DIRECTIONS)}",
    "class_ids": "--class-ids 0,101",
    "nan_time": "--nan-time -20",
    "focal_length_m": "--focal-length 28.0",
}
#: GammaLearn versions from which a convention holds
_PRESETS = {
    (0, 7): {"direction": "altaz-offset-rad", "nan_time": 0.0},
    (0, 15): {"direction": "altaz-offset-rad", "nan_time": -20.0},
    (0, 16): {"direction": "camera-metre", "nan_time": -20.0},
}


@dataclass(frozen=True)
class Facts:
    """Facts about a checkpoint; None: not known.

    Attributes
    ----------
    activation : str
        Name in `ctapipe_gammalearn.nn.architecture.ACTIVATIONS`, perhaps with a slope.
    direction : {"altaz-offset-rad", "camera-metre"}
        (alt, az) minus pointing, or the source position in the camera frame.
    class_ids : tuple of int
        CORSIKA particle numbers in the order of the class outputs.
    nan_time : float
        Peak time (ns) that replaced NaN in training.
    focal_length_m : float
        Focal length behind "camera-metre" (m; lstchain: the equivalent one).
    class_output : {"logits", "log_softmax"}
    gammalearn : str
        Version of GammaLearn.
    """

    activation: str | None = None
    direction: str | None = None
    class_ids: tuple | None = None
    nan_time: float | None = None
    focal_length_m: float | None = None
    class_output: str | None = None
    gammalearn: str | None = None

    def require(self, names, hints):
        """Raise `CheckpointError` naming the options for all of ``names`` not known."""
        missing = [name for name in names if getattr(self, name) is None]
        if missing:
            told = [f"{_option(n)} {hints[n]}" for n in missing if n in hints]
            if self.gammalearn is None and "gammalearn" in hints:
                told.append(f"--gammalearn-version {hints['gammalearn']}")
            raise CheckpointError(
                "the checkpoint does not say all that is needed; give "
                + ", ".join(_EXAMPLES[name] for name in missing)
                + (f" (its settings file says {', '.join(told)})" if told else "")
            )


def _option(name):
    """Command-line option of a fact."""
    return _EXAMPLES[name].split()[0]


def with_preset(facts, layout):
    """Fill in what the stated GammaLearn version implies.

    Parameters
    ----------
    facts : Facts
    layout : {"A", "B", "C"}
        Key layout of the checkpoint.

    Returns
    -------
    facts : Facts
    sources : dict of str to str
        For each known fact where it comes from.

    Raises
    ------
    CheckpointError
        Unknown version, or one that never wrote this layout.
    """
    given = {f.name for f in fields(facts) if getattr(facts, f.name) is not None}
    sources = dict.fromkeys(given - {"gammalearn"}, "given")
    implied = {"class_output": "log_softmax" if layout == "A" else "logits"}
    origin = dict.fromkeys(implied, f"key layout {layout}")
    if facts.gammalearn is not None:
        version = _version(facts.gammalearn)
        first, last = LAYOUT_VERSIONS[layout]
        if not first <= version <= last:
            raise CheckpointError(
                f"--gammalearn-version {facts.gammalearn} does not fit: the tensors are named as in"
                f" {_text(first)} to {_text(last)}"
            )
        preset = _PRESETS[max(start for start in _PRESETS if start <= version)]
        implied |= preset
        origin |= dict.fromkeys(preset, f"GammaLearn {facts.gammalearn}")
    new = {name: value for name, value in implied.items() if name not in given}
    return replace(facts, **new), sources | {name: origin[name] for name in new}


def _version(text):
    """(major, minor) of a known GammaLearn version."""
    found = re.fullmatch(r"v?(\d+)\.(\d+)(\.\d+)?", str(text))
    version = (int(found[1]), int(found[2])) if found else None
    if version is None or not (0, 7) <= version <= (0, 16):
        raise CheckpointError(f"--gammalearn-version {text}: known are 0.7 to 0.16")
    return version


def _text(version):
    """0.7 of (0, 7)."""
    return ".".join(map(str, version))


def parse_class_ids(text):
    """Tuple of particle numbers from a list such as 0,101."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise CheckpointError(
            f"--class-ids {text}: give particle numbers such as 0,101 (gamma, proton)"
        ) from None


def read_hints(path):
    """Facts that GammaLearn's settings JSON seems to state; never taken without being asked.

    Parameters
    ----------
    path : path-like
        ``<experiment>_settings.json``; the Python file of settings is never read.

    Returns
    -------
    dict of str to str
        Text for the option of each fact.

    Raises
    ------
    CheckpointError
        Unreadable, or no settings file.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(2**20).decode()
        settings = json.loads(text)
        hints = {"gammalearn": str(settings["gammalearn"])}
        classes = settings.get("dataset_parameters", {}).get("particle_dict", {})
        by_output = sorted(classes, key=classes.get)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(f"{path}: not a settings JSON file of GammaLearn") from None
    if by_output:
        hints["class_ids"] = ",".join(by_output)
    activations = set(re.findall(r"torch\.nn\.modules\.activation\.(\w+)", text))
    if len(activations) == 1:
        name = activations.pop()
        hints["activation"] = {"LeakyReLU": "leaky_relu"}.get(name, name.lower())
    return hints
