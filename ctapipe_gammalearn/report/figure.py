"""Figures in house style as SVG text: readable on paper, on screens light and dark, on a phone.

Axes and letters take the colour of the text around them, lines differ in colour, shade, dash and
marker, and the same input gives the same bytes.
"""

import io
import re
from dataclasses import dataclass

import matplotlib
from matplotlib.figure import Figure as Canvas

__all__ = ["INK", "STYLES", "Figure", "drawn"]

#: what is drawn in it takes the colour of the text around the figure
INK = "#010203"
#: colour, line and marker of each reconstructor, the reference first; also told apart in grey
STYLES = (
    {"color": "#d98200", "linestyle": "--", "marker": "s"},
    {"color": "#2f7fc1", "linestyle": "-", "marker": "o"},
    {"color": "#12936f", "linestyle": "-.", "marker": "^"},
    {"color": "#b55a93", "linestyle": ":", "marker": "D"},
    {"color": "#7f7f7f", "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"},
)
SIZE = 4.8, 3.6  # inches: 9 pt letters stay readable on a phone
RATIO_HEIGHT = 1.1
LONG_LABEL = 30
HOUSE = {
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#888888",
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "svg.fonttype": "none",
    "image.composite_image": False,
}
# the page needs neither, and identifiers would meet those of other figures
NOT_NEEDED = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL
)
IDENTIFIER = re.compile(r' id="([^"]+)"')


@dataclass(frozen=True)
class Figure:
    """A drawn figure.

    Attributes
    ----------
    key : str
        Name of the file ``figures/KEY.svg``, and of the place in the page.
    title : str
    caption : str
        What a student has to know to read it; what is read aloud to those who do not see it.
    table : str
        Table behind it, relative to the output folder.
    svg : str
    """

    key: str
    title: str
    caption: str
    table: str
    svg: str


def drawn(key, title, caption, table, paint, ratio=None, size=SIZE):
    """Draw a figure.

    Parameters
    ----------
    key, title, caption, table : str
        See `Figure`; what cannot be in the name of a place becomes a dash in ``key``.
    paint : callable
        Draws into matplotlib axes.
    ratio : callable, optional
        Draws into the panel below, which shares the horizontal axis.
    size : tuple of float
        Width and height of the upper panel, inches.

    Returns
    -------
    Figure
    """
    key = re.sub(r"[^\w-]", "-", key)
    settings = HOUSE | {"svg.hashsalt": key}
    with matplotlib.rc_context(settings), io.StringIO() as text:
        heights = [size[1]] if ratio is None else [size[1], RATIO_HEIGHT]
        canvas = Canvas(figsize=(size[0], sum(heights)), layout="constrained")
        axes = canvas.subplots(len(heights), sharex=True, height_ratios=heights, squeeze=False)
        paint(axes[0, 0])
        if ratio is not None:
            # names of the axis below both
            axes[1, 0].set_xlabel(axes[0, 0].get_xlabel())
            axes[0, 0].set_xlabel("")
            ratio(axes[1, 0])
        _legend(canvas, axes[0, 0])
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        canvas.savefig(text, format="svg", transparent=True, metadata=nothing, dpi=150)
        return Figure(key, title, caption, table, _clean(text.getvalue(), key))


def _legend(canvas, axes):
    """Names of the curves above the axes, where they hide nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = 1 if max(map(len, labels)) > LONG_LABEL else 2
        canvas.legend(handles, labels, loc="outside upper left", ncols=columns, borderaxespad=0.2)


def _clean(svg, key):
    """SVG for inclusion in a page: no header, ink by the page, no foreign identifiers."""
    svg = NOT_NEEDED.sub("", svg).replace(INK, "currentColor")
    used = set(re.findall(r"#([\w-]+)", svg))

    def kept(match):
        return f' id="{key}-{match[1]}"' if match[1] in used else ""

    svg = IDENTIFIER.sub(kept, svg)
    svg = re.sub(r'(href="|url\()#', rf"\g<1>#{key}-", svg)
    return re.sub(r"\n\s*", "\n", svg).strip() + "\n"
