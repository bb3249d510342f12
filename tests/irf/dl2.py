"""Toy samples as DL2 files, in the tables that ctapipe 0.28 to 0.32 read and write."""

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Table
from astropy.time import Time
from ctapipe.instrument import SubarrayDescription
from ctapipe.io import write_table

import ctapipe_gammalearn

from .toy import PRIMARY

DEMO = Path(ctapipe_gammalearn.__file__).parent / "resources" / "demo_events.dl1.h5"
POINTING = 70.0, 180.0  # altitude, azimuth, deg
PREFIXES = {
    "ref": {"energy": "RefEnergy", "geometry": "RefGeometry", "gammaness": "RefParticle"},
    "dl": {"energy": "NetEnergy", "geometry": "NetGeometry", "gammaness": "NetParticle"},
}
GROUPS = {"energy": "energy", "geometry": "geometry", "gammaness": "particle_type"}


def write_dl2(
    path, sample, uses=1, obs_id=1, groups=GROUPS, prefixes=PREFIXES, pointing=POINTING,
    n_tels=1, order=slice(None),
):  # fmt: skip
    """Write a sample; ``uses`` as of the toy. A second file with other groups may follow.

    Parameters
    ----------
    n_tels : int or ndarray, shape (n,)
        Telescopes that saw each event, and that its reconstructions used.
    order : ndarray, shape (n,), optional
        In which the rows are written.
    """
    n = len(sample)
    keys = {"obs_id": np.full(n, obs_id)}
    keys["event_id"] = np.arange(n) // uses * 100 + np.arange(n) % uses
    direction = np.random.default_rng(5).uniform(0, 2 * np.pi, n // uses + 1)
    direction = direction[np.arange(n) // uses]
    alt, az = away(pointing, direction, sample.true_offset)
    shower = Table(keys | {"true_energy": sample.true_energy * u.TeV})
    shower["true_alt"], shower["true_az"] = alt * u.deg, az * u.deg
    shower["true_core_x"] = shower["true_core_y"] = np.zeros(n) * u.m
    shower["true_shower_primary_id"] = np.full(n, PRIMARY[sample.kind.split("_")[0]])
    write_table(shower[order], path, "/simulation/event/subarray/shower")
    trigger = Table(
        keys | {"event_type": np.full(n, 32), "time": Time(np.full(n, 6e4), format="mjd")}
    )
    seen = np.arange(4) < np.broadcast_to(n_tels, n)[:, None]
    trigger["tels_with_trigger"] = seen
    write_table(trigger[order], path, "/dl1/event/subarray/trigger")
    images = Table(keys | {"tel_id": np.ones(n, int)})
    write_table(images[order], path, "/dl1/event/telescope/trigger")
    for name, reconstruction in sample.reconstructions.items():
        places = reconstructed(sample, reconstruction, direction, pointing)
        for part, columns in tables(reconstruction, places).items():
            prefix = prefixes[name][part]
            columns = {f"{prefix}_{k}": v for k, v in columns.items()}
            columns[f"{prefix}_telescopes"] = seen
            table = Table(keys | columns)[order]
            write_table(table, path, f"/dl2/event/subarray/{groups[part]}/{prefix}")
    write_settings(path, sample.thrown, obs_id, pointing)


def away(pointing, direction, offset):
    """Altitude and azimuth (deg) at ``offset`` (deg) from a direction, at a position angle."""
    alt, az, offset = np.deg2rad(pointing[0]), np.deg2rad(pointing[1]), np.deg2rad(offset)
    sin_alt = np.sin(alt) * np.cos(offset) + np.cos(alt) * np.sin(offset) * np.cos(direction)
    east = np.sin(offset) * np.sin(direction)
    north = np.cos(offset) * np.cos(alt) - np.sin(alt) * np.sin(offset) * np.cos(direction)
    return np.rad2deg(np.arcsin(sin_alt)), np.rad2deg(az + np.arctan2(east, north))


def reconstructed(sample, reconstruction, direction, pointing):
    """Directions with the offset and, in the plane, the theta of a reconstruction."""
    true = sample.true_offset
    along = (reconstruction.offset**2 - true**2 - reconstruction.theta**2) / (2 * true)
    across = np.sqrt(np.maximum(reconstruction.theta**2 - along**2, 0))
    turned = direction + np.arctan2(across, true + along)
    return away(pointing, turned, reconstruction.offset)


def tables(reconstruction, places):
    """Columns of the three tables of a reconstructor."""
    valid = {"is_valid": reconstruction.valid}
    alt, az = places
    return {
        "energy": {"energy": reconstruction.energy * u.TeV, **valid},
        "geometry": {"alt": alt * u.deg, "az": az * u.deg, **valid},
        "gammaness": {"prediction": reconstruction.gammaness, **valid},
    }


def write_settings(path, thrown, obs_id, pointing):
    """What was simulated, how often, and where the array looked."""
    run = {
        "obs_id": [obs_id],
        "n_showers": [round(thrown.n_showers)],
        "shower_reuse": [1],
        "spectral_index": [thrown.index],
        "energy_range_min": [thrown.energy_min] * u.TeV,
        "energy_range_max": [thrown.energy_max] * u.TeV,
        "max_scatter_range": [thrown.max_impact] * u.m,
        "min_viewcone_radius": [thrown.viewcone_min] * u.deg,
        "max_viewcone_radius": [thrown.viewcone_max] * u.deg,
        "atmosphere": [99],
    }
    write_table(Table(run), path, "/configuration/simulation/run")
    shower = {"obs_id": [obs_id], "n_entries": [round(thrown.n_showers)]}
    write_table(Table(shower), path, "/simulation/service/shower_distribution")
    block = {
        "obs_id": [obs_id],
        "subarray_pointing_lat": [pointing[0]] * u.deg,
        "subarray_pointing_lon": [pointing[1]] * u.deg,
        "subarray_pointing_frame": [0],
    }
    write_table(Table(block), path, "/configuration/observation/observation_block")
    SubarrayDescription.from_hdf(DEMO).to_hdf(path)
