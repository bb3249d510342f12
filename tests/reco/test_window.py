"""Batches over the event loop: same output, nothing lost, whatever happens."""

import numpy as np
import pytest
import tables
from ctapipe.core import ToolConfigurationError, run_tool
from ctapipe.tools.process import ProcessorTool

from ctapipe_gammalearn.reco import window
from tests.reco import fakes
from tests.reco.fakes import CHAIN, NAME, Bomb, FailingPhysNet, FakePredictor, process

INPUTS = {
    "mono_simtel": ["--max-events=30"],
    "multi_simtel": [],
    "stereo_dl1": ["--max-events=40"],
    "stereo_dl1 allowed-tels": ["--max-events=25", "--allowed-tels=1", "--allowed-tels=3"],
}


@pytest.mark.parametrize("case", INPUTS)
def test_output_is_identical_for_every_batch_size(case, fake_model, tmp_path, request):
    source = request.getfixturevalue(case.split()[0])
    options = [f"--{NAME}.model_path={fake_model}", "--write-images", *INPUTS[case]]
    reference = tmp_path / "reference.h5"
    process(source, reference, f"--{NAME}.defer=False", *options, chain=CHAIN)
    for batch_size in (1, 7, 64, 10**9):
        target = tmp_path / f"{batch_size}.h5"
        process(source, target, f"--{NAME}.batch_size={batch_size}", *options, chain=CHAIN)
        assert fakes.assert_same_files(target, reference) > 50
