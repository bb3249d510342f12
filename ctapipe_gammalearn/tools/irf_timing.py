"""What the reconstructors of ``ctapipe-gammalearn-irf`` cost, as measured elsewhere."""

import json

from ..exceptions import IRFError

__all__ = ["read_timing"]

KEYS = {"machine", "ms_per_event"}


def read_timing(path, reconstructors, reference):
    """Time per event from a JSON file.

    Parameters
    ----------
    path : Path or None
        ``{"machine": "what it ran on", "ms_per_event": {name: ms}}``.
    reconstructors : collection of str
    reference : str

    Returns
    -------
    dict or None
        The content, and ``ratio`` to the reference by name, if its time is given. None without
        a file.

    Raises
    ------
    IRFError
        The file holds something else.
    """
    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise IRFError(f"{path}: not JSON; give machine and ms_per_event") from None
    if not isinstance(found, dict) or set(found) != KEYS:
        raise IRFError(f"{path}: give {' and '.join(sorted(KEYS))}, and nothing else")
    times = found["ms_per_event"]
    if not isinstance(found["machine"], str) or not isinstance(times, dict) or not times:
        raise IRFError(f"{path}: machine is a text, ms_per_event holds a time by reconstructor")
    if unknown := sorted(set(times) - set(reconstructors)):
        raise IRFError(
            f"{path}: no reconstructor {unknown[0]!r}; known: {', '.join(reconstructors)}"
        )
    for name, time in times.items():
        if type(time) not in (int, float) or not 0 < time < 1e9:
            raise IRFError(f"{path}: ms_per_event of {name} is {time!r}; give a positive number")
    unit = times.get(reference)
    ratio = {name: time / unit for name, time in times.items()} if unit else {}
    return {"machine": found["machine"], "ms_per_event": times, "ratio": ratio}
