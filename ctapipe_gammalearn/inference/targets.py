"""From raw network outputs to physical quantities."""

from dataclasses import dataclass

import numpy as np

__all__ = ["ENERGY_RANGE_TEV", "Prediction", "physical"]

#: energies outside (TeV) are no reconstruction
ENERGY_RANGE_TEV = (1e-4, 1e4)
_METRES = {"m": 1.0, "km": 1000.0}


@dataclass(frozen=True, eq=False)
class Prediction:
    """Reconstruction of a batch of images; NaN in all rows that are not valid.

    Attributes
    ----------
    is_valid : ndarray, shape (n_images,), bool
    energy : ndarray, shape (n_images,), TeV, or None without that task
    direction : ndarray, shape (n_images, 2), or None
        In the frame and unit of the model card's direction task.
    impact : ndarray, shape (n_images, 2), m, or None
        Ground frame x, y of the shower core relative to the telescope.
    gammaness : ndarray, shape (n_images,), or None
        Probability of the signal class, in [0, 1].
    class_probability : ndarray, shape (n_images, n_classes), or None
        In the order of the model card's class ids.
    """

    is_valid: np.ndarray
    energy: np.ndarray | None = None
    direction: np.ndarray | None = None
    impact: np.ndarray | None = None
    gammaness: np.ndarray | None = None
    class_probability: np.ndarray | None = None

    def __len__(self):
        """Number of images."""
        return len(self.is_valid)


def physical(raw, usable, tasks):
    """Physical quantities from raw outputs.

    Parameters
    ----------
    raw : dict of str to ndarray, shape (n_images, n_outputs)
    usable : ndarray, shape (n_images,), bool
        Images that may have a prediction.
    tasks : dict
        Task descriptions of the model card.

    Returns
    -------
    Prediction
        A row is valid if its image is usable, all outputs are finite and the energy lies
        within `ENERGY_RANGE_TEV`.
    """
    raw = {task: np.asarray(values, dtype=np.float64) for task, values in raw.items()}
    valid = usable.copy()
    for values in raw.values():
        valid &= np.isfinite(values).all(axis=1)
    out = {}
    if "energy" in raw:
        low, high = np.log10(ENERGY_RANGE_TEV)
        log10_energy = raw["energy"][:, 0]
        valid &= (log10_energy >= low) & (log10_energy <= high)
        out["energy"] = 10 ** np.clip(np.where(valid, log10_energy, 0.0), low, high)
    if "direction" in raw:
        out["direction"] = raw["direction"]
    if "impact" in raw:
        out["impact"] = raw["impact"] * _METRES[tasks["impact"]["unit"]]
    if "class" in raw:
        probability = _softmax(np.where(valid[:, None], raw["class"], 0.0))
        out["class_probability"] = probability
        out["gammaness"] = probability[:, tasks["class"]["signal"]]
    for values in out.values():
        values[~valid] = np.nan
    return Prediction(valid, **out)


def _softmax(logits):
    """Row-wise softmax; the same for logits and log-probabilities."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
