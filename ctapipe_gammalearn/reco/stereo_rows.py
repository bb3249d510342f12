"""The combination of `stereo.combine` for many events at once, with the same numbers."""

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, CartesianRepresentation, SphericalRepresentation
from ctapipe.containers import (
    CameraHillasParametersContainer,
    ImageParametersContainer,
    LeakageContainer,
)
from ctapipe.reco import ReconstructionProperty, StereoMeanCombiner

__all__ = ["can_combine", "stereo_columns", "telescope_weights"]

#: image parameters in the weights of StereoMeanCombiner: container and field
IN_WEIGHTS = (
    ("hillas", "intensity"),
    ("hillas", "length"),
    ("hillas", "width"),
    ("leakage", "intensity_width_2"),
)


def can_combine(combiner):
    """Whether `stereo_columns` knows this combiner; others are asked event by event."""
    return type(combiner) is StereoMeanCombiner


def telescope_weights(combiner, parameters):
    """Weights of telescopes as in ctapipe.

    Parameters
    ----------
    combiner : StereoMeanCombiner
    parameters : list
        For each image its parameters as in an event, or None.

    Returns
    -------
    ndarray, shape (n_images,)
    """
    if combiner.weights == "none":
        return np.ones(len(parameters))
    columns = {(c, name): np.full(len(parameters), np.nan) for c, name in IN_WEIGHTS}
    for row, of_image in enumerate(parameters):
        for (container, name), column in columns.items():
            if of_image is not None:
                value = getattr(getattr(of_image, container), name)
                column[row] = getattr(value, "value", value)
    hillas = {name: column for (c, name), column in columns.items() if c == "hillas"}
    containers = ImageParametersContainer(
        hillas=CameraHillasParametersContainer(**hillas),
        leakage=LeakageContainer(intensity_width_2=columns["leakage", "intensity_width_2"]),
    )
    with np.errstate(all="ignore"):
        return np.asarray(combiner._calculate_weights(containers), dtype=np.float64)


def stereo_columns(combiner, event, n_events, columns, weights):
    """Combine the results of telescopes.

    Parameters
    ----------
    combiner : StereoMeanCombiner
    event : ndarray, shape (n_images,)
        Number of the event of each image, ascending.
    n_events : int
    columns : dict of str to ndarray
        Results of telescopes without units: TeV, deg, m; with ``is_valid``.
    weights : ndarray, shape (n_images,)

    Returns
    -------
    dict of str to ndarray, shape (n_events,)
        NaN where no telescope is valid.
    """
    names = [name for name in columns if name not in ("goodness_of_fit",)]
    out = {name: np.full(n_events, np.nan) for name in names}
    valid = np.flatnonzero(columns["is_valid"])
    multiplicity = np.bincount(event[valid], minlength=n_events)
    out["is_valid"] = multiplicity > 0
    first = np.concatenate([[0], np.cumsum(multiplicity)])
    mean = MEANS[combiner.property]
    for n in np.unique(multiplicity[multiplicity > 0]):
        events = np.flatnonzero(multiplicity == n)
        rows = valid[first[events][:, None] + np.arange(n)]
        values = {name: columns[name][rows] for name in names}
        with np.errstate(all="ignore"):
            combined = mean(values, weights[rows], combiner.log_target)
        for name, column in combined.items():
            out[name][events] = column
    return out


def _mean_energy(values, weights, log_target):
    """Mean and spread, shape (n_events,), of values of shape (n_events, multiplicity)."""
    weights = weights / weights.max(axis=1, keepdims=True)
    energy = np.log(values["energy"]) if log_target else values["energy"]
    mean = np.average(energy, axis=1, weights=weights)
    spread = np.array([_spread(*rows) for rows in zip(energy, weights, strict=True)])
    if log_target:
        mean, spread = np.exp(mean), np.exp(spread)
    return {"energy": mean, "energy_uncert": spread}


def _spread(values, weights):
    """Square root of ``numpy.cov``, whose checks take longer than the sums."""
    if len(values) < 2:
        return np.nan
    return np.sqrt(np.cov(values, aweights=weights))


def _mean_prediction(values, weights, _):
    """Mean gammaness."""
    return {"prediction": np.average(values["prediction"], axis=1, weights=weights)}


def _mean_direction(values, weights, _):
    """Mean unit vector and spread; a single direction is its own mean, without spread."""
    combined = _mean_core(values)
    if weights.shape[1] == 1:
        return combined | {name: values[name][:, 0] for name in ("alt", "az")}
    sky = AltAz(alt=values["alt"] * u.deg, az=values["az"] * u.deg)
    axes = [np.average(axis, axis=1, weights=weights) for axis in sky.cartesian.get_xyz()]
    mean = CartesianRepresentation(*axes).represent_as(SphericalRepresentation)
    direction = AltAz(mean)
    spread = np.sqrt(-2 * np.log(mean.distance.to_value()))
    return combined | {
        "alt": direction.alt.to_value(u.deg),
        "az": direction.az.to_value(u.deg),
        "ang_distance_uncert": np.rad2deg(spread),
    }


def _mean_core(values):
    """Mean of the cores that are known."""
    combined = {}
    for axis in ("core_x", "core_y"):
        if axis in values:
            core = np.ascontiguousarray(values[axis])
            combined[axis] = core.mean(axis=1)
            for row in np.flatnonzero(~np.isfinite(core).all(axis=1)):
                known = core[row][np.isfinite(core[row])]
                combined[axis][row] = known.mean() if len(known) else np.nan
    return combined


MEANS = {
    ReconstructionProperty.ENERGY: _mean_energy,
    ReconstructionProperty.GEOMETRY: _mean_direction,
    ReconstructionProperty.PARTICLE_TYPE: _mean_prediction,
}
