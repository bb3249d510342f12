"""What happens beside the steps: points to resume from, and the history of the training."""

import csv
import logging
import os
import signal
import threading
import time
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only

__all__ = ["EndOnTerm", "History", "ResumePoint", "epochs_begun"]

log = logging.getLogger(__name__)


def epochs_begun(trainer):
    """Number of the epoch that the last step belongs to, from 1."""
    return -(-trainer.global_step // max(1, trainer.num_training_batches))


class EndOnTerm(pl.Callback):
    """SIGTERM ends several processes like Ctrl-C.

    The handler of Lightning 2.6 talks to the other processes at once, in the middle of whatever
    they were talking about, and waits for ever.
    """

    def on_train_start(self, trainer, pl_module):
        """Replace the handler, which Lightning restores at the end."""
        if trainer.world_size > 1 and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)


class ResumePoint(pl.Callback):
    """A checkpoint every few steps; one file, replaced only by a complete one.

    Parameters
    ----------
    path : path-like
    every : int
        Steps.
    """

    def __init__(self, path, every):
        self.path, self.every = Path(path), every

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Save within an epoch."""
        # its last step is saved after the validation: a run resumed in between would skip that
        if trainer.global_step % self.every == 0 and not trainer.is_last_batch:
            self.save(trainer)

    def on_train_epoch_end(self, trainer, pl_module):
        """Save after an epoch."""
        self.save(trainer)

    def on_train_end(self, trainer, pl_module):
        """Save the finished state, so that a resumed run need not train again."""
        self.save(trainer)

    def save(self, trainer):
        """Write, bring to the disk, rename."""
        part = self.path.with_name(f".{self.path.name}.part")
        trainer.save_checkpoint(part)  # takes all processes; the first one writes
        if not trainer.is_global_zero:
            return
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(self.path)


class History(pl.Callback):
    """Losses and figures of merit as a CSV table, which goes on where a run is resumed.

    Parameters
    ----------
    path : path-like
        Of the table.
    every : int
        Steps that one row averages over.

    Attributes
    ----------
    rows : list of dict
        ``step``, ``epoch`` (from 1); then either ``train_*`` and ``learning_rate``, or ``val_*``.
    """

    def __init__(self, path, every):
        self.path, self.every = Path(path), every
        self.rows, self._sums, self._n = [], {}, 0
        self._clock = None

    def state_dict(self):
        """What a checkpoint keeps."""
        return {"rows": self.rows, "sums": self._sums, "n": self._n}

    def load_state_dict(self, state_dict):
        """Inverse of `state_dict`."""
        self.rows, self._sums = list(state_dict["rows"]), dict(state_dict["sums"])
        self._n = state_dict["n"]

    def on_train_start(self, trainer, pl_module):
        """Start the clock."""
        self._clock = (time.monotonic(), trainer.global_step)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Add a step."""
        for task, loss in pl_module.last_losses.items():
            self._sums[task] = self._sums.get(task, 0.0) + loss
        self._n += 1
        if trainer.global_step % self.every == 0:
            row = {f"train_{task}": value / self._n for task, value in self._sums.items()}
            row["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
            self._sums, self._n = {}, 0
            self._add(trainer, row)
            self.write()

    def on_validation_end(self, trainer, pl_module):
        """Add a validation and tell about it."""
        known = (row["step"] for row in reversed(self.rows) if "val_loss" in row)
        if next(known, None) != trainer.global_step:
            self._add(trainer, {f"val_{k}": v for k, v in pl_module.validation.items()})
            self.write()
            self._tell(trainer, pl_module)

    def on_train_end(self, trainer, pl_module):
        """Write the table."""
        self.write()

    def _add(self, trainer, row):
        """Append a row; hand it to TensorBoard, too."""
        step = trainer.global_step
        self.rows.append({"step": step, "epoch": epochs_begun(trainer), **row})
        for logger in trainer.loggers:
            logger.log_metrics(row, step=step)

    def _tell(self, trainer, module):
        """One line per validation."""
        start, first = self._clock or (time.monotonic(), trainer.global_step)
        seconds, steps = time.monotonic() - start, trainer.global_step - first
        rate = steps / max(seconds, 1e-9)
        left = (module.total_steps - trainer.global_step) / max(rate, 1e-9)
        names = {"loss": "loss", "auc": "AUC", "psi68": "psi68", "energy_resolution": "energy"}
        found = [
            f"{label} {module.validation[key]:.3f}"
            for key, label in names.items()
            if key in module.validation
        ]
        images = rate * module.recipe.data.batch_size
        log.info(
            "epoch %d, step %d of %d: %s; %.0f images/s, %.0f min left",
            epochs_begun(trainer), trainer.global_step, module.total_steps,
            ", ".join(found), images, left / 60,
        )  # fmt: skip

    @rank_zero_only
    def write(self):
        """Write the table to a new file, then rename it."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        part = self.path.with_name(f".{self.path.name}.part")
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        part.replace(self.path)
