"""Quality queries on rows of tables: the same as image by image, and the same counts."""

import numpy as np
import pytest
from astropy.table import Table
from ctapipe.core import QualityQuery

from ctapipe_gammalearn.reco.rows import RowParameters, acts_on_rows, passing_rows

TOGETHER = [
    "parameters.hillas.intensity > 50",
    "parameters.hillas.width.value > 0",
    "parameters.hillas.width > 0.05 * u.deg",
    "log10(parameters.hillas.intensity) - 1 < parameters.leakage.pixels_width_1",
    "np.isfinite(parameters.hillas.width)",
    "~(parameters.morphology.n_pixels == 3)",
]
ONE_BY_ONE = [
    "True",
    "parameters.hillas.intensity > 50 and parameters.morphology.n_pixels > 3",
    "20 < parameters.hillas.intensity < 200",
    "parameters.hillas.intensity >= np.mean(parameters.hillas.intensity)",
    "parameters.hillas.intensity >= np.max([50, parameters.hillas.intensity])",
    "parameters.morphology.n_pixels in (3, 4)",
    "parameters.hillas.width.to_value('deg') > 0.1",
    "parameters.hillas.intensity >= max(parameters.hillas.intensity, 50)",
    "np.maximum.reduce(parameters.hillas.intensity) > 50",
]


@pytest.fixture
def table():
    """Image parameters of 40 images, two of which were not measured."""
    rng = np.random.default_rng(4)
    columns = {
        "hillas_intensity": 10 ** rng.uniform(1, 3, 40),
        "hillas_width": rng.uniform(0, 0.3, 40),
        "leakage_pixels_width_1": rng.uniform(0, 1, 40),
        "morphology_n_pixels": rng.integers(2, 6, 40),
    }
    columns["hillas_width"][[3, 8]] = np.nan
    return Table(columns, units={"hillas_width": "deg"})


def together(expressions):
    """A quality query."""
    return QualityQuery(quality_criteria=[(e, e) for e in expressions])


@pytest.mark.parametrize(
    "expressions", [[e] for e in TOGETHER + ONE_BY_ONE] + [[], TOGETHER, TOGETHER + ONE_BY_ONE]
)
@pytest.mark.parametrize("chosen", [range(40), [7], [5, 9, 30], []])
def test_same_rows_and_counts_as_one_by_one(table, expressions, chosen):
    query, expected = together(expressions), together(expressions)
    passed = [all(expected(parameters=RowParameters(table, row))) for row in chosen]
    assert passing_rows(table, list(chosen), query) == passed
    assert str(query.to_table()) == str(expected.to_table())


@pytest.mark.parametrize("expression", TOGETHER + ONE_BY_ONE)
def test_rows_are_read_together_where_that_is_the_same(monkeypatch, table, expression):
    single = []
    monkeypatch.setattr(QualityQuery, "__call__", lambda *_, **names: [single.append(names)])
    passing_rows(table, list(range(40)), together([expression]))
    assert len(single) == (40 if expression in ONE_BY_ONE else 0)


def test_what_sees_other_rows_is_recognised():
    assert all(map(acts_on_rows, TOGETHER))
    assert not acts_on_rows("parameters.hillas.intensity > np.mean(parameters.hillas.intensity)")
    assert not acts_on_rows("parameters.hillas.intensity >= max(parameters.hillas.intensity)")
    assert not acts_on_rows("parameters.hillas.intensity[0] > 3")
    assert not acts_on_rows("[p for p in parameters.hillas.intensity]")
