"""Two processes that share the batches do what one does."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ctapipe_gammalearn.exceptions import TrainingError
from ctapipe_gammalearn.training.callbacks import ResumePoint
from ctapipe_gammalearn.training.fit import fit
from ctapipe_gammalearn.training.loader import BatchLoader
from ctapipe_gammalearn.weights import read_model

from .half_a_batch import CASES, batch_and_gradient
from .toy import Stop, small_recipe

REPOSITORY = Path(__file__).parents[2]
# 3 steps in an epoch, 5 in all; dropout is not the same on one and two devices
ONE = small_recipe(
    network={"dropout": 0.0},
    data={"batch_size": 64, "fractions": [0.6, 0.2, 0.2]},
    run={"max_steps": 5, "epochs": 9},
)
TWO = replace(ONE, run=replace(ONE.run, devices=2))


def weights(run):
    """Weights of a run's model."""
    return read_model(run / "model.safetensors").network.state_dict()


@pytest.fixture(scope="module")
def halves(folder, images):
    """Batch, gradient and statistics of each of two processes, by case."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "tests.training.half_a_batch"]
    pair = [
        subprocess.Popen([*command, str(rank), str(port), str(folder), *CASES], cwd=REPOSITORY)
        for rank in range(2)
    ]
    assert [process.wait(300) for process in pair] == [0, 0]
    return {case: [np.load(folder / f"{case}.{rank}.npz") for rank in range(2)] for case in CASES}


@pytest.mark.parametrize("case", ["likelihoods", "whole_camera"])
def test_halves_of_a_batch_are_the_batch(halves, images, case):
    batch, _ = batch_and_gradient(images, case)
    one, other = halves[case]
    for name, rows in batch.items():
        assert np.array_equal(rows[0::2], one[f"batch.{name}"])
        assert np.array_equal(rows[1::2], other[f"batch.{name}"])
    assert one["batch.label"].tolist() == other["batch.label"].tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize("case", CASES)
def test_gradient_is_that_of_the_whole_batch(halves, images, case):
    """Batch statistics included, and both processes have the same."""
    _, expected = batch_and_gradient(images, case)
    largest = max(v.abs().max().item() for n, v in expected.items() if n.startswith("gradient"))
    for half in halves[case]:
        assert set(expected) == {name for name in half if not name.startswith("batch.")}
        for name, value in expected.items():
            np.testing.assert_allclose(half[name], value.numpy(), rtol=1e-6, atol=1e-6 * largest)


def stop_at(monkeypatch, step, stop):
    """Call ``stop`` after a step in the first process."""
    original = ResumePoint.on_train_batch_end

    def hook(self, trainer, *args):
        original(self, trainer, *args)
        if trainer.global_step == step:
            stop()

    monkeypatch.setattr(ResumePoint, "on_train_batch_end", hook)


def interrupt():
    """End the training."""
    raise Stop


def test_interrupted_training_of_two_ends_like_that_of_one(images, tmp_path, monkeypatch):
    fit(ONE, images, tmp_path / "one")
    before = dict(os.environ)
    with monkeypatch.context() as patch:
        stop_at(patch, 2, interrupt)
        with pytest.raises(Stop):
            fit(TWO, images, tmp_path / "two")
    fit(TWO, images, tmp_path / "two")
    assert dict(os.environ) == before
    one, two = (weights(tmp_path / run) for run in ("one", "two"))
    for name, value in one.items():
        # Adam divides by the gradient's size: where that is rounding error, by one step of it
        np.testing.assert_allclose(two[name], value, atol=ONE.optimiser.learning_rate)
    both = [torch.cat([v.flatten().double() for v in w.values()]) for w in (one, two)]
    assert torch.linalg.norm(both[1] - both[0]) < 1e-3 * torch.linalg.norm(both[0])
    rows = [(tmp_path / run / "history.csv").read_text().splitlines() for run in ("one", "two")]
    assert len(rows[0]) == len(rows[1])


def test_death_of_another_process_is_one_line(images, tmp_path, monkeypatch):
    started = []
    original = subprocess.Popen

    def popen(*args, **kwargs):
        started.append(original(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr("ctapipe_gammalearn.training.processes.subprocess.Popen", popen)
    stop_at(monkeypatch, 2, lambda: started[-1].send_signal(signal.SIGKILL))
    with pytest.raises(TrainingError, match=r"process 2 of 2 has ended \(exit code -9\)"):
        fit(TWO, images, tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_both_processes_with_one_line(folder, images, tmp_path, number):
    long = replace(TWO, run=replace(TWO.run, max_steps=100_000, epochs=100_000))
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(long.to_dict()))
    command = [sys.executable, "-m", "ctapipe_gammalearn.training", "-q", "-o", f"{tmp_path}/run"]
    command += [f"--recipe={tmp_path}/recipe.yaml", "--arrays"]
    command += [f"{folder}/gamma", f"{folder}/proton"]
    # pytest-xdist and shells in the background leave Ctrl-C ignored, which children inherit
    default = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipe = subprocess.PIPE
    first = subprocess.Popen(command, cwd=REPOSITORY, stderr=pipe, text=True, preexec_fn=default)
    try:
        while first.poll() is None and not (tmp_path / "run" / "last.ckpt").exists():
            time.sleep(0.1)
        first.send_signal(number)
        _, error = first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode == 130
    assert error == f"{tmp_path}/run: interrupted; the same command goes on\n"


def test_batch_that_cannot_be_shared_is_refused(images):
    with pytest.raises(TrainingError, match="8 gammas and 8 background images of a batch cannot"):
        BatchLoader(images, np.arange(150), np.arange(150, 300), batch_size=16, place=(0, 3))


def test_missing_gpus_are_counted(images, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    recipe = replace(TWO, run=replace(TWO.run, device="cuda"))
    with pytest.raises(TrainingError, match="2 GPUs wanted, 1 found"):
        fit(recipe, images, tmp_path / "run")
