import itertools

import numpy as np
import pytest

from ctapipe_gammalearn.exceptions import TrainingError
from ctapipe_gammalearn.training.comparison import common_images, compare, overlaps
from ctapipe_gammalearn.training.metrics import Results

SOURCE = {
    "file": "test.dl1.h5",
    "sha256": "b" * 64,
    "obs_ids": [11, 12],
    "primary": "gamma",
    "spectral_index": -2.0,
    "energy_TeV": [0.01, 50.0],
    "viewcone_deg": [0.0, 2.5],
    "pointing_alt_az_deg": [70.0, 180.0],
}


@pytest.fixture(scope="module")
def methods():
    """Two reconstructions, the second with half of the errors of the first."""
    rng = np.random.default_rng(5)
    n = 2400
    gamma, energy = np.arange(n) < n // 2, rng.uniform(-2, 1, n)
    score, blur, shift = rng.normal(0, 1, n), rng.normal(0, 0.3, (n, 2)), rng.normal(0, 0.1, n)
    common = dict(
        is_gamma=gamma,
        true_log10_energy=energy,
        true_direction=np.zeros((n, 2)),
        intensity=10 ** rng.uniform(1.71, 4, n),
    )
    return {
        name: Results(
            gammaness=1 / (1 + np.exp(-score - gamma / size)),
            log10_energy=energy + size * shift,
            direction=size * blur,
            **common,
        )
        for name, size in (("old", 1.0), ("new", 0.5))
    }


@pytest.fixture(scope="module")
def tables(methods):
    """Comparison of the two."""
    return compare(methods, np.arange(2400) // 3, n_bootstrap=30)


def test_first_rows_are_all_images_then_bins_of_intensity(tables):
    rows = tables["intensity"]
    assert [row["method"] for row in rows] == ["old"] * 4 + ["new"] * 4
    assert [(row["low"], row["high"]) for row in rows[:4]] == [
        (50, np.inf), (50, 200), (200, 1000), (1000, np.inf),
    ]  # fmt: skip
    assert rows[0]["n_gamma"] == sum(row["n_gamma"] for row in rows[1:4]) == 1200
    assert all(row["psi68_error"] > 0 for row in rows)


def test_half_of_the_error_is_a_ratio_of_one_half(tables):
    found = {row["metric"]: row for row in tables["differences"] if row["low"] == 50}
    assert (found["psi68"]["method"], found["psi68"]["reference"]) == ("new", "old")
    assert found["psi68"]["ratio"] == pytest.approx(0.5, rel=1e-3)
    assert found["psi68"]["error"] > 0
    assert found["auc"]["difference"] > 0
    assert found["auc"]["difference"] == found["auc"]["value"] - found["auc"]["reference_value"]


def test_bins_of_energy_hold_all_gammas_and_have_errors(tables):
    for name, table in itertools.product(("old", "new"), ("true_energy", "reco_energy")):
        rows = [row for row in tables[table] if row["method"] == name]
        assert (
            (1200 if table == "true_energy" else 1150)
            <= sum(row["n_gamma"] for row in rows)
            <= 1200
        )
        assert all(row["psi68_error"] > 0 for row in rows)
        # of a 68 % quantile of n independent errors in two dimensions
        assert all(0.02 < row["psi68_error"] * np.sqrt(row["n_gamma"]) < 1 for row in rows)


def test_differences_in_bins_of_true_energy(tables):
    rows = [row for row in tables["energy_differences"] if row["metric"] == "psi68"]
    edges = [(row["low"], row["high"]) for row in tables["true_energy"] if row["method"] == "old"]
    assert [(row["low"], row["high"]) for row in rows] == edges
    for row in rows:
        assert row["ratio"] == pytest.approx(0.5, rel=1e-3)
        assert row["difference_low"] < row["difference"] < row["difference_high"] < 0


def test_bins_contain_their_lower_edge(methods):
    values = {**vars(methods["old"]), "intensity": np.repeat([50.0, 199.9, 1000.0], 800)}
    shuffled = np.random.default_rng(1).permutation(2400)
    found = compare({"a": Results(**values).take(shuffled)}, np.arange(2400), n_bootstrap=0)
    rows = found["intensity"]
    assert [(r["low"], r["high"]) for r in rows] == [(50, np.inf), (50, 200)]
    assert rows[1]["n_gamma"] + rows[1]["n_background"] == 1600
    assert not any(key.endswith("_error") for row in rows for key in row if key[:4] != "cali")
    assert "differences" not in found


def test_an_image_counts_only_if_all_methods_have_it(methods):
    broken = methods["old"].gammaness.copy()
    broken[:7] = np.nan
    values = {**vars(methods["old"]), "gammaness": broken}
    valid = common_images({"new": methods["new"], "broken": Results(**values)})
    assert list(np.flatnonzero(~valid)) == list(range(7))


def test_no_common_image_is_an_error_with_counts(methods):
    values = {**vars(methods["old"]), "gammaness": np.full(2400, np.nan)}
    with pytest.raises(TrainingError, match="new 2400, broken 0"):
        common_images({"new": methods["new"], "broken": Results(**values)})


def test_a_file_of_the_training_is_found_by_its_content():
    samples = [{**SOURCE, "file": "renamed.h5"}]
    assert overlaps(samples, [SOURCE]) == ["test.dl1.h5: the model was trained on this very file"]


def test_the_same_run_in_another_file_is_suspicious():
    samples = [{**SOURCE, "sha256": "a" * 64, "file": "train.dl1.h5", "obs_ids": [12, 13]}]
    (note,) = overlaps(samples, [SOURCE])
    assert "may be the same showers" in note
    assert "train.dl1.h5" in note


def test_settings_are_the_same_in_single_precision():
    other = {key: np.float32(SOURCE[key]).tolist() for key in ("spectral_index", "energy_TeV")}
    assert len(overlaps([{**SOURCE, "sha256": "a" * 64, **other}], [SOURCE])) == 1


@pytest.mark.parametrize(
    "change", [{"obs_ids": [21]}, {"primary": "proton"}, {"spectral_index": -1.8}]
)
def test_other_simulations_are_no_overlap(change):
    assert overlaps([{**SOURCE, "sha256": "a" * 64, **change}], [SOURCE]) == []


def test_sources_without_a_hash_are_compared_by_their_runs():
    bare = {k: v for k, v in SOURCE.items() if k != "sha256"}
    assert "may be the same" in overlaps([bare], [bare])[0]
    assert overlaps([{"file": "unknown"}], [{"file": "unknown, too"}]) == []


def test_models_without_a_record_have_no_overlap():
    assert overlaps(None, [SOURCE]) == []
