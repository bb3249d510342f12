"""Train a network: from array folders and a recipe to a model file."""

import contextlib
import importlib.util
import json
import logging
import shutil
import signal
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..exceptions import TrainingError
from ..weights import read_model, write_model
from .arrays import ImageArrays, join
from .lock import locked
from .outcome import VALIDATION, draw_history, draw_validation, finished_model
from .preparation import divide, make_network
from .settings import Recipe

__all__ = ["MODEL_FILE", "assist", "check_lightning", "clear", "fit"]

log = logging.getLogger(__name__)

MODEL_FILE, RECORD, LAST = "model.safetensors", "training.json", "last.ckpt"
#: fingerprints of all showers, of which the model file keeps a part
SHOWERS = "training_showers.npy"
#: settings that may change between interruption and resumption
FREE = ("threads", "save_every", "log_every", "device", "devices", "keep_best")
NEEDS = "training needs lightning: pip install 'ctapipe_gammalearn[train]'"


def fit(recipe, images, run_dir, *, resume=True, init_from=None):
    """Train, calibrate, and write ``model.safetensors``.

    Parameters
    ----------
    recipe : Recipe
    images : ImageSet
    run_dir : path-like
        Made if its parent exists. Holds the checkpoint to resume from, ``history.csv``,
        ``history.png``, figures of the validation, TensorBoard's logs, the model, and
        ``training_showers.npy``, by which its showers are known again.
    resume : bool
        Go on where an interrupted run of the same recipe and images stopped; the result is
        that of an uninterrupted one. If False, what is there is an error.
    init_from : path-like, optional
        Model file whose weights are the start, instead of random ones.

    Returns
    -------
    Path
        Of the model file.

    Raises
    ------
    TrainingError
        Images, folder or devices that cannot be used, no Lightning, or a loss that is not finite.
    OSError
        If the disk is full.
    """
    check_lightning()
    _check_devices(recipe.run)
    run_dir = Path(run_dir)
    if not run_dir.parent.is_dir():
        raise TrainingError(f"{run_dir.parent}: this folder does not exist; make it first")
    run_dir.mkdir(exist_ok=True)
    with locked(run_dir):
        _claim(run_dir, _record(recipe, images, init_from), resume)
        model_file = run_dir / MODEL_FILE
        if model_file.exists():
            log.info("%s: was there", model_file)
            return model_file
        if images.showers is not None:
            np.save(run_dir / SHOWERS, images.showers, allow_pickle=False)
        with _Surroundings(recipe.run):
            write_model(model_file, _model(recipe, images, run_dir, init_from))
    log.info("%s: written", model_file)
    return model_file


def _model(recipe, images, run_dir, init_from):
    """Train with as many processes as there are devices; figures, calibrated model."""
    from .processes import others

    parts, network, loader = _prepared(recipe, images, init_from, (0, recipe.run.devices))
    folders = [str(part.folder.resolve()) for part in images.arrays]
    job = {"recipe": recipe.to_dict(), "folders": folders, "run_dir": str(run_dir.resolve())}
    job["init_from"] = None if init_from is None else str(Path(init_from).resolve())
    with others(recipe.run.devices, job) as place:
        module, history, outcome = _train(recipe, parts, network, loader, run_dir, place)
    draw_history(history.rows, run_dir / "history.png")
    draw_validation(module.results, images.events["shower"][parts.validation], run_dir)
    return finished_model(module.average, recipe, images, parts, outcome)


def assist(place, ready, recipe, folders, run_dir, init_from):
    """Take part in the training of another process; write nothing.

    Parameters
    ----------
    place : Place
    ready : callable
        Called when all is loaded.
    recipe : dict
    folders : list of str
        Of the arrays.
    run_dir : str
        Where the checkpoint to resume from may be.
    init_from : str or None
    """
    recipe = Recipe.from_dict(recipe)
    images = join([ImageArrays(folder) for folder in folders])
    with _Surroundings(recipe.run):
        prepared = _prepared(recipe, images, init_from, (place.rank, place.n))
        ready()
        _train(recipe, *prepared, Path(run_dir), place)


def _check_devices(run):
    """Refuse more GPUs than there are."""
    n = torch.cuda.device_count()
    if run.devices > n and (run.device == "cuda" or (run.device == "auto" and n)):
        raise TrainingError(
            f"run.devices: {run.devices} GPUs wanted, {n} found; change run.devices or run.device"
        )


def _prepared(recipe, images, init_from, place):
    """Division of the images, network at the start, and batches of a process."""
    from .loader import BatchLoader

    parts = divide(recipe, images)
    network = make_network(recipe, images)
    if init_from is not None:
        _start_from(network, images, init_from)
    loader = BatchLoader(
        images,
        parts.gammas,
        parts.background,
        parts.labels(),
        batch_size=recipe.data.batch_size,
        gamma_fraction=recipe.data.gamma_fraction,
        seed=recipe.run.seed,
        augmentation=recipe.augmentation,
        energy_weight_index=recipe.data.energy_weight_index,
        place=place,
    )
    return parts, network, loader


def check_lightning():
    """Say in one line what is missing, without loading it."""
    if importlib.util.find_spec("lightning") is None:
        raise TrainingError(NEEDS)


def clear(run_dir):
    """Delete what a run has written, but not converted images."""
    run_dir = Path(run_dir)
    with locked(run_dir):
        for name in (RECORD, MODEL_FILE, LAST, SHOWERS, "history.csv", "history.png"):
            (run_dir / name).unlink(missing_ok=True)
        for name in ("checkpoints", "tensorboard", VALIDATION):
            shutil.rmtree(run_dir / name, ignore_errors=True)


def _record(recipe, images, init_from):
    """What identifies a run: its recipe, images and start."""
    values = recipe.to_dict()
    values["run"] = {k: v for k, v in values["run"].items() if k not in FREE}
    start = None if init_from is None else read_model(init_from).sha256
    return {"recipe": values, "sources": images.sources, "n_images": len(images), "start": start}


def _claim(run_dir, record, resume):
    """Take a folder for this run, or refuse it."""
    path = run_dir / RECORD
    record = json.loads(json.dumps(record))
    if not path.exists():
        part = path.with_name(f".{RECORD}.part")
        part.write_text(json.dumps(record, indent=1), encoding="utf-8")
        part.replace(path)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise TrainingError(f"{path}: damaged; choose another folder") from None
    if found != record:
        where = _difference(found, record) or "its contents"
        raise TrainingError(
            f"{run_dir}: holds a run with other settings ({where}); choose another folder"
        )
    if not resume:
        raise TrainingError(f"{run_dir}: holds a run; choose another folder, or resume it")


def _difference(old, new, where=""):
    """Name of the first entry that differs."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return where if old != new else None
    found = (_difference(old.get(k), new.get(k), f"{where}.{k}".strip(".")) for k in {**old, **new})
    return next((name for name in found if name), None)


def _start_from(network, images, path):
    """Load the weights of a model file of the same architecture and camera."""
    model = read_model(path)
    if model.lattice.sha256 != images.lattice.sha256:
        raise TrainingError(
            f"{path}: for camera {model.card.camera['name']}, images are of another"
        )
    if model.card.architecture != network.architecture:
        raise TrainingError(f"{path}: its architecture is not that of the recipe; change network")
    network.load_state_dict(model.network.state_dict())


class _Surroundings:
    """Threads, random numbers and messages while a training runs; all restored afterwards."""

    def __init__(self, settings):
        self.settings = settings
        self._stack = None

    def __enter__(self):
        """Set up."""
        # sets the level of its logger when it is loaded, so first of all
        import lightning.pytorch  # noqa: F401

        self._stack = stack = contextlib.ExitStack()
        stack.enter_context(torch.random.fork_rng(devices=[]))
        threads = torch.get_num_threads()
        stack.callback(torch.set_num_threads, threads)
        torch.set_num_threads(self.settings.threads)
        # weights of dead units decay into denormal numbers, which are slow
        torch.set_flush_denormal(True)
        stack.callback(torch.set_flush_denormal, False)
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", module=r"lightning\b.*")
        for name in ("lightning.pytorch", "lightning.fabric"):
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        return self

    def __exit__(self, *error):
        """Restore."""
        return self._stack.__exit__(*error)


def _train(recipe, parts, network, loader, run_dir, place=None):
    """Run the steps that are missing; the module then holds the best average."""
    from .callbacks import History, epochs_begun
    from .module import TrainingModule

    total = min(recipe.run.epochs * len(loader), recipe.run.max_steps or sys.maxsize)
    module = TrainingModule(network, recipe, total)
    history = History(run_dir / "history.csv", recipe.run.log_every)
    trainer, best = _trainer(recipe, run_dir, history, total, place)
    validation = _Validation(loader.images, parts, 2 * recipe.data.batch_size)
    last = run_dir / LAST
    start = str(last) if last.exists() else None
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, loader, validation, ckpt_path=start, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C, after switching it off
        signal.signal(signal.SIGINT, on_interrupt)
        raise KeyboardInterrupt from None
    _choose(trainer, module, validation, best)
    record = {"epochs": epochs_begun(trainer), "metrics": module.validation}
    return module, history, record


def _choose(trainer, module, validation, best):
    """Leave the better of the final and the best validated average in the module."""
    trainer.validate(module, validation, verbose=False)
    score = best.best_model_score
    better = score is not None and float(score) < module.validation["loss"]
    if trainer.strategy.reduce_boolean_decision(better):
        path = best.best_model_path
        trainer.validate(module, validation, ckpt_path=path, verbose=False, weights_only=True)


def _trainer(recipe, run_dir, history, total, place):
    """Lightning's trainer and its list of the best checkpoints."""
    import lightning.pytorch as pl
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

    from .callbacks import EndOnTerm, ResumePoint

    run = recipe.run
    best = ModelCheckpoint(
        dirpath=run_dir / "checkpoints",
        filename="best-{epoch:03d}",
        monitor="val_loss",
        save_top_k=run.keep_best,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )
    callbacks = [history, best, ResumePoint(run_dir / LAST, run.save_every), EndOnTerm()]
    if run.patience:
        callbacks.append(EarlyStopping("val_loss", patience=run.patience))
    trainer = pl.Trainer(
        accelerator="gpu" if run.device == "cuda" else run.device,
        **_shared(recipe, place),
        precision=recipe.optimiser.precision,
        max_epochs=-1,
        max_steps=total,
        logger=_tensorboard(run_dir),
        callbacks=callbacks,
        deterministic=run.deterministic,
        default_root_dir=run_dir,
        num_sanity_val_steps=0,
        log_every_n_steps=run.log_every,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        use_distributed_sampler=False,
    )
    return trainer, best


def _shared(recipe, place):
    """Arguments of the trainer for one device or several."""
    from lightning.pytorch.strategies import DDPStrategy

    if place is None:
        return {"devices": 1}
    strategy = DDPStrategy(
        # batch statistics are common already
        broadcast_buffers=False,
        # GradNorm's weights have no part in the first steps
        find_unused_parameters=recipe.balance.method == "gradnorm",
    )
    return {"devices": place.n, "strategy": strategy, "plugins": [place]}


def _tensorboard(run_dir):
    """Logger for TensorBoard, or none."""
    from lightning.pytorch.loggers import TensorBoardLogger

    try:
        return TensorBoardLogger(run_dir, name="tensorboard", version="")
    except ModuleNotFoundError:
        log.info("no tensorboard: history.csv is the only record")
        return False


@dataclass(frozen=True, eq=False)
class _Validation:
    """Batches of validation images, in order; may be gone through any number of times."""

    images: object
    parts: object
    size: int

    def __len__(self):
        """Number of batches."""
        return -(-len(self.parts.validation) // self.size)

    def __iter__(self):
        """Dictionaries of tensors, as `task_losses` takes them."""
        from .loader import batches

        labels = torch.from_numpy(self.parts.labels())
        for batch in batches(self.images, self.parts.validation, self.size):
            index = batch.pop("index")
            yield batch | {"label": labels[index], "weight": torch.ones(len(index))}
