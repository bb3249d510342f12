"""Images and reconstructions that ``ctapipe-gammalearn-evaluate`` compares."""

import numpy as np

from ..exceptions import ModelMismatch
from ..io.dl2_columns import match_images, read_dl2
from ..reco.sky import to_horizontal
from ..training.comparison import reconstructed
from ..training.selection import select
from ..training.targets import camera_direction

__all__ = ["from_dl2", "from_model"]

CHUNK = 2048  # images predicted at once


def from_dl2(paths, prefixes, events):
    """Results of DL2 files for the images of ``events``.

    Parameters
    ----------
    paths : list of path-like
    prefixes : sequence of str
        Of energy, direction and gammaness.
    events : ndarray, shape (n,), `training.arrays.EVENT_DTYPE`

    Returns
    -------
    Results
        NaN for images that no file has.
    """
    rows = match_images(events, np.concatenate([read_dl2(path, *prefixes) for path in paths]))
    columns = ("gammaness", "log10_energy", "direction")
    return reconstructed(events, {name: rows[name] for name in columns})


def from_model(predictor, arrays, selection):
    """Results of a model for the selected images.

    Parameters
    ----------
    predictor : ctapipe_gammalearn.inference.Predictor
    arrays : list of ImageArrays
    selection : training.selection.Selection

    Returns
    -------
    Results
        Images in the order of the arrays.

    Raises
    ------
    ModelMismatch
        Images of another camera than the model's.
    """
    columns, events = [], []
    for part in arrays:
        try:
            order = predictor.pixel_order(part.pix_x, part.pix_y)
        except ModelMismatch as error:
            file = part.meta["sources"][0].get("file", part.folder)
            text = f"{file}: images of {part.meta['camera']}, but {error}; choose another model"
            raise ModelMismatch(text) from None
        index = np.flatnonzero(select(part.events, selection))
        pointing = part.meta["sources"][0]["pointing_alt_az_deg"]
        events.append(part.events[index])
        for start in range(0, len(index), CHUNK):
            rows = index[start : start + CHUNK]
            image, peak_time = (np.float32(a[rows]) for a in (part.image, part.peak_time))
            prediction = predictor.predict(image, peak_time, order)
            columns.append(_columns(prediction, predictor.card.tasks, np.deg2rad(pointing)))
    found = {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}
    return reconstructed(np.concatenate(events), found)


def _columns(prediction, tasks, pointing):
    """Columns of `Results` from a `Prediction`."""
    out = {}
    if prediction.gammaness is not None:
        out["gammaness"] = prediction.gammaness
    if prediction.energy is not None:
        out["log10_energy"] = np.log10(prediction.energy)
        if prediction.energy_uncert is not None:
            # a TeV interval that is symmetric in log E: see inference.targets
            ratio = prediction.energy_uncert / prediction.energy
            out["energy_uncert"] = np.arcsinh(ratio) / np.log(10)
    if prediction.direction is not None:
        pointing = np.broadcast_to(pointing, (len(prediction), 2)).T
        alt, az = to_horizontal(prediction.direction, tasks["direction"], *pointing)
        out["direction"] = camera_direction(np.deg2rad(alt), np.deg2rad(az), *pointing)
        if prediction.direction_uncert is not None:
            out["direction_uncert"] = prediction.direction_uncert
    return out
