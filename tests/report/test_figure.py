"""Figures as SVG text: the same bytes every time, ink by the page, names of their own."""

import re

import numpy as np
import pytest

from ctapipe_gammalearn.report.figure import INK, STYLES, drawn
from ctapipe_gammalearn.report.overlays import Overlay
from ctapipe_gammalearn.report.paint import density_map, overlay


def paint(axes):
    axes.loglog([0.1, 1, 10], [3, 2, 1], label="γ <&>", marker="o")
    axes.set_xlabel("energy / TeV")


def figure(key="one", painter=paint, ratio=None):
    return drawn(key, "title", "caption", "benchmarks/one.ecsv", painter, ratio)


def identifiers(svg):
    return re.findall(r' id="([^"]+)"', svg)


def test_the_same_input_gives_the_same_bytes():
    assert figure() == figure()


def test_axes_take_the_colour_of_the_page():
    svg = figure().svg
    assert INK not in svg
    assert svg.count("currentColor") > 10


def test_no_date_and_no_foreign_address():
    svg = figure().svg
    assert not re.search(r"date|matplotlib v|<metadata", svg, re.IGNORECASE)
    assert not re.search(r'(href|src)="http', svg)


def test_letters_stay_letters():
    assert "γ &lt;&amp;&gt;" in figure().svg


def test_identifiers_of_two_figures_never_meet():
    one, two = (identifiers(figure(key).svg) for key in ("one", "two"))
    assert len(one) == len(set(one)) > 0
    assert not set(one) & set(two)


def test_all_references_are_to_identifiers_of_the_figure():
    svg = figure(ratio=lambda axes: axes.plot([0.1, 10], [1, 1])).svg
    wanted = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    assert wanted
    assert wanted <= set(identifiers(svg))


def test_a_ratio_panel_takes_over_the_name_of_the_axis():
    svg = figure(ratio=lambda axes: axes.plot([0.1, 10], [1, 1])).svg
    assert svg.count("energy / TeV") == 1


def test_a_map_is_an_image_inside_the_figure():
    edges = np.linspace(0, 1, 51)
    values = np.arange(2500.0).reshape(50, 50)
    svg = figure(painter=lambda axes: density_map(axes, edges, edges, values, "events")).svg
    assert "data:image/png;base64" in svg
    assert len(svg) < 60_000


def test_an_empty_map_is_drawn():
    edges = np.linspace(0, 1, 5)
    svg = figure(
        painter=lambda axes: density_map(axes, edges, edges, np.zeros((4, 4)), "events")
    ).svg
    assert svg.startswith("<svg")


def test_another_instrument_is_called_so():
    other = Overlay("LST-1 (2023)", "theta68", "50 h", np.array([0.1, 1]), np.array([0.2, 0.1]))
    svg = figure(painter=lambda axes: overlay(axes, [other], "theta68")).svg
    assert "LST-1 (2023) (other instrument; 50 h)" in svg


def test_a_curve_of_another_quantity_is_left_out():
    other = Overlay("LST-1", "eres", "50 h", np.array([0.1, 1]), np.array([0.2, 0.1]))
    assert "LST-1" not in figure(painter=lambda axes: overlay(axes, [other], "theta68")).svg


def luminance(colour):
    """Relative luminance of a colour #rrggbb."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


def test_styles_differ_in_line_and_marker():
    assert len({str(s["linestyle"]) for s in STYLES}) == len(STYLES)
    assert len({s["marker"] for s in STYLES}) == len(STYLES)


@pytest.mark.parametrize("back", ["#f5f6f8", "#1e2227"])
@pytest.mark.parametrize("style", STYLES, ids=lambda s: s["color"])
def test_colours_stand_out_on_light_and_dark(style, back):
    high, low = sorted([luminance(style["color"]), luminance(back)], reverse=True)
    assert (high + 0.05) / (low + 0.05) > 2.5
