"""Published curves: all readable, with definition and licence."""

import numpy as np
import pytest

import ctapipe_gammalearn.irf.overlays as module
from ctapipe_gammalearn.exceptions import IRFError
from ctapipe_gammalearn.irf.overlays import overlay_table, overlays

NAMES = list(dict.fromkeys(module._table()["name"].tolist()))
# sane values of each quantity
RANGES = {"sensitivity": (1e-14, 1e-9), "theta68": (0.01, 1), "eres": (0.05, 1), "aeff": (1e3, 1e7)}


@pytest.mark.parametrize("name", NAMES)
def test_every_curve_is_sane_and_says_what_it_is(name):
    for curve in overlays([name]):
        low, high = RANGES[curve.quantity]
        assert len(curve.energy) == len(curve.value) > 5
        assert np.all(np.diff(curve.energy) > 0)
        assert np.all((curve.value > low) & (curve.value < high))
        assert curve.label
        assert curve.definition
        if curve.lo is not None:
            assert np.all((curve.lo <= curve.value) & (curve.value <= curve.hi))


def test_a_name_stands_for_all_quantities_of_a_measurement():
    found = overlays(["LST1-2023-zen_10.00_gh-eff_0.7", "MAGIC-2016-sensitivity-5off"])
    assert [c.quantity for c in found] == ["theta68", "eres", "aeff", "sensitivity"]
    assert overlays([]) == []


def test_numbers_are_those_published():
    """LST-1 at 0.63 to 1 TeV; MAGIC's 0.7 % of the Crab nebula at 290 GeV and above."""
    (curve,) = overlays(["LST1-2023-sensitivity_src_indep"])
    at = np.argmin(np.abs(curve.energy - 0.794))
    np.testing.assert_allclose(curve.value[at], 1.1386e-12, rtol=1e-4)


@pytest.mark.parametrize(
    "name, hint",
    [("LST1-2023-sensitivity", "did you mean LST1-2023-sensitivity_src_indep"), ("?", "known:")],
)
def test_an_unknown_name_suggests_known_ones(name, hint):
    with pytest.raises(IRFError, match=f"no curve '.*'; {hint}"):
        overlays([name])


def test_each_curve_has_a_source_with_a_licence():
    sources = module._table().meta["sources"]
    for name in NAMES:
        (text,) = [v for k, v in sources.items() if name.startswith(k)]
        assert "Copyright" in text
    text = (module.files("ctapipe_gammalearn") / "resources/overlays_licences.txt").read_text()
    assert "BSD 3-Clause License" in text
    assert "MIT License" in text


def test_a_table_of_curves_holds_every_point():
    curves = overlays(["CTA-requirement-North-50h-LST", "MAGIC-2016-a2"])
    table = overlay_table(curves)
    assert len(table) == sum(len(c.value) for c in curves)
    assert set(table["quantity"]) == {"sensitivity", "eres"}
    assert np.isnan(table["lo"][0])
