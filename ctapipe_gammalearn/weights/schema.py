"""The format of the model card, and how values are checked against it.

`SCHEMA` is the whole format.  A rule is a type; ``None``; a set of allowed values; a tuple
of alternatives; a list (one rule: any number of items, several: exactly those); a dict of
keys (all required unless they end in "?", no others allowed); or a `By`.
"""

import math
from dataclasses import dataclass

from ..exceptions import ModelFileError

__all__ = ["FORMAT_VERSION", "SCHEMA", "UNITS", "By", "check"]

FORMAT_VERSION = 1

#: input channels and their units
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
        "trunk?": int,
        "num_scalars?": int,
        "output_size": (None, [int, int]),
    },
    "channels": [{"name": set(UNITS), "unit": set(UNITS.values())}],
    "preprocessing": {
        "nan_image": float,
        "nan_time": float,
        "cleaning": {None},  # reserved: this version feeds all pixels
        "dtype": {"float32"},
    },
    "shower?": {
        "focal_length_m": float,
        "picture_pe": float,
        "boundary_pe": float,
        "min_neighbours": int,
        "all_pixels": bool,
        "crop": (None, int),
        "features": bool,
        "rotations": int,
    },
    "tasks": {
        "energy?": {"transform": {"log10"}, "unit": {"TeV"}, "scale?": {"laplace"}},
        "direction?": By(
            "frame",
            {
                "telescope": {
                    "unit": {"deg"},
                    "axes": [{"fov_lon"}, {"fov_lat"}],
                    "modes?": int,
                    "head?": {"axis_sign"},
                },
                "altaz-offset": {"unit": {"rad"}, "axes": [{"alt"}, {"az"}]},
                "camera": {
                    "unit": {"m"},
                    "axes": [{"x"}, {"y"}],
                    "focal_length_m": float,
                    "focal_length": {"equivalent", "effective"},
                },
            },
        ),
        "impact?": {"frame": {"ground", "tilted"}, "unit": {"km", "hm", "m"}},
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
        {
            "regression_on": str,
            "dataset": str,
            "epochs": (None, int),
            "seed": (None, int),
            "samples?": [dict],
            "showers?": {"n": int, "smallest": str},
            "selection?": dict,
            "recipe?": dict,
            "metrics?": dict,
        },
    ),
    "calibration?": {
        "log10_energy": [float],
        "energy_bias": [float],
        "energy_scale": [float],
        "direction_scale": [float],
    },
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
