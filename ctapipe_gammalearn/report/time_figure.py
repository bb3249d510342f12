"""What the reconstructors cost."""

import numpy as np

from .figure import INK, STYLES, drawn
from .page import Key, Section, Table

__all__ = ["timing_section"]


def timing_section(timing, labels, reference):
    """Time per event as a figure and as a table.

    Parameters
    ----------
    timing : dict
        Of ``summary.json``: ``machine``, ``ms_per_event``, ``ms_range`` and, if that of the
        reference is known, ``ratio`` to it.
    labels : dict of str to str
    reference : str
        Reconstructor that the others are compared with.

    Returns
    -------
    Section
    """
    rows = [
        [labels[name], Key(("timing", "ms_per_event", name), ".3g")]
        + ([Key(("timing", "ratio", name), ".3g")] if timing["ratio"] else [])
        for name in timing["ms_per_event"]
    ]
    head = ["", "ms per event"] + (["times the reference"] if timing["ratio"] else [])
    text = f"Measured on: {timing['machine']}. It counts for no verdict."
    tables = [Table("Time per event", head, rows)]
    return Section("Time", text, [_bars(timing, labels, reference)], tables)


def _bars(timing, labels, reference):
    """Horizontal bars in the colours of the other figures, lines where runs differed."""
    order = [reference, *(name for name in labels if name != reference)]
    shown = [name for name in order if name in timing["ms_per_event"]]

    def paint(axes):
        for place, name in enumerate(shown):
            value = timing["ms_per_event"][name]
            style = STYLES[order.index(name) % len(STYLES)]
            low, high = timing["ms_range"].get(name, (value, value))
            axes.barh(-place, value, height=0.6, color=style["color"])
            if high > low:
                axes.hlines(-place, low, high, color=INK, linewidth=1.2)
                axes.plot([low, high], [-place] * 2, "|", color=INK, markersize=9)
            axes.annotate(
                f"{value:.3g}", (max(value, high), -place), (4, 0), textcoords="offset points",
                va="center",
            )  # fmt: skip
        axes.set_yticks(-np.arange(len(shown)), [labels[name] for name in shown])
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("time per event / ms")
        axes.margins(x=0.15)
        axes.set_xlim(left=0)

    ranges = " Lines: from the fastest to the slowest run." if timing["ms_range"] else ""
    return drawn(
        "timing", "Time per event",
        "Computing time that each reconstructor takes for one event, on top of what all share; a"
        f" shorter bar is cheaper.{ranges} Another machine, or a GPU, changes the numbers and"
        " perhaps their order.",
        "summary.json", paint, size=(4.8, 0.9 + 0.4 * len(shown)),
    )  # fmt: skip
