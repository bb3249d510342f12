import numpy as np
import pytest

from ctapipe_gammalearn.training import figures
from ctapipe_gammalearn.training.metrics import Results, binned


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
    bins = binned(results, 10**results.true_log10_energy, [0.01, 0.1, 1, 10])
    return [{"method": "net", **row} for row in bins]


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


def test_coverage_has_lines_of_what_is_known_only(rows):
    labels = set(lines(figures.coverage(rows)))
    assert "net, energy" in labels
    assert "net, direction" not in labels


@pytest.mark.parametrize("draw", [figures.roc, figures.gammaness])
def test_one_class_alone_is_no_error(draw, results, tmp_path):
    figures.save(draw({"net": results.take(results.is_gamma)}), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_but_the_figure_is_left_behind(rows, tmp_path):
    figures.save(figures.coverage(rows), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
