"""Run the models on images of many telescopes and events at once."""

from dataclasses import dataclass

import numpy as np

from . import tally as outcomes
from .sky import tilted_to_ground, to_horizontal

__all__ = ["Estimates", "reconstruct"]

#: fields of a prediction that are used
JOINED = (
    "is_valid", "energy", "energy_uncert", "direction", "direction_uncert", "impact", "gammaness",
)  # fmt: skip


@dataclass
class Estimates:
    """One row per image; NaN where there is no estimate.

    Attributes
    ----------
    is_valid, has_direction : ndarray, shape (n_images,), bool
        The network's output is credible; its direction is a position on the sky.
    energy, energy_uncert : ndarray, shape (n_images,), float64, TeV
    alt, az, direction_uncert : ndarray, shape (n_images,), float64, deg
        The uncertainty is the radius that holds 68 %.
    core_x, core_y : ndarray, shape (n_images,), float64, m
        Impact point in the ground frame.
    distance : ndarray, shape (n_images,), float64, m
        Of the telescope to the shower axis.
    gammaness : ndarray, shape (n_images,), float64
    """

    is_valid: np.ndarray
    has_direction: np.ndarray
    energy: np.ndarray
    energy_uncert: np.ndarray
    alt: np.ndarray
    az: np.ndarray
    direction_uncert: np.ndarray
    core_x: np.ndarray
    core_y: np.ndarray
    distance: np.ndarray
    gammaness: np.ndarray

    @classmethod
    def empty(cls, n_images):
        """Rows without any estimate."""
        flags = [np.zeros(n_images, dtype=bool) for _ in range(2)]
        return cls(*flags, *(np.full(n_images, np.nan) for _ in range(9)))

    def spread(self, rows, n_images):
        """Put these rows at the positions ``rows`` of a larger set; the others are empty."""
        spread = self.empty(n_images)
        for name in vars(self):
            getattr(spread, name)[rows] = getattr(self, name)
        return spread


def reconstruct(models, tel_ids, images, peak_times, pointing, tel_positions, tally):
    """Estimates for images of any telescopes that have a model.

    Parameters
    ----------
    models : ModelSet
    tel_ids : sequence of int, length n_images
    images, peak_times : sequence of ndarray, shape (n_pixels,)
        In p.e. and ns, file order; numbers of pixels may differ between telescopes.
        Peak times are not looked at where the model does not use them.
    pointing : ndarray, shape (n_images, 2), rad
        Altitude and azimuth.
    tel_positions : ndarray, shape (n_images, 3), m
        Ground frame.
    tally : Tally
        Counts the outcomes.

    Returns
    -------
    Estimates
    """
    estimates = Estimates.empty(len(tel_ids))
    assigned = [models.get(tel_id) for tel_id in tel_ids]
    for predictor in models.predictors.values():
        rows = [i for i, m in enumerate(assigned) if m is not None and m.predictor is predictor]
        parts, start = [], 0
        while start < len(rows):
            chunk = rows[start : start + predictor.batch_size]
            parts.append(_predict(predictor, chunk, assigned, images, peak_times))
            start += len(chunk)
        if rows:
            rows = np.array(rows)
            tasks = predictor.card.tasks
            _store(estimates, rows, _join(parts), tasks, pointing[rows], tel_positions[rows])
            _count(estimates, rows, predictor, images, peak_times, tally)
    return estimates


def _predict(predictor, rows, assigned, images, peak_times):
    """One forward pass, with the pixels of each image in the order of the model."""
    image = np.stack([images[i][assigned[i].order] for i in rows])
    peak_time = None
    if "peak_time" in predictor.card.channels:
        peak_time = np.stack([peak_times[i][assigned[i].order] for i in rows])
    return predictor.predict(image, peak_time)


def _join(parts):
    """Arrays of several predictions one after the other, None where the task is absent."""
    joined = {}
    for name in JOINED:
        arrays = [getattr(part, name) for part in parts]
        joined[name] = None if arrays[0] is None else np.concatenate(arrays)
    return joined


def _store(estimates, rows, joined, tasks, pointing, tel_positions):
    """Put the predictions of one model into their rows, directions and impact on the ground."""
    estimates.is_valid[rows] = joined["is_valid"]
    for name in ("energy", "energy_uncert", "direction_uncert", "gammaness"):
        if joined[name] is not None:
            getattr(estimates, name)[rows] = joined[name]
    alt, az = np.rad2deg(pointing).T
    if joined["direction"] is not None:
        own_alt, own_az = to_horizontal(joined["direction"], tasks["direction"], *pointing.T)
        seen = np.isfinite(own_alt) & np.isfinite(own_az)
        estimates.has_direction[rows] = seen
        estimates.alt[rows], estimates.az[rows] = own_alt, own_az
        alt, az = np.where(seen, own_alt, alt), np.where(seen, own_az, az)
    if joined["impact"] is not None:
        impact = joined["impact"]
        if tasks["impact"]["frame"] == "tilted":
            impact = tilted_to_ground(impact, *pointing.T)
        core = tel_positions[:, :2] + impact
        estimates.core_x[rows], estimates.core_y[rows] = core.T
        estimates.distance[rows] = _distance(core, alt, az, tel_positions)


def _distance(core, alt, az, tel_positions):
    """Distance (m) of telescopes to shower axes through ``core`` on the ground, as in ctapipe."""
    alt, az = np.deg2rad(alt), np.deg2rad(az)
    # ground frame: x to the north, y to the west
    nx, ny, nz = np.cos(alt) * np.cos(az), -np.cos(alt) * np.sin(az), np.sin(alt)
    dx, dy, dz = (tel_positions - np.pad(core, ((0, 0), (0, 1)))).T
    return np.sqrt((dy * nz - dz * ny) ** 2 + (dz * nx - dx * nz) ** 2 + (dx * ny - dy * nx) ** 2)


def _count(estimates, rows, predictor, images, peak_times, tally):
    """Count one outcome per image; without a result its non-finite pixels are to blame."""
    timed = "peak_time" in predictor.card.channels
    for i in rows:
        if not estimates.is_valid[i]:
            good = np.isfinite(images[i]).all() and not (timed and np.isnan(peak_times[i]).all())
            tally.count(outcomes.BAD_OUTPUT if good else outcomes.BAD_INPUT)
        elif "direction" in predictor.tasks and not estimates.has_direction[i]:
            tally.count(outcomes.NO_DIRECTION)
        else:
            tally.count(outcomes.RECONSTRUCTED)
