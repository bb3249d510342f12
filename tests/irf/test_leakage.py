"""Showers of a training are found again, in whatever file and form they are."""

import shutil

import numpy as np
import pytest
from ctapipe.core import run_tool
from ctapipe.io import read_table, write_table
from ctapipe.tools.process import ProcessorTool
from numpy.testing import assert_array_equal

from ctapipe_gammalearn.exceptions import IRFError
from ctapipe_gammalearn.fingerprints import shower_prints, sketch, sketched
from ctapipe_gammalearn.io.shower_records import read_prints, run_record
from ctapipe_gammalearn.io.training_files import convert
from ctapipe_gammalearn.irf.leakage import Training, compared, disclosed, withheld
from ctapipe_gammalearn.training.comparison import overlaps
from tests.irf.dl2 import DEMO, write_dl2
from tests.irf.toy import toy

SHOWERS = "/simulation/event/subarray/shower"


def showers(n, seed=0):
    """Energy, altitude, azimuth, first interaction of ``n`` showers."""
    rng = np.random.default_rng(seed)
    return (
        10 ** rng.uniform(-2, 2, n), rng.uniform(60, 80, n), rng.uniform(0, 360, n),
        rng.uniform(5e3, 4e4, n),
    )  # fmt: skip


def prints(n, seed=0):
    """Fingerprints of `showers`, rising."""
    return np.unique(shower_prints(*showers(n, seed)))


def test_single_precision_gives_the_same_fingerprints():
    columns = showers(10_000)
    whole = shower_prints(*columns)
    assert len(np.unique(whole)) == 10_000
    assert_array_equal(shower_prints(*(c.astype(np.float32) for c in columns)), whole)


def test_fingerprints_know_no_turn_of_the_azimuth_and_no_missing_height():
    energy, alt, az, height = showers(100)
    assert_array_equal(shower_prints(energy, alt, az - 360, 0), shower_prints(energy, alt, az, 0))
    assert_array_equal(
        shower_prints(energy, alt, az, np.full(100, np.nan)), shower_prints(energy, alt, az, 0.0)
    )
    assert_array_equal(
        *(shower_prints(energy, alt, np.full(100, a), height) for a in (0.0, 360 - 1e-9))
    )


def test_any_other_value_is_another_shower():
    columns = showers(100)
    whole = shower_prints(*columns)
    for i in range(4):
        changed = [c * (1 + 1e-6 * (i == j)) for j, c in enumerate(columns)]
        assert not np.any(shower_prints(*changed) == whole)


def test_a_sketch_keeps_the_smallest_fingerprints():
    whole = prints(10_000)
    record = sketch(whole, 256)
    assert record["n"] == 10_000
    assert_array_equal(sketched(record), whole[:256])
    assert_array_equal(sketched(sketch(whole[:10])), whole[:10])


@pytest.mark.parametrize(
    "record",
    [
        {"n": 5, "smallest": "no base 64!"},
        {"n": 5, "smallest": "AAAA"},
        {"smallest": ""},
        {"n": 0, "smallest": sketch(prints(3))["smallest"]},
        {"n": "5", "smallest": sketch(prints(3))["smallest"]},
        None,
    ],
)
def test_a_damaged_record_is_refused(record):
    with pytest.raises(IRFError, match="record of training showers is damaged"):
        sketched(record)


def test_one_shared_shower_is_found_where_all_are_known():
    training = prints(5000)
    test = np.union1d(prints(3000, seed=1), training[1234:1235])
    found = compared("net", Training([], training, 5000), {"gamma": test}, [])
    assert found["overlap"] is True
    assert found["shared"]["gamma"] == {"showers": 3001, "found": 1, "estimate": 1, "below": None}
    assert found["sentences"] == ["net was trained on 1 of the 3001 showers of gamma"]


def test_no_shared_shower_is_said():
    training = Training([{}], prints(5000), 5000)
    found = compared("net", training, {"gamma": prints(100, seed=1)}, [])
    assert found["overlap"] is False
    assert found["sentences"] == ["net: none of the 5000 showers of its training is here"]


@pytest.mark.parametrize("n_shared", [400, 8000])
def test_a_part_of_the_training_estimates_what_is_shared(n_shared):
    """By the smallest fingerprints of a training, within four standard errors."""
    training = prints(40_000)
    shared = np.random.default_rng(3).choice(training, n_shared, replace=False)
    test = np.union1d(shared, prints(20_000, seed=1))
    k = 4096
    found = compared("net", Training([{}], training[:k], 40_000), {"gamma": test}, [])
    expected = n_shared * k / 40_000
    assert abs(found["shared"]["gamma"]["found"] - expected) < 4 * np.sqrt(expected)
    assert abs(found["shared"]["gamma"]["estimate"] / n_shared - 1) < 4 / np.sqrt(expected)
    assert "about" in found["sentences"][0]


def test_a_part_of_the_training_says_what_it_can_miss():
    training = Training([{}], prints(40_000)[:4096], 40_000)
    found = compared("net", training, {"gamma": prints(100, seed=1)}, [])
    assert found["overlap"] is False
    assert found["shared"]["gamma"]["below"] == 30  # 3 / 4096 of 40000
    assert "fewer than 30 are shared" in found["sentences"][0]


def test_equal_runs_count_unless_all_showers_are_known():
    runs = ["a.h5: same run numbers"]
    found = compared("net", Training([{}]), {}, runs)
    assert found["overlap"] is True
    assert found["sentences"][-1].endswith("its training lists none")
    known = Training([{}], prints(50), 50)
    found = compared("net", known, {"gamma": prints(9, seed=1)}, runs)
    assert found["overlap"] is False
    assert found["runs"] == runs


def test_nothing_known_is_said():
    found = compared("Random Forest", Training(), {}, [])
    assert found["overlap"] is None
    assert found["sentences"][0].startswith("training of Random Forest unknown")


def test_a_verdict_is_taken_back_but_not_its_numbers():
    rows = [{"name": "auc", "outcome": "better", "sentence": "x", "effect": 0.1}]
    assert withheld(rows, "better", []) == (rows, "better")
    (row,), headline = withheld(rows, "better", ["net"])
    assert (row["outcome"], row["effect"]) == ("withheld", 0.1)
    assert "better" not in headline
    assert headline.startswith("Verdict withheld: these events overlap with the training of net")
    assert disclosed("better", []) == "better"
    assert disclosed("better", ["net"]).endswith("training of net: better")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The demonstration file as the trainer reads it."""
    return convert(DEMO, tmp_path_factory.mktemp("arrays") / "demo", tel_ids=[1])


def test_a_training_and_ctapipe_dl2_of_its_file_have_the_same_showers(trained, tmp_path):
    dl2 = tmp_path / "demo.dl2.h5"
    argv = [f"--input={DEMO}", f"--output={dl2}", "--write-showers", "--quiet"]
    assert run_tool(ProcessorTool(), argv, cwd=tmp_path, raises=True) == 0
    assert len(trained.showers) > 10
    assert_array_equal(read_prints(dl2), trained.showers)
    (sentence,) = overlaps(trained.meta["sources"], [run_record(dl2)])
    assert "these may be the same showers" in sentence


def test_a_file_in_single_precision_and_radian_has_the_same_showers(trained, tmp_path):
    path = shutil.copy(DEMO, tmp_path / "single.dl1.h5")
    table = read_table(path, SHOWERS)
    for name in ("true_energy", "true_h_first_int"):
        table[name] = table[name].astype(np.float32)
    table["true_alt"] = table["true_alt"].quantity.to("rad")
    write_table(table, path, SHOWERS, overwrite=True)
    assert_array_equal(read_prints(path), trained.showers)


def test_other_cores_numbers_and_names_are_the_same_showers(tmp_path):
    """Uses of a shower elsewhere, in a renumbered run."""
    for name, obs_id in (("a", 1), ("b", 7)):
        write_dl2(tmp_path / f"{name}.h5", toy(60, 0, uses=3)["gamma"], uses=3, obs_id=obs_id)
    table = read_table(tmp_path / "b.h5", SHOWERS)
    table["true_core_x"] = table["true_core_x"] + 100
    write_table(table[1:], tmp_path / "b.h5", SHOWERS, overwrite=True)
    one, other = (read_prints(tmp_path / f"{name}.h5") for name in "ab")
    assert len(one) == 20
    assert_array_equal(one, other)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", None])
def test_a_damaged_list_of_showers_is_one_line(content, tmp_path):
    path = tmp_path / "training_showers.npy"
    if content is None:
        np.save(path, np.array([3, 2], np.uint64))
    else:
        path.write_bytes(content)
    with pytest.raises(IRFError, match="list of showers"):
        read_prints(path)
