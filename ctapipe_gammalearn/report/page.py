"""The report as one HTML file that needs nothing else: no network, no scripts, no fonts.

Every number of the page outside the figures comes from ``summary.json`` and says from where, by
the attribute ``data-key``.
"""

from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..irf.verdict import probability

__all__ = ["Key", "Section", "Table", "page"]

OUTCOMES = {
    "better": "better",
    "worse": "worse",
    "small": "below the margin",
    "equivalent": "no practical difference",
    "undecided": "undecided",
    "not evaluable": "not evaluable",
    "withheld": "withheld",
}


@dataclass(frozen=True)
class Key:
    """Place of a number in the summary, and how it is printed.

    Attributes
    ----------
    path : tuple of str or int
    format : str
        As of `format`, or ``p`` for a probability; text is printed as it is.
    """

    path: tuple
    format: str = ".4g"


@dataclass(frozen=True)
class Table:
    """A small table of the page.

    Attributes
    ----------
    title : str
    head : sequence of str
    rows : sequence of sequence of str or Key
    """

    title: str
    head: list
    rows: list


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    title : str
    text : str
        Plain text, one paragraph; empty for none.
    figures : list of Figure
    tables : list of Table
    """

    title: str
    text: str = ""
    figures: list = field(default_factory=list)
    tables: list = field(default_factory=list)


def page(summary, sections):
    """Write the report.

    Parameters
    ----------
    summary : dict
        Content of ``summary.json``: ``verdict``, ``settings``, ``samples``, ``background_mc``,
        ``warnings``, ``leakage``, ``inputs`` and ``versions``.
    sections : list of Section
        Between the verdict and the bookkeeping.

    Returns
    -------
    str
    """
    environment = Environment(
        loader=PackageLoader(__package__.partition(".")[0], "resources"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    labels = {
        name: parts.get("label", name)
        for name, parts in summary["settings"]["reconstructors"].items()
    }
    return environment.get_template("report.html.j2").render(
        s=summary, sections=sections, labels=labels, outcomes=OUTCOMES, svg=_svg, anchor=_anchor,
        cell=lambda value: _cell(summary, value),
        n=lambda *path, f=".4g": _number(summary, path, f),
    )  # fmt: skip


def _cell(summary, value):
    """Content of a cell of a table."""
    return _number(summary, value.path, value.format) if isinstance(value, Key) else value


def _number(summary, path, form):
    """Value of the summary, with its place; parts of the path may be paths."""
    path = [inner for part in path for inner in (part if isinstance(part, tuple) else (part,))]
    value = summary
    for part in path:
        value = value[part]
    if value is None or isinstance(value, str):
        text = value or "–"
    elif form == "p":
        text = probability(value)
    else:
        text = format(value, form)
    place = ".".join(str(part) for part in path)
    # a typographic minus, as wide as a plus
    text = text if isinstance(value, str) else text.replace("-", "−")
    return Markup('<span class="n" data-key="{}">{}</span>').format(place, text)


def _svg(figure):
    """Figure for the page, with its words for those who do not see it."""
    label = Markup('<svg role="img" aria-label="{}" ').format(figure.caption)
    return Markup(figure.svg.replace("<svg ", label, 1))


def _anchor(title):
    """Name of a place in the page."""
    return "".join(c if c.isalnum() else "-" for c in title.lower())
