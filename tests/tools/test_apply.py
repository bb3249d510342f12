"""The command that applies models to DL1 files gives the DL2 of ctapipe-process."""

import numpy as np
import pytest
import tables
from ctapipe.core import run_tool

from ctapipe_gammalearn.tools.apply import ApplyTool
from tests.reco import fakes
from tests.reco.conftest import (  # noqa: F401
    fake_model,
    lst_model,
    mono_dl1,
    model_for,
    stereo_dl1,
    subarray,
)

NETWORK = "GammaPhysNetReconstructor"
NO_CUT = "--StereoQualityQuery.quality_criteria=[]"


@pytest.fixture(autouse=True)
def _no_verification_by_process(monkeypatch):
    monkeypatch.setattr("ctapipe_gammalearn.reco.verify.CHECK", "")


def apply(source, folder, *options, raises=True):
    """Run the command in this process; its exit code."""
    argv = [f"--input={source}", f"--output={folder}", "--quiet", *options]
    return run_tool(ApplyTool(), argv, cwd=folder.parent, raises=raises)


def dl2(path):
    """DL2 tables of our prefixes and their attributes."""
    return {
        name: table
        for name, table in fakes.read(path).items()
        if name.startswith("/dl2/") and "/GammaPhysNet" in name
    }


def assert_same_dl2(path, expected, exact=True):
    """Tables, columns, types, attributes and rows are the same; number of rows."""
    a, b = dl2(path), dl2(expected)
    assert a.keys() == b.keys(), a.keys() ^ b.keys()
    n_rows = 0
    for name, (table, attributes) in a.items():
        other, other_attributes = b[name]
        assert attributes == other_attributes, name
        assert table.dtype == other.dtype, name
        assert table.shape == other.shape, name
        n_rows += len(table)
        for column in table.dtype.names:
            if exact:
                np.testing.assert_array_equal(table[column], other[column], err_msg=column)
            else:
                fakes.assert_close(table, other, column)
    return n_rows


def compare(source, tmp_path, *options, exact=True):
    """Both commands with the same options."""
    # ctapipe cannot copy the masks of earlier stereo results: it makes them again
    chain = ("HillasReconstructor", NETWORK)
    assert fakes.process(source, tmp_path / "process.h5", *options, chain=chain) == 0
    assert apply(source, tmp_path / "out", *options) == 0
    (result,) = (tmp_path / "out").glob("*.h5")
    assert [p.name for p in (tmp_path / "out").iterdir()] == [result.name]
    return assert_same_dl2(result, tmp_path / "process.h5", exact), result


def test_same_as_ctapipe_process(stereo_dl1, fake_model, tmp_path):  # noqa: F811
    rows, result = compare(stereo_dl1, tmp_path, f"--{NETWORK}.model_path={fake_model}")
    assert rows > 1000
