"""From raw network outputs to physical quantities."""

from dataclasses import dataclass

import numpy as np

__all__ = ["ENERGY_RANGE_TEV", "METRES", "Prediction", "physical"]

#: energies outside (TeV) are no reconstruction
ENERGY_RANGE_TEV = (1e-4, 1e4)
#: metres per unit of a model card
METRES = {"m": 1.0, "hm": 100.0, "km": 1000.0}


@dataclass(frozen=True, eq=False)
class Prediction:
    """Reconstruction of a batch of images; NaN in all rows that are not valid.

    Attributes
    ----------
    is_valid : ndarray, shape (n_images,), bool
    energy : ndarray, shape (n_images,), TeV, or None without that task
    direction : ndarray, shape (n_images, 2), or None
        In the frame and unit of the model card's direction task.
    energy_uncert : ndarray, shape (n_images,), TeV, or None
        Half-width of the interval that holds 68 %.
    direction_uncert : ndarray, shape (n_images,), deg, or None
        Radius that holds 68 %.
    impact : ndarray, shape (n_images, 2), m, or None
        Shower core relative to the telescope, in the frame of the impact task.
    gammaness : ndarray, shape (n_images,), or None
        Probability of the signal class, in [0, 1].
    class_probability : ndarray, shape (n_images, n_classes), or None
        In the order of the model card's class ids.
    """

    is_valid: np.ndarray
    energy: np.ndarray | None = None
    direction: np.ndarray | None = None
    energy_uncert: np.ndarray | None = None
    direction_uncert: np.ndarray | None = None
    impact: np.ndarray | None = None
    gammaness: np.ndarray | None = None
    class_probability: np.ndarray | None = None

    def __len__(self):
        """Number of images."""
        return len(self.is_valid)


def physical(decoded, usable, tasks):
    """Physical quantities from decoded outputs.

    Parameters
    ----------
    decoded : ctapipe_gammalearn.inference.likelihood.Decoded
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
    valid = usable.copy()
    for values in vars(decoded).values():
        if values is not None:
            valid &= np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    out = {}
    if decoded.log10_energy is not None:
        low, high = np.log10(ENERGY_RANGE_TEV)
        valid &= (decoded.log10_energy >= low) & (decoded.log10_energy <= high)
        out |= _energy(decoded, valid, low, high)
    if decoded.direction is not None:
        out["direction"] = decoded.direction.copy()
    if decoded.direction_scale is not None:
        out["direction_uncert"] = decoded.direction_scale.copy()
    if decoded.impact is not None:
        out["impact"] = decoded.impact * METRES[tasks["impact"]["unit"]]
    if decoded.class_logits is not None:
        probability = _softmax(np.where(valid[:, None], decoded.class_logits, 0.0))
        out["class_probability"] = probability
        out["gammaness"] = probability[:, tasks["class"]["signal"]]
    for values in out.values():
        values[~valid] = np.nan
    return Prediction(valid, **out)


def _energy(decoded, valid, low, high):
    """Energy and the half-width of its interval, TeV."""
    energy = 10 ** np.clip(np.where(valid, decoded.log10_energy, 0.0), low, high)
    if decoded.log10_energy_scale is None:
        return {"energy": energy}
    width = np.where(valid, decoded.log10_energy_scale, 0.0) * np.log(10)
    return {"energy": energy, "energy_uncert": energy * np.sinh(width)}


def _softmax(logits):
    """Row-wise softmax; the same for logits and log-probabilities."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
