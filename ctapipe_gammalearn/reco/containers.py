"""Put estimates into ctapipe's containers and tables: the names and units of all DL2 columns."""

import astropy.units as u
import numpy as np
from astropy.table import Table
from ctapipe.containers import (
    ParticleClassificationContainer,
    ReconstructedEnergyContainer,
    ReconstructedGeometryContainer,
    TelescopeImpactParameterContainer,
)
from ctapipe.reco import ReconstructionProperty
from ctapipe.reco.utils import add_defaults_and_meta

from ..compat import PARTICLE_TYPE
from .estimates import Estimates

__all__ = ["fill_telescopes", "properties", "property_prefixes", "to_tables"]

#: What follows the prefix of the component: one prefix for each property, because
#: columns such as ``is_valid`` of equal prefixes collide when tables are joined.
SUFFIX = {
    ReconstructionProperty.ENERGY: "Energy",
    ReconstructionProperty.GEOMETRY: "Geometry",
    ReconstructionProperty.PARTICLE_TYPE: "Particle",
}
TASK = {
    ReconstructionProperty.ENERGY: "energy",
    ReconstructionProperty.GEOMETRY: "direction",
    ReconstructionProperty.PARTICLE_TYPE: "class",
}
CONTAINER = {
    ReconstructionProperty.ENERGY: ReconstructedEnergyContainer,
    ReconstructionProperty.GEOMETRY: ReconstructedGeometryContainer,
    ReconstructionProperty.PARTICLE_TYPE: ParticleClassificationContainer,
}
#: Name of the map in ``event.dl2.tel[tel_id]`` and ``event.dl2.stereo``.
FIELD = {
    ReconstructionProperty.ENERGY: "energy",
    ReconstructionProperty.GEOMETRY: "geometry",
    ReconstructionProperty.PARTICLE_TYPE: PARTICLE_TYPE,
}


def properties(tasks):
    """Properties that the tasks of a model give, in a fixed order."""
    return [prop for prop, task in TASK.items() if task in tasks]


def property_prefixes(prefix, tasks):
    """Prefix of the DL2 columns of each property."""
    return {prop: prefix + SUFFIX[prop] for prop in properties(tasks)}


def values(estimates, prop, with_impact):
    """Columns of one property: field name to array, with units."""
    valid = estimates.is_valid
    if prop is ReconstructionProperty.ENERGY:
        return {
            "energy": u.Quantity(estimates.energy, u.TeV),
            "energy_uncert": u.Quantity(estimates.energy_uncert, u.TeV),
            "is_valid": valid,
        }
    if prop is ReconstructionProperty.PARTICLE_TYPE:
        return {"prediction": estimates.gammaness, "is_valid": valid}
    columns = {
        "alt": u.Quantity(estimates.alt, u.deg),
        "az": u.Quantity(estimates.az, u.deg),
        "ang_distance_uncert": u.Quantity(estimates.direction_uncert, u.deg),
        "is_valid": valid & estimates.has_direction,
    }
    if with_impact:
        columns["core_x"] = u.Quantity(estimates.core_x, u.m)
        columns["core_y"] = u.Quantity(estimates.core_y, u.m)
    return columns


def fill_telescopes(keys, estimates, events, prefix, tasks):
    """Fill ``dl2.tel`` of all events.

    Every telescope with a trigger gets a container of every property, because ctapipe
    would otherwise make one without prefix: NaN and ``is_valid=False`` where there is no
    row of ``estimates``.

    Parameters
    ----------
    keys : list of (int, int)
        Number of the event in ``events`` and tel_id of each row of ``estimates``.
    estimates : Estimates
    events : list of ArrayEventContainer
    prefix : str
    tasks : set of str
    """
    missing = Estimates.empty(1)
    prefixes = property_prefixes(prefix, tasks)
    rows = {key: row for row, key in enumerate(keys)}
    for prop, name in prefixes.items():
        found, default = (values(e, prop, "impact" in tasks) for e in (estimates, missing))
        for i, event in enumerate(events):
            for tel_id in _telescopes(event):
                row = rows.get((i, tel_id))
                columns, at = (found, row) if row is not None else (default, 0)
                fields = {k: v[at] for k, v in columns.items()}
                fields |= {k: v.item() for k, v in fields.items() if not hasattr(v, "unit")}
                container = CONTAINER[prop](**fields, prefix=f"{name}_tel")
                getattr(event.dl2.tel[tel_id], FIELD[prop])[name] = container
    if "impact" in tasks:
        name = prefix + SUFFIX[ReconstructionProperty.GEOMETRY]
        distance = u.Quantity(np.append(estimates.distance, np.nan), u.m)
        for i, event in enumerate(events):
            for tel_id in _telescopes(event):
                event.dl2.tel[tel_id].impact[name] = TelescopeImpactParameterContainer(
                    distance=distance[rows.get((i, tel_id), -1)],
                    prefix=f"{name}_tel_{TelescopeImpactParameterContainer.default_prefix}",
                )


def _telescopes(event):
    """Telescopes with a trigger, and others that an earlier reconstructor filled."""
    return dict.fromkeys(map(int, [*event.trigger.tels_with_trigger, *event.dl2.tel]))


def to_tables(estimates, prefix, tasks):
    """Tables of all properties, with the columns of the DL2 telescope tables.

    Returns
    -------
    dict of ReconstructionProperty to astropy.table.Table
        Rows as in ``estimates``.
    """
    tables = {}
    for prop, name in property_prefixes(prefix, tasks).items():
        columns = values(estimates, prop, "impact" in tasks)
        tables[prop] = Table({f"{name}_tel_{key}": column for key, column in columns.items()})
        add_defaults_and_meta(tables[prop], CONTAINER[prop], prefix=name, add_tel_prefix=True)
    return tables
