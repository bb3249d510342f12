"""Batches over the event loop: same output, nothing lost, whatever happens."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tables
from ctapipe.core import ToolConfigurationError
from ctapipe.io import DataWriter
from ctapipe.tools.process import ProcessorTool

from ctapipe_gammalearn.reco import window
from tests.reco import fakes
from tests.reco.fakes import CHAIN, NAME, Bomb, FailingPhysNet, FakePredictor, Grabber, process

REPOSITORY = Path(__file__).parents[2]
SIZES = (1, 7, 64, 10**9)
INPUTS = {
    "mono_simtel": [],
    "multi_simtel": [],
    "stereo_dl1": ["--max-events=8"],
    "stereo_dl1 with some telescopes": ["--max-events=8", "--allowed-tels=1", "--allowed-tels=3"],
}


def compare_batch_sizes(case, sizes, model, folder, request):
    """Compare all tables, those of the quality statistics included, with those of no window."""
    source = request.getfixturevalue(case.split()[0])
    options = [f"--{NAME}.model_path={model}", "--write-images", *INPUTS[case]]
    reference = folder / "reference.h5"
    process(source, reference, f"--{NAME}.defer=False", *options, chain=CHAIN)
    for batch_size in sizes:
        target = folder / f"{batch_size}.h5"
        process(source, target, f"--{NAME}.batch_size={batch_size}", *options, chain=CHAIN)
        assert fakes.assert_same_files(target, reference) > 50


@pytest.mark.parametrize(
    ("case", "sizes"), [*zip(INPUTS, [SIZES, (7,), (7,), (10**9,)], strict=True)]
)
def test_output_is_identical_in_batches(case, sizes, fake_model, tmp_path, request):
    compare_batch_sizes(case, sizes, fake_model, tmp_path, request)


@pytest.mark.slow
@pytest.mark.parametrize("case", INPUTS)
def test_output_is_identical_for_every_batch_size(case, fake_model, tmp_path, request):
    compare_batch_sizes(case, SIZES, fake_model, tmp_path, request)


def test_each_component_runs_full_batches_once(fake_model, mono_simtel, tmp_path):
    options = [f"--{NAME}.model_path={fake_model}", f"--{NAME}.batch_size=8"]
    chain = (NAME, "Consumer", "SecondPhysNet")
    process(mono_simtel, tmp_path / "out.h5", *options, chain=chain)
    images = sum(FakePredictor.batches) // 2
    assert 8 < images <= 30
    full, rest = divmod(images, 8)
    expected = [size for size in [8] * full + [rest] * (rest > 0) for _ in range(2)]
    assert FakePredictor.batches == expected


def test_two_models_batch_their_own_telescopes(fake_model, multi_simtel, tmp_path):
    """Two files for two types; a model of one file is loaded and matched once for all."""
    other = tmp_path / "other.model"
    other.write_text("1855 second", encoding="utf-8")
    config = tmp_path / "config.yaml"
    config.write_text(
        f'{NAME}: {{model_path: [["type", "LST*", "{fake_model}"], ["type", "MST*", "{other}"]]}}',
        encoding="utf-8",
    )
    tool = ProcessorTool()
    process(multi_simtel, tmp_path / "out.h5", f"--config={config}", tool=tool)
    component = tool.process_shower.reconstructors[0]
    predictors = list(component.models.predictors.values())
    assert [p.path for p in predictors] == [fake_model.resolve(), other.resolve()]
    assert [p.n_orders for p in predictors] == [1, 1]
    assert len(FakePredictor.batches) == 2


def test_chain_and_writer_are_restored_and_a_second_run_works(fake_model, mono_simtel, tmp_path):
    option = f"--{NAME}.model_path={fake_model}"
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    tool = ProcessorTool()
    process(mono_simtel, tmp_path / "1.h5", option, "--max-events=5", chain=CHAIN, tool=tool)
    names = [type(stage).__name__ for stage in tool.process_shower.reconstructors]
    assert names == list(CHAIN)
    assert isinstance(tool.write, DataWriter)
    process(mono_simtel, tmp_path / "2.h5", option, "--max-events=5", chain=CHAIN[:2])
    process(mono_simtel, tmp_path / "3.h5", option, "--max-events=5", chain=CHAIN)
    fakes.assert_same_files(tmp_path / "3.h5", tmp_path / "1.h5")
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("defer", [False, True])
@pytest.mark.parametrize(
    ("error", "chain", "code"),
    [
        (RuntimeError, ("Bomb", NAME), 1),
        (RuntimeError, (NAME, "Bomb", "Consumer"), 1),
        (RuntimeError, ("FailingPhysNet", "HillasIntersection"), 1),
        (KeyboardInterrupt, ("Bomb", NAME), 130),
        (KeyboardInterrupt, (NAME, "Bomb", "Consumer"), 130),
    ],
)
def test_events_before_a_fault_are_saved(
    error, chain, code, defer, fake_model, mono_simtel, tmp_path, monkeypatch
):
    """As stock ctapipe does; after Ctrl-C behind the network the window is completed."""
    target, options = tmp_path / "out.h5", [f"--{NAME}.model_path={fake_model}"]
    process(mono_simtel, target, *options)
    ids = fakes.subarray_ids(target)
    for cls in (Bomb, FailingPhysNet):
        monkeypatch.setattr(cls, "bad_event", ids[19])
    monkeypatch.setattr(Bomb, "error", error)
    options += [f"--{NAME}.defer={defer}", f"--{NAME}.batch_size=64"]
    assert process(mono_simtel, target, *options, chain=chain, raises=False) == code
    saved = fakes.subarray_ids(target)
    completed = defer and error is KeyboardInterrupt and chain[0] == NAME
    np.testing.assert_array_equal(saved, ids if completed else ids[:19])


def test_a_failing_writer_gets_no_event_twice(fake_model, mono_simtel, tmp_path, monkeypatch):
    """Nor any event after the one at which it failed."""
    written = []
    original = DataWriter.__call__

    def write(self, event):
        written.append(event.index.event_id)
        if len(written) == 5:
            raise OSError("disk full")
        original(self, event)

    monkeypatch.setattr(DataWriter, "__call__", write)
    option = f"--{NAME}.model_path={fake_model}"
    assert process(mono_simtel, tmp_path / "out.h5", option, raises=False) == 1
    assert len(written) == len(set(written)) == 5


@pytest.mark.parametrize("name", ["MAX_BYTES", "MAX_EVENTS"])
def test_window_is_bounded_whatever_the_batch_size(
    name, fake_model, mono_simtel, tmp_path, monkeypatch
):
    monkeypatch.setattr(window, name, 1)
    options = [f"--{NAME}.model_path={fake_model}", f"--{NAME}.batch_size={10**9}"]
    process(mono_simtel, tmp_path / "out.h5", *options, "--max-events=6")
    assert set(FakePredictor.batches) == {1}


def test_waveforms_are_not_kept_in_the_window(fake_model, mono_simtel, tmp_path, monkeypatch):
    monkeypatch.setattr(Grabber, "events", [])
    options = [f"--{NAME}.model_path={fake_model}", "--max-events=3"]
    process(mono_simtel, tmp_path / "out.h5", *options, chain=(NAME, "Grabber"))
    assert len(Grabber.events) == 3
    for event in Grabber.events:
        assert sum(len(level.tel) for level in (event.r0, event.r1, event.dl0)) == 0
        assert "simtel_event" not in event.meta


def test_waveforms_that_are_written_stay(fake_model, mono_simtel, tmp_path):
    options = [f"--{NAME}.model_path={fake_model}", "--max-events=4"]
    options += ["--DataWriter.write_r1_waveforms=True", "--DataWriter.write_r0_waveforms=True"]
    process(mono_simtel, tmp_path / "a.h5", *options)
    process(mono_simtel, tmp_path / "b.h5", *options, f"--{NAME}.defer=False")
    fakes.assert_same_files(tmp_path / "a.h5", tmp_path / "b.h5")
    assert "/r1/event/telescope/tel_001" in fakes.read(tmp_path / "a.h5")


def test_a_source_that_reuses_its_container_is_refused(
    fake_model, mono_simtel, tmp_path, monkeypatch
):
    from ctapipe.io import SimTelEventSource

    original = SimTelEventSource._generator

    def generate(self):
        container = None
        for event in original(self):
            container = container or event
            container.update(**{key: event[key] for key in event.keys()})  # noqa: SIM118
            yield container

    monkeypatch.setattr(SimTelEventSource, "_generator", generate)
    option = f"--{NAME}.model_path={fake_model}"
    with pytest.raises(ToolConfigurationError, match=r"same event container.*defer=False"):
        process(mono_simtel, tmp_path / "out.h5", option)
    assert process(mono_simtel, tmp_path / "out.h5", option, f"--{NAME}.defer=False") == 0
    assert len(fakes.subarray_ids(tmp_path / "out.h5")) == 30


def test_a_tool_that_writes_in_another_way_is_refused(fake_model, mono_simtel, tmp_path):
    class OtherTool(ProcessorTool):
        """Keeps the writer in a variable."""

        def start(self):
            write = self.write
            for event in self.event_source:
                self.calibrate(event)
                self.process_images(event)
                self.process_shower(event)
                write(event)

    option = f"--{NAME}.model_path={fake_model}"
    with pytest.raises(ToolConfigurationError, match=r"'write'; set .*defer=False"):
        process(mono_simtel, tmp_path / "out.h5", option, tool=OtherTool())


def test_a_file_without_events(fake_model, simtel, tmp_path):
    source = simtel / "proton_run000201_za20deg_azm000deg_North_alpha_6.0.0_test_file.simtel.zst"
    option = f"--{NAME}.model_path={fake_model}"
    assert process(source, tmp_path / "out.h5", option, chain=CHAIN) == 0
    with tables.open_file(tmp_path / "out.h5") as file:
        assert "/dl2/event" not in file


def test_events_that_all_fail_the_cut(fake_model, mono_simtel, tmp_path):
    """Fewer images than a batch, none usable: rows of NaN, no forward pass."""
    config = tmp_path / "config.yaml"
    config.write_text(
        f"{NAME}: {{StereoQualityQuery: {{quality_criteria:"
        ' [["bright", "parameters.hillas.intensity > 1e9"]]}}',
        encoding="utf-8",
    )
    options = [f"--{NAME}.model_path={fake_model}", "--max-events=4", f"--config={config}"]
    process(mono_simtel, tmp_path / "out.h5", *options)
    assert not FakePredictor.batches
    with tables.open_file(tmp_path / "out.h5") as file:
        table = file.root.dl2.event.subarray.energy.GammaPhysNetEnergy
        assert len(table) == 4
        assert not table.col("GammaPhysNetEnergy_is_valid").any()
        assert np.isnan(table.col("GammaPhysNetEnergy_energy")).all()


def interrupted_run(source, model, target, delay, signum):
    """Send a signal to ctapipe-process some time after its output appears; exit code, ids."""
    options = [f"--{NAME}.model_path={model}", f"--{NAME}.batch_size=8"]
    argv = fakes.arguments(source, target, *options, chain=CHAIN[:2])
    command = [sys.executable, "-m", "tests.reco.fakes", *argv]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as job:
        start = time.monotonic()
        while not target.exists() and job.poll() is None and time.monotonic() < start + 120:
            time.sleep(0.05)
        time.sleep(delay)
        job.send_signal(signum)
        code = job.wait(timeout=120)
    return code, fakes.subarray_ids(target)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_real_signal_leaves_a_readable_file(signum, fake_model, stereo_dl1, tmp_path):
    code, ids = interrupted_run(stereo_dl1, fake_model, tmp_path / "out.h5", 1.5, signum)
    assert code == 130
    assert 0 < len(ids) < 213


@pytest.mark.slow
def test_ctrl_c_at_random_times_leaves_files_that_can_be_merged(fake_model, stereo_dl1, tmp_path):
    from ctapipe.core import run_tool
    from ctapipe.tools.merge import MergeTool

    for i, delay in enumerate(np.random.default_rng(1).uniform(0.5, 4.0, 10)):
        target, merged = tmp_path / f"{i}.h5", tmp_path / f"merged_{i}.h5"
        code, ids = interrupted_run(stereo_dl1, fake_model, target, delay, signal.SIGINT)
        # after the last event ctapipe closes the file outside of its own try block
        assert code == 130 or (code in (0, -signal.SIGINT) and len(ids) == 213)
        argv = [str(target), f"--output={merged}"]
        assert run_tool(MergeTool(), argv, cwd=tmp_path) == 0
        np.testing.assert_array_equal(fakes.subarray_ids(merged), ids)
