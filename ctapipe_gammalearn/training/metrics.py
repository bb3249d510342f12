"""Figures of merit of a reconstruction, from plain arrays.

Energies are log10(E / TeV).  Directions are positions in the camera plane,
``rad2deg(x / f), rad2deg(y / f)``: gnomonic, so `angular_separation` is exact on the sphere.
Rows without a prediction are NaN; every function leaves them out, and `summary` counts them.
"""

from dataclasses import dataclass, fields

import numpy as np

from ..scores import auc

__all__ = [
    "ENERGY_EDGES",
    "INTENSITY_EDGES",
    "Results",
    "angular_separation",
    "auc",
    "background_left",
    "calibration_error",
    "energy_bias_resolution",
    "median_abs_ln",
    "psi68",
    "summary",
]

#: bins of the reference tables: quarter decades of true energy (TeV), intensity (p.e.)
ENERGY_EDGES = tuple(np.round(10.0 ** np.arange(-2, 1.76, 0.25), 4))
INTENSITY_EDGES = (50.0, 200.0, 1000.0, np.inf)
CONTAINMENT = 0.68


@dataclass(frozen=True, eq=False)
class Results:
    """True and reconstructed values of the same images, gammas and background.

    Attributes
    ----------
    is_gamma : ndarray, shape (n,), bool
    gammaness : ndarray, shape (n,), in [0, 1], or None
        Any score that grows with the probability of a gamma will do, except for
        `calibration_error`.
    true_log10_energy, log10_energy : ndarray, shape (n,), log10(TeV), or None
    true_direction, direction : ndarray, shape (n, 2), camera-plane deg, or None
    energy_uncert : ndarray, shape (n,), dex, or None
        Half-width of the 68 % interval of log10 E.
    direction_uncert : ndarray, shape (n,), deg, or None
        Radius of the 68 % region.
    intensity : ndarray, shape (n,), p.e., or None
    """

    is_gamma: np.ndarray
    gammaness: np.ndarray | None = None
    true_log10_energy: np.ndarray | None = None
    log10_energy: np.ndarray | None = None
    true_direction: np.ndarray | None = None
    direction: np.ndarray | None = None
    energy_uncert: np.ndarray | None = None
    direction_uncert: np.ndarray | None = None
    intensity: np.ndarray | None = None

    def __len__(self):
        """Number of images."""
        return len(self.is_gamma)

    def take(self, index):
        """Rows ``index`` (mask, slice or numbers) as new `Results`."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return Results(
            **{k: None if v is None else np.asarray(v)[index] for k, v in columns.items()}
        )

    @property
    def valid(self):
        """Rows with all predictions that this reconstruction makes, shape (n,), bool."""
        valid = np.ones(len(self), dtype=bool)
        for values in (self.gammaness, self.log10_energy, self.direction):
            if values is not None:
                valid &= np.isfinite(np.asarray(values)).reshape(len(self), -1).all(axis=1)
        return valid


def angular_separation(first, second):
    """Angle between directions given in the camera plane.

    Parameters
    ----------
    first, second : ndarray, shape (..., 2), camera-plane deg

    Returns
    -------
    ndarray, shape (...), deg
        Exact on the sphere; NaN in gives NaN out.
    """
    a, b = (_unit_vectors(np.asarray(v, dtype=np.float64)) for v in (first, second))
    # the arcus cosine alone loses half of the digits at small angles
    sine = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.rad2deg(np.arctan2(sine, (a * b).sum(axis=-1)))


def _unit_vectors(direction):
    """Unit vectors, shape (..., 3), of camera-plane positions (deg)."""
    plane = np.deg2rad(direction)
    vectors = np.concatenate([plane, np.ones_like(plane[..., :1])], axis=-1)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def psi68(separation):
    """Radius (deg) that contains 68 % of ``separation``, shape (n,), deg; NaN if empty."""
    return _quantile(_finite(separation), CONTAINMENT)


def energy_bias_resolution(log10_energy, true_log10_energy):
    """Bias and resolution of the energy.

    Parameters
    ----------
    log10_energy, true_log10_energy : ndarray, shape (n,)

    Returns
    -------
    bias : float
        Median of E / E_true - 1.
    resolution : float
        68 % quantile of abs(E / E_true - 1 - bias).
    """
    error = 10 ** _finite(np.subtract(log10_energy, true_log10_energy, dtype=np.float64)) - 1
    bias = _quantile(error, 0.5)
    return bias, _quantile(np.abs(error - bias), CONTAINMENT)


def median_abs_ln(log10_energy, true_log10_energy):
    """Median of abs(ln(E / E_true)): the bias is included; arrays of shape (n,)."""
    error = _finite(np.subtract(log10_energy, true_log10_energy, dtype=np.float64))
    return np.log(10) * _quantile(np.abs(error), 0.5)


def background_left(signal, background, efficiency=0.7):
    """Fraction of the background above the cut that keeps a fraction of the gammas.

    Parameters
    ----------
    signal, background : ndarray, shape (n,) and (m,)
        Scores, such as gammaness.
    efficiency : float
        Fraction of the gammas that the cut keeps.

    Returns
    -------
    float
        NaN if one of the two is empty.
    """
    signal, background = _finite(signal), _finite(background)
    if not len(signal) or not len(background):
        return np.nan
    cut = np.quantile(signal, 1 - efficiency)
    # ties at the cut count one half, so that a constant score leaves one half, not nothing
    return float(np.mean(background > cut) + 0.5 * np.mean(background == cut))


def calibration_error(gammaness, is_gamma, n_bins=15):
    """Expected calibration error (ECE) of gammaness, at equal priors.

    Parameters
    ----------
    gammaness : ndarray, shape (n,), in [0, 1]
    is_gamma : ndarray, shape (n,), bool
    n_bins : int
        Bins of equal width in gammaness.

    Returns
    -------
    float
        Mean over the images of abs(fraction of gammas - mean gammaness) of their bin, both
        classes having the same total weight; NaN without images of both.

    References
    ----------
    Guo et al., 2017, "On calibration of modern neural networks", arXiv:1706.04599.
    """
    known = np.isfinite(gammaness)
    gammaness, is_gamma = np.asarray(gammaness)[known], np.asarray(is_gamma, dtype=bool)[known]
    n_gamma = np.count_nonzero(is_gamma)
    if n_gamma in (0, len(is_gamma)):
        return np.nan
    weight = np.where(is_gamma, 0.5 / n_gamma, 0.5 / (len(is_gamma) - n_gamma))
    place = np.clip((gammaness * n_bins).astype(int), 0, n_bins - 1)
    # weight times (fraction - mean) of a bin is the difference of two sums
    excess = np.bincount(place, weight * (is_gamma - gammaness), n_bins)
    return float(np.abs(excess).sum())


def summary(results, efficiency=0.7):
    """All figures of merit of a set of images.

    Parameters
    ----------
    results : Results
    efficiency : float
        Of the cut for ``background_left``.

    Returns
    -------
    dict of str to float
        ``n_gamma``, ``n_background``, ``valid_fraction``; with gammaness ``auc``,
        ``background_left``, ``calibration_error``; for the gammas ``psi68`` (deg),
        ``energy_bias``, ``energy_resolution``, ``median_abs_ln``, ``ln_bias``, and the
        fractions ``energy_coverage``, ``direction_coverage`` inside the 68 % regions. Keys
        of predictions that are not made are absent; NaN where there are too few images.
    """
    gamma = np.asarray(results.is_gamma, dtype=bool)
    out = {
        "n_gamma": int(gamma.sum()),
        "n_background": int((~gamma).sum()),
        "valid_fraction": float(results.valid.mean()) if len(results) else np.nan,
    }
    if results.gammaness is not None:
        score = np.asarray(results.gammaness)
        out["auc"] = auc(score[gamma], score[~gamma])
        out["background_left"] = background_left(score[gamma], score[~gamma], efficiency)
        out["calibration_error"] = calibration_error(score, gamma)
    gammas = results.take(gamma)
    if gammas.direction is not None:
        out |= _direction_summary(gammas)
    if gammas.log10_energy is not None:
        out |= _energy_summary(gammas)
    return out


def _direction_summary(gammas):
    """Figures of merit of the direction of gammas."""
    separation = angular_separation(gammas.direction, gammas.true_direction)
    out = {"psi68": psi68(separation)}
    if gammas.direction_uncert is not None:
        out["direction_coverage"] = _coverage(separation, gammas.direction_uncert)
    return out


def _energy_summary(gammas):
    """Figures of merit of the energy of gammas."""
    reco, true = gammas.log10_energy, gammas.true_log10_energy
    bias, resolution = energy_bias_resolution(reco, true)
    error = np.subtract(reco, true, dtype=np.float64)
    out = {
        "energy_bias": bias,
        "energy_resolution": resolution,
        "median_abs_ln": median_abs_ln(reco, true),
        "ln_bias": np.log(10) * _quantile(_finite(error), 0.5),
    }
    if gammas.energy_uncert is not None:
        out["energy_coverage"] = _coverage(np.abs(error), gammas.energy_uncert)
    return out


def _finite(values):
    """Finite entries as float64, flat."""
    values = np.asarray(values, dtype=np.float64).ravel()
    return values[np.isfinite(values)]


def _quantile(values, q):
    """Quantile as float; NaN of nothing, without a warning."""
    return float(np.quantile(values, q)) if len(values) else np.nan


def _coverage(error, uncertainty):
    """Fraction of the images with ``error`` inside the region; NaN rows left out."""
    known = np.isfinite(error) & np.isfinite(uncertainty)
    inside = np.asarray(error)[known] <= np.asarray(uncertainty)[known]
    return float(inside.mean()) if len(inside) else np.nan
