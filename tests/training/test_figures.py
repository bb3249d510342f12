import numpy as np
import pytest

from ctapipe_gammalearn.training import figures
from ctapipe_gammalearn.training.metrics import Results, summary


@pytest.fixture(scope="module")
def results():
    """Gammas at higher scores than background."""
    rng = np.random.default_rng(1)
    gamma = np.arange(600) < 300
    energy = rng.uniform(-2, 1, 600)
    return Results(
        is_gamma=gamma,
        gammaness=rng.beta(np.where(gamma, 4, 2), 2),
        true_log10_energy=energy,
        log10_energy=energy + rng.normal(0.05, 0.1, 600),
        energy_uncert=np.full(600, 0.1),
    )


@pytest.fixture(scope="module")
def rows(results):
    """Table in bins of energy."""
    place = np.digitize(results.true_log10_energy, [-1, 0])
    bins = [(0.01, 0.1), (0.1, 1), (1, 10)]
    return [
        {"method": "net", "low": low, "high": high, "energy_bias_error": 0.01 * (i + 1)}
        | summary(results.take(place == i))
        for i, (low, high) in enumerate(bins)
    ]


def lines(figure):
    """Lines of the only axes of a figure, by label."""
    (axes,) = figure.axes
    return {line.get_label(): line for line in axes.lines}


def test_roc_shows_the_background_above_the_cut(results):
    figure = figures.roc({"net": results, "energy only": Results(is_gamma=results.is_gamma)})
    curves = lines(figure)
    assert set(curves) == {"net"}
    kept, left = curves["net"].get_data()
    i = np.argmin(np.abs(kept - 0.7))
    gamma = results.is_gamma
    cut = np.quantile(results.gammaness[gamma], 1 - kept[i])
    assert left[i] == pytest.approx(np.mean(results.gammaness[~gamma] > cut))


def test_gammaness_of_both_classes_is_normalised(results):
    (axes,) = figures.gammaness({"net": results}).axes
    steps = [patch.get_data() for patch in axes.patches]
    assert [(s.values * np.diff(s.edges)).sum() for s in steps] == pytest.approx([1, 1])


def test_points_lie_in_the_middle_of_the_bins(rows):
    (axes,) = figures.energy_curve(rows, "energy_bias", "bias").axes
    x, y = axes.containers[0].lines[0].get_data()
    assert x == pytest.approx(np.sqrt([0.001, 0.1, 10]))
    assert list(y) == [row["energy_bias"] for row in rows]


def test_bars_are_the_errors_and_absent_without(rows):
    for metric, expected in (("energy_bias", [0.02, 0.04, 0.06]), ("median_abs_ln", [])):
        (axes,) = figures.energy_curve(rows, metric, metric).axes
        _, _, (_, bars) = axes.containers[0]
        heights = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments() if len(segment)]
        assert [h for h in heights if np.isfinite(h)] == pytest.approx(expected)


def test_coverage_has_lines_of_what_is_known_only(rows):
    (axes,) = figures.coverage(rows).axes
    assert axes.get_legend_handles_labels()[1] == ["net, energy"]


@pytest.mark.parametrize("draw", [figures.roc, figures.gammaness])
def test_one_class_alone_is_no_error(draw, results, tmp_path):
    figures.save(draw({"net": results.take(results.is_gamma)}), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_but_the_figure_is_left_behind(rows, tmp_path):
    figures.save(figures.coverage(rows), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
