"""Training in bfloat16 where digits do not matter, and in float32 where they do."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from ctapipe_gammalearn.training import fit as fit_module
from ctapipe_gammalearn.training.callbacks import ResumePoint
from ctapipe_gammalearn.training.fit import fit
from ctapipe_gammalearn.training.preparation import make_network
from ctapipe_gammalearn.weights import read_model

from .toy import Stop, small_recipe

FULL = small_recipe(
    data={"batch_size": 32, "fractions": [0.6, 0.2, 0.2]}, run={"max_steps": 8, "epochs": 3}
)
MIXED = replace(FULL, optimiser=replace(FULL.optimiser, precision="bf16-mixed"))


def losses(run):
    """Losses in the history, shape (n_rows,)."""
    with (run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return np.array([float(r["train_sum"] or r["val_loss"]) for r in rows])


def test_mixed_precision_ends_near_full_precision_and_can_be_resumed(images, tmp_path, monkeypatch):
    fit(FULL, images, tmp_path / "full")
    fit(MIXED, images, tmp_path / "mixed")
    full, mixed = losses(tmp_path / "full"), losses(tmp_path / "mixed")
    np.testing.assert_allclose(mixed, full, rtol=0.02)
    assert not np.array_equal(mixed, full)

    def stop(self, trainer, *args):
        if trainer.global_step == 3:
            self.save(trainer)
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(ResumePoint, "on_train_batch_end", stop)
        with pytest.raises(Stop):
            fit(MIXED, images, tmp_path / "resumed")
    assert (tmp_path / "resumed" / fit_module.LAST).exists()
    fit(MIXED, images, tmp_path / "resumed")
    found = [
        read_model(tmp_path / run / "model.safetensors").card.weights_sha256
        for run in ("mixed", "resumed")
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("sections", [{}, {"tasks": ["energy", "class"], "trunk": 0}])
def test_heads_norms_and_input_keep_all_digits(images, sections):
    loss = {"energy": "l1"} if sections else {}
    network = make_network(small_recipe(network=sections, loss=loss), images).train()
    seen = {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda m, i, out, name=name: seen.update({name: out}))
    image, time = images.rows(np.arange(8))
    x = torch.from_numpy(np.stack([image, time], 1))
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(x)
    assert {out.dtype for out in outputs.values()} == {torch.float32}
    assert {out.dtype for out in seen["shower"]} == {torch.float32}
    statistics = {n: b for n, b in network.named_buffers() if "running" in n}
    assert {b.dtype for b in statistics.values()} == {torch.float32}
    assert all(torch.isfinite(b).all() for b in statistics.values())
    if not sections:  # convolutions and shared layers are the ones that became faster
        assert seen["trunk.0"].dtype == torch.bfloat16
