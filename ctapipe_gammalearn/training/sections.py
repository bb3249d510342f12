"""Dataclasses from nested dictionaries, as they come from YAML: keys and types are checked."""

import difflib
from dataclasses import MISSING, fields, is_dataclass

from ..exceptions import TrainingError

__all__ = ["build", "plain"]


def plain(value):
    """Tuples to lists, recursively."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, tuple | list) else value


def build(cls, values, where):
    """Dataclass from a dictionary whose keys and types are checked."""
    if not isinstance(values, dict):
        raise TrainingError(f"{where}: expected keys and values, got {values!r}")
    known = {f.name: f for f in fields(cls)}
    found = {}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1, 0.4)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise TrainingError(f"{where}: unknown key {key!r}; {hint}")
        default = known[key].default
        if default is MISSING:
            default = known[key].default_factory()
        if is_dataclass(default):
            found[key] = build(type(default), value, f"{where}: {key}")
        else:
            optional = "None" in str(known[key].type)
            found[key] = _convert(value, default, optional, known[key].type, f"{where}.{key}")
    return cls(**found)


def _convert(value, default, optional, kind, where):
    """Value in the type of the field."""
    if value is None and optional:
        return None
    wanted = next((t for t in (float, int) if default is None and t.__name__ in str(kind)), None)
    wanted = wanted or type(default)
    if wanted is float and isinstance(value, str):  # YAML reads 2e-3 as text
        try:
            return float(value)
        except ValueError:
            pass
    if wanted is float and type(value) in (int, float):
        return float(value)
    if wanted is tuple and isinstance(value, list | tuple):
        return tuple(value)
    if wanted is dict and isinstance(value, dict):
        return {**default, **value}
    if type(value) is not wanted:
        raise TrainingError(f"{where}: expected {wanted.__name__}, got {value!r}")
    return value
