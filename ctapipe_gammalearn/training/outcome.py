"""What remains of a training: a calibrated model file with its record, and a figure."""

import importlib.util
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..exceptions import TrainingError
from ..fingerprints import extended, sketch
from ..inference import Predictor
from ..inference.likelihood import Decoded
from ..weights.initialise import trained_model
from .calibration import fit_calibration
from .comparison import compare, overlaps
from .figures import draw_all
from .selection import Selection, select

__all__ = [
    "VALIDATION",
    "calibrate",
    "draw_history",
    "draw_validation",
    "finished_model",
    "recalibrated",
]

log = logging.getLogger(__name__)

#: gamma images that the calibration looks at, and how many at once
N_CALIBRATION, CHUNK = 20_000, 4096
LEAST_CALIBRATION = 200
VALIDATION = "validation"
CURVES = ("energy_bias", "energy_scale", "direction_scale")


def finished_model(network, recipe, images, parts, record):
    """Model of a trained network, calibrated on images that it has not seen.

    Parameters
    ----------
    network : GammaPhysNet
    recipe : Recipe
    images : ImageSet
    parts : Parts
    record : dict
        ``epochs`` (int) and ``metrics`` (dict of str to float).

    Returns
    -------
    Model
    """
    sections = {
        "training": {
            "regression_on": "gamma",
            "dataset": ", ".join(sorted({str(s.get("file", "?")) for s in images.sources})),
            "epochs": record["epochs"],
            "seed": recipe.run.seed,
            "samples": images.sources,
            "selection": recipe.to_dict()["selection"],
            "recipe": recipe.to_dict(),
            "metrics": record["metrics"],
        },
        "validity": _validity(images.sources),
    }
    if images.showers is not None:
        sections["training"]["showers"] = sketch(images.showers)
    network = network.cpu().eval().requires_grad_(False)
    model = trained_model(network, images.lattice, images.camera, **sections)
    if "energy" not in network.architecture.outputs:
        return model
    calibration = calibrate(model, images, parts.calibration, recipe.run.device)
    return replace(model, card=replace(model.card, calibration=calibration))


def calibrate(model, images, index, device="auto"):
    """Calibration section of the card from gamma images.

    Parameters
    ----------
    model : Model
        Without calibration.
    images : ImageSet
    index : ndarray, shape (n,), int64
        Gammas that the network was not trained on.
    device : str

    Returns
    -------
    dict of str to list of float, or None with too few images
    """
    if len(index) < LEAST_CALIBRATION:
        log.warning("%d gammas are too few for a calibration: the model has none", len(index))
        return None
    index = index[np.linspace(0, len(index) - 1, min(len(index), N_CALIBRATION)).astype(int)]
    predictor = Predictor(model, device=device)
    order = predictor.pixel_order(images.pix_x, images.pix_y)
    rows = []
    for start in range(0, len(index), CHUNK):
        part = np.sort(index[start : start + CHUNK])
        rows.append(predictor.decode(*images.rows(part), order)[0])
    names = [name for name in vars(rows[0]) if getattr(rows[0], name) is not None]
    decoded = Decoded(**{n: np.concatenate([getattr(r, n) for r in rows]) for n in names})
    events = images.events[np.sort(index)]
    found = fit_calibration(decoded, events["log10_energy"], events["direction"])
    ones = [1.0] * len(found["log10_energy"])
    return {"log10_energy": found["log10_energy"], **{c: found.get(c, ones) for c in CURVES}}


def recalibrated(model, images):
    """Model with a calibration from other gammas than those of its training.

    Parameters
    ----------
    model : Model
    images : ImageSet
        Images of other particles, and those that the model's own selection drops, are left out.

    Returns
    -------
    model : Model
        Its record names the files of ``images``, too.
    n : int
        Gamma images used.

    Raises
    ------
    TrainingError
        Images that the model knows, or too few.
    """
    record = model.card.training or {}
    if known := overlaps(record.get("samples"), images.sources):
        raise TrainingError(f"{known[0]}; calibrate on others")
    chosen = select(images.events, Selection.from_dict(record.get("selection", {})))
    index = np.flatnonzero(chosen & (images.events["particle"] == 0))
    plain = replace(model, card=replace(model.card, calibration=None))
    calibration = calibrate(plain, images, index)
    if calibration is None:
        raise TrainingError(f"{len(index)} gammas are too few for a calibration; give more files")
    card = replace(model.card, calibration=calibration)
    if record:
        record = record | {"samples": [*record.get("samples", []), *images.sources]}
        if "showers" in record and images.showers is not None:
            record["showers"] = extended(record["showers"], images.showers)
        card = replace(card, training=record)
    return replace(model, card=card), min(len(index), N_CALIBRATION)


def _validity(sources):
    """Ranges of the simulated showers and of the noise."""
    energies = [
        s["energy_TeV"] for s in sources if s.get("primary") == "gamma" and s.get("energy_TeV")
    ]
    noise = [s["noise_pe"] for s in sources if s.get("noise_pe")]
    zeniths = [90.0 - s["pointing_alt_az_deg"][0] for s in sources if s.get("pointing_alt_az_deg")]
    return {
        "telescopes": [],
        "zenith_deg": [min(zeniths), max(zeniths)] if zeniths else None,
        "energy_TeV": [min(e[0] for e in energies), max(e[1] for e in energies)]
        if energies
        else None,
        "site": None,
        "nsb": f"pixel noise {min(n[0] for n in noise):.2f} to {max(n[1] for n in noise):.2f} p.e."
        if noise
        else None,
    }


def draw_history(rows, path):
    """Losses of training and validation against the step; nothing without matplotlib.

    Parameters
    ----------
    rows : list of dict
        Of `callbacks.History`.
    path : path-like
        PNG file.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        log.info("no matplotlib: no figure of the losses")
        return
    tasks = list(
        dict.fromkeys(k.removeprefix("train_") for r in rows for k in r if k[:6] == "train_")
    )
    tasks = [task for task in tasks if task != "sum"] or ["loss"]
    figure = Figure(figsize=(4 * len(tasks), 3.2), layout="constrained")
    for axes, task in zip(np.atleast_1d(figure.subplots(1, len(tasks))), tasks, strict=True):
        for key, style in ((f"train_{task}", "-"), (f"val_loss_{task}", "o-")):
            points = [(row["step"], row[key]) for row in rows if key in row]
            if points:
                axes.plot(*zip(*points, strict=True), style, label=key.split("_")[0], ms=3)
        axes.set(xlabel="step", title=task)
        if axes.lines:
            axes.legend()
    FigureCanvasAgg(figure).print_png(str(Path(path)))


def draw_validation(results, showers, run_dir):
    """Figures of the last validation, into the folder ``validation``; nothing without matplotlib.

    Parameters
    ----------
    results : Results
        Without rotations and calibration.
    showers : ndarray, shape (n,)
        Shower of each image.
    run_dir : Path
    """
    if importlib.util.find_spec("matplotlib") is None:
        return
    folder = run_dir / VALIDATION
    folder.mkdir(exist_ok=True)
    methods = {"validation": results}
    draw_all(folder, methods, compare(methods, showers, n_bootstrap=0))
