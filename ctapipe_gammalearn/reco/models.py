"""Which telescope is reconstructed by which model file, and in which pixel order."""

import os
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np

from ..exceptions import ModelFileError, ModelMismatch

__all__ = ["ModelSet", "TelescopeModel", "assign_models", "load_predictor"]


@dataclass(frozen=True, eq=False)
class TelescopeModel:
    """The predictor for one telescope.

    Attributes
    ----------
    predictor : ctapipe_gammalearn.inference.Predictor
        One object for all telescopes of the same model file.
    order : ndarray, shape (n_pixels,), int64
        ``image[order]`` has the pixel order of the model.
    """

    predictor: Any
    order: np.ndarray


@dataclass
class ModelSet:
    """Models of a subarray.

    Attributes
    ----------
    by_telescope : dict of int to TelescopeModel
        Telescopes with a model.
    predictors : dict of Path to Predictor
    left_out : list of int
        Telescopes for which a model for all ("*") was given that does not fit.
    """

    by_telescope: dict = field(default_factory=dict)
    predictors: dict = field(default_factory=dict)
    left_out: list = field(default_factory=list)

    def get(self, tel_id):
        """Return the `TelescopeModel` of a telescope or None."""
        return self.by_telescope.get(tel_id)

    @property
    def tasks(self):
        """Names of all quantities that at least one model predicts."""
        return {task for predictor in self.predictors.values() for task in predictor.tasks}

    @property
    def channels(self):
        """Names of all input channels that at least one model reads."""
        return {name for p in self.predictors.values() for name in p.card.channels}


def load_predictor(path, **options):
    """Load a model file; the import of torch waits until here."""
    from ..inference import Predictor

    return Predictor(path, **options)


def assign_models(patterns, subarray, *, restricted=False, **options):
    """Load the model files and find the one of each telescope.

    Parameters
    ----------
    patterns : list of (str, str or int, str or None)
        ``("type", pattern, path)`` or ``("id", tel_id, path)``; the last one that fits a
        telescope decides. A path of None means no model.
    subarray : ctapipe.instrument.SubarrayDescription
    restricted : bool
        The subarray is a selection of telescopes (``allowed_tels``), so that patterns for
        the others may be without effect.
    options : dict
        Passed to `load_predictor`.

    Returns
    -------
    ModelSet

    Raises
    ------
    GammaLearnError
        No or unknown model file; a pattern without telescope; a model that was given for a
        type or telescope explicitly and does not fit, or that fits no telescope at all.
    """
    if all(path is None for _, _, path in patterns):
        raise ModelFileError("no model file given; set model_path")
    chosen = {}
    for command, argument, path in patterns:
        tel_ids = _matching(command, argument, subarray)
        if not tel_ids and not restricted:
            known = ", ".join(sorted({str(tel) for tel in subarray.telescope_types}))
            raise ModelMismatch(
                f"unknown pattern {argument!r} in model_path: no telescope of that {command};"
                f" types in the input: {known}"
            )
        chosen |= dict.fromkeys(tel_ids, (path, command == "id" or argument != "*"))
    if all(path is None for path, _ in chosen.values()):
        raise ModelMismatch("no selected telescope has a model; check model_path and allowed_tels")
    used = {path for path, _ in chosen.values() if path is not None}
    files = {path: _existing(path) for *_, path in patterns if path in used}
    models = ModelSet()
    for path, file in files.items():
        if file not in models.predictors:
            models.predictors[file] = load_predictor(file, **options)
        wanted = {tel_id: explicit for tel_id, (p, explicit) in chosen.items() if p == path}
        _fit(models, models.predictors[file], path, wanted, subarray)
    return models


def _matching(command, argument, subarray):
    """Telescopes that a pattern means."""
    if command == "id":
        return [int(argument)] if int(argument) in subarray.tel else []
    return [i for i, tel in subarray.tel.items() if fnmatchcase(str(tel), argument)]


def _existing(path):
    """Resolved path of a file; variables and ``~`` are expanded."""
    file = Path(os.path.expandvars(path)).expanduser()
    if not file.is_file():
        what = "is a directory" if file.is_dir() else "does not exist"
        raise ModelFileError(f"model file {path} {what}; check model_path")
    return file.resolve()


def _fit(models, predictor, path, wanted, subarray):
    """Add the wanted telescopes whose camera fits; each distinct camera is matched once."""
    known, fitting = {}, 0
    for tel_id, explicit in wanted.items():
        telescope = subarray.tel[tel_id]
        geometry = telescope.camera.geometry
        x, y = geometry.pix_x.to_value(u.m), geometry.pix_y.to_value(u.m)
        camera = x.tobytes() + y.tobytes()
        if camera not in known:
            known[camera] = _order_or_error(predictor, x, y)
        order = known[camera]
        if not isinstance(order, ModelMismatch):
            models.by_telescope[tel_id] = TelescopeModel(predictor, order)
            fitting += 1
        elif explicit:
            raise ModelMismatch(f"{path} does not fit telescope {tel_id} ({telescope}): {order}")
        else:
            models.left_out.append(tel_id)
    if not fitting:
        raise ModelMismatch(f"{path} fits no telescope: {order}")


def _order_or_error(predictor, x, y):
    """Pixel order, or the error that says why there is none."""
    try:
        return predictor.pixel_order(x, y)
    except ModelMismatch as error:
        return error
