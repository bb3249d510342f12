"""What the reconstructors of ``ctapipe-gammalearn-irf`` cost, as measured elsewhere."""

import json

from ..exceptions import IRFError

__all__ = ["read_timing"]

KEYS, MORE = {"machine", "ms_per_event"}, {"ms_range"}


def read_timing(path, reconstructors, reference):
    """Time per event from a JSON file.

    Parameters
    ----------
    path : Path or None
        ``{"machine": "what it ran on", "ms_per_event": {name: ms}}``, and perhaps ``"ms_range":
        {name: [fastest, slowest]}`` of several runs.
    reconstructors : collection of str
    reference : str

    Returns
    -------
    dict or None
        The content (``ms_range`` may be empty), and ``ratio`` to the reference by name, if its
        time is given. None without a file.

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
    if not isinstance(found, dict) or set(found) - MORE != KEYS:
        raise IRFError(
            f"{path}: give {' and '.join(sorted(KEYS))}, perhaps ms_range, and nothing else"
        )
    times = found["ms_per_event"]
    if not isinstance(found["machine"], str) or not isinstance(times, dict) or not times:
        raise IRFError(f"{path}: machine is a text, ms_per_event holds a time by reconstructor")
    if unknown := sorted(set(times) - set(reconstructors)):
        raise IRFError(
            f"{path}: no reconstructor {unknown[0]!r}; known: {', '.join(reconstructors)}"
        )
    for name, time in times.items():
        if not _is_time(time):
            raise IRFError(f"{path}: ms_per_event of {name} is {time!r}; give a positive number")
    ranges = found.get("ms_range", {})
    if not isinstance(ranges, dict) or not all(
        n in times
        and isinstance(r, list)
        and len(r) == 2
        and all(map(_is_time, r))
        and r[0] <= r[1]
        for n, r in ranges.items()
    ):
        raise IRFError(f"{path}: ms_range: give two rising times for some of ms_per_event")
    unit = times.get(reference)
    ratio = {name: time / unit for name, time in times.items()} if unit else {}
    return {"machine": found["machine"], "ms_per_event": times, "ms_range": ranges, "ratio": ratio}


def _is_time(value):
    """Whether a value is a time in ms."""
    return type(value) in (int, float) and 0 < value < 1e9
