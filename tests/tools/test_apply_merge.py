"""Outputs of the apply command merged into one file with ctapipe's own merger."""

import shutil

import numpy as np
import pytest
import tables

from tests.reco.conftest import fake_model  # noqa: F401
from tests.tools.test_apply import NETWORK, NO_CUT, RESOURCES, apply, dl2

OBS_ID = 7


@pytest.fixture
def merge(fake_model, tmp_path):  # noqa: F811
    """Function that applies the fake model to two runs and merges; its exit code."""
    runs = [tmp_path / "first.dl1.h5", tmp_path / "second.dl1.h5"]
    for path in runs:
        shutil.copy(RESOURCES / "demo_events.dl1.h5", path)
    number(runs[1], OBS_ID)

    def run(*options, path=tmp_path / "all.dl2.h5"):
        options = [f"--{NETWORK}.model_path={fake_model}", NO_CUT, f"--merge={path}", *options]
        return apply(runs[0], tmp_path / "out", f"--input={runs[1]}", *options, raises=False)

    return run


def number(path, obs_id):
    """Give all rows of a file an obs_id."""
    with tables.open_file(path, "a") as file:
        for table in file.walk_nodes("/", "Table"):
            if "obs_id" in table.colnames:
                table.modify_column(column=np.full(table.nrows, obs_id), colname="obs_id")


def test_merged_file_has_the_rows_of_both_outputs(merge, tmp_path, capfd):
    assert merge() == 0
    first, second, merged = (
        dl2(tmp_path / name) for name in ("out/first.dl2.h5", "out/second.dl2.h5", "all.dl2.h5")
    )
    assert merged.keys() == first.keys() == second.keys()
    assert len(merged) > 10
    (statistics,) = [name for name in merged if "statistics" in name]
    counts = [tables_of.pop(statistics)[0]["counts"] for tables_of in (first, second, merged)]
    np.testing.assert_array_equal(counts[0] + counts[1], counts[2])
    for name, (rows, _) in merged.items():
        both = np.concatenate([first[name][0], second[name][0]])
        assert rows.tobytes() == both.tobytes(), name
    stereo = merged["/dl2/event/subarray/energy/GammaPhysNetEnergy"][0]
    assert sum(stereo["obs_id"] == OBS_ID) == len(stereo) / 2 > 0

    before = (tmp_path / "all.dl2.h5").stat().st_mtime_ns
    assert merge() == 0
    assert "all.dl2.h5: complete, skipped" in capfd.readouterr().err
    assert (tmp_path / "all.dl2.h5").stat().st_mtime_ns == before


def test_equal_obs_ids_are_refused_in_one_line_and_outputs_kept(merge, tmp_path, capfd):
    second = tmp_path / "second.dl1.h5"
    shutil.copy(RESOURCES / "demo_events.dl1.h5", second)
    assert merge() == 1
    error = capfd.readouterr().err
    assert "Traceback" not in error
    (line,) = [line for line in error.splitlines() if "CRITICAL" in line and "all.dl2.h5" in line]
    assert "cannot be merged" in line
    assert "second.dl2.h5 contains obs_ids already included" in line
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"first.dl2.h5", "second.dl2.h5"}
    assert not list(tmp_path.glob("*all*"))


@pytest.mark.parametrize("name", ["first.dl1.h5", "out/second.dl2.h5"])
def test_no_input_or_output_is_replaced_by_the_merged_file(merge, tmp_path, name, capfd):
    before = (tmp_path / "first.dl1.h5").read_bytes()
    assert merge("--overwrite", path=tmp_path / name) == 2
    assert "to be merged itself" in capfd.readouterr().err
    assert (tmp_path / "first.dl1.h5").read_bytes() == before
    assert not (tmp_path / "out").exists()
