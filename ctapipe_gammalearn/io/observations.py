"""Observations in DL2 files of ctapipe or lstchain, on the sky, for `irf`."""

from pathlib import Path

import astropy.units as u
import numpy as np
import tables
from astropy.coordinates import EarthLocation, angular_separation
from ctapipe.io import read_table

from ..exceptions import IRFError
from ..irf.on_off import live_time
from ..irf.sky import Observation, Run, SkyReconstruction, from_icrs, to_icrs
from .dl2_criteria import names_in, passing, quality_mask
from .dl2_settings import opened
from .dl2_tables import (
    PARTS,
    image_parameters,
    prefix_of,
    read_reconstruction,
    result_nodes,
)
from .lstchain_dl2 import KEY, LST1, read_lstchain

__all__ = ["LSTCHAIN", "read_observation"]

#: name of the one reconstruction in files of lstchain
LSTCHAIN = "lstchain"
TRIGGER = "/dl1/event/subarray/trigger"
LAYOUT = "/configuration/instrument/subarray/layout"
BLOCKS = "/configuration/observation/observation_block"
PARAMETERS = "/dl1/event/telescope/parameters"
#: pointings by time; those of level 1 are of older files
MONITORING = tuple(
    f"/{level}/monitoring/{kind}/pointing"
    for level in ("dl0", "dl1") for kind in ("telescope", "subarray")
)  # fmt: skip
ICRS = 1  # of ctapipe.containers.CoordinateFrameType
SUBARRAY = 32  # of ctapipe.containers.EventType: showers, no calibration
#: times of a run at which the pointing is transformed
N_POINTINGS = 100
#: a telescope that wanders further from its mean (deg) tracks no source
MAX_WANDER_DEG = 0.1


def read_observation(paths, reconstructors, level="subarray", quality=()):
    """Shower events of any number of files.

    Parameters
    ----------
    paths : list of path-like
        DL2 files of ctapipe, or of lstchain; runs may be split over files.
    reconstructors : dict of str to dict
        As of `dl2_events.read_sample`. Files of lstchain have one of their own, `LSTCHAIN`.
    level : str
        "subarray", or "telescope" for the images of a single telescope.
    quality : sequence of (str, str)
        As of `dl2_events.read_sample`.

    Returns
    -------
    irf.sky.Observation
        Events without a valid value of a reconstructor stay, as not valid.

    Raises
    ------
    IRFError
        Damaged or foreign files, simulations, no pointing, a file given twice.
    """
    parts = [_read_file(Path(path), reconstructors, level, quality) for path in paths]
    if len({frozenset(part["reconstructions"]) for part in parts}) > 1:
        raise IRFError(f"{paths[0]}: files of ctapipe and of lstchain together; give one kind")
    notes = sorted({note for part in parts for note in part["notes"]})
    keys = [np.concatenate([part[k] for part in parts]) for k in ("obs_id", "event_id")]
    order = np.lexsort(keys[::-1])
    same = (np.diff(keys[0][order]) == 0) & (np.diff(keys[1][order]) == 0)
    if np.any(same):
        obs_id, event_id = (k[order][1:][same][0] for k in keys)
        raise IRFError(f"event {event_id} of run {obs_id} is there twice; give each file once")
    obs_ids, run = np.unique(keys[0], return_inverse=True)
    runs = [_run(parts, obs_id, notes) for obs_id in obs_ids]
    kept = np.concatenate([part["kept"] for part in parts])
    if not kept.any():
        raise IRFError(f"{paths[0]}: no shower passes the quality selection; loosen quality")
    reconstructions = {
        name: _joined([_on_sky(part, name) for part in parts], kept)
        for name in parts[0]["reconstructions"]
    }
    intensity = np.concatenate([part["intensity"] for part in parts])[kept]
    return Observation(runs, run[kept], intensity, reconstructions, notes)


def _on_sky(part, name):
    """Reconstruction of one file in equatorial coordinates."""
    found = part["reconstructions"][name]
    use = part["kept"] & found["valid"]
    for column in ("energy", "alt", "az", "gammaness"):
        use &= np.isfinite(found[column])
    ra, dec = (np.full(len(use), np.nan) for _ in range(2))
    place = found["alt"][use], found["az"][use]
    ra[use], dec[use] = to_icrs(*place, part["time"][use], part["location"])
    return SkyReconstruction(found["energy"], ra, dec, found["gammaness"], use & np.isfinite(ra))


def _joined(parts, kept):
    """One reconstruction of several, of the events to keep."""
    names = ("energy", "ra", "dec", "gammaness", "valid")
    return SkyReconstruction(
        **{n: np.concatenate([getattr(p, n) for p in parts])[kept] for n in names}
    )


def _run(parts, obs_id, notes):
    """Pointing and time of a run; what is odd about it is noted."""
    rows = [np.flatnonzero(part["obs_id"] == obs_id) for part in parts]
    chosen = [(p, r) for p, r in zip(parts, rows, strict=True) if len(r)]
    time = np.concatenate([part["time"][rows] for part, rows in chosen])
    delta_t = None
    if all(part["delta_t"] is not None for part, _ in chosen):
        delta_t = np.concatenate([part["delta_t"][rows] for part, rows in chosen])
    elapsed, live = live_time(time, delta_t)
    if not live > 0:
        raise IRFError(f"run {obs_id}: {len(time)} triggers, no live time; leave the run out")
    some = np.argsort(time)[np.linspace(0, len(time) - 1, N_POINTINGS).astype(int)]
    starts = np.cumsum([0, *(len(rows) for _, rows in chosen)])
    places = np.concatenate([
        _pointing(part, rows[some[(some >= start) & (some < start + len(rows))] - start])
        for (part, rows), start in zip(chosen, starts[:-1], strict=True)
    ])  # fmt: skip
    places = places[np.isfinite(places).all(axis=1)]
    if not len(places):
        raise IRFError(f"run {obs_id}: no pointing at the times of its events; merge monitoring")
    pointing, wander = _mean(places[:, 0], places[:, 1])
    if wander > MAX_WANDER_DEG:
        notes.append(f"Run {obs_id}: the pointing wanders by {wander:.2f} deg on the sky.")
    zenith = float(90 - np.rad2deg(places[:, 2].mean()))
    return Run(int(obs_id), pointing, zenith, len(time), elapsed, live)


def _mean(ra, dec):
    """Mean direction (rad), and how far (deg) single ones are from it."""
    x, y, z = (c.mean() for c in (np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)))
    mean = float(np.arctan2(y, x) % (2 * np.pi)), float(np.arctan2(z, np.hypot(x, y)))
    return mean, float(np.rad2deg(angular_separation(*mean, ra, dec).max()))


def _pointing(part, rows):
    """Right ascension, declination and altitude (n, 3), rad, of the pointing at some events."""
    time, location = part["time"][rows], part["location"]
    first, second = (column[rows] for column in part["pointing"])
    if part["frame"] == ICRS:
        return np.stack([first, second, from_icrs(first, second, time, location)[0]], axis=1)
    return np.stack([*to_icrs(first, second, time, location), first], axis=1)


def _read_file(path, reconstructors, level, quality):
    """Columns of a file as a dict."""
    with opened(path) as h5:
        if KEY in h5:
            part = _lstchain(path, h5, quality)
        elif TRIGGER not in h5:
            raise IRFError(f"{path}: neither {TRIGGER} nor {KEY}; give DL2 of ctapipe or lstchain")
        elif "/simulation" in h5 or "/configuration/simulation" in h5:
            raise IRFError(f"{path}: simulated events; give observations")
        elif not reconstructors:
            raise IRFError(f"{path}: of ctapipe: name its reconstructors in the configuration")
        else:
            part = _ctapipe(path, h5, reconstructors, level, quality)
    kind = part["event_type"]
    if kind is None:
        part["notes"].append(f"{path.name}: no event types: calibration events are not left out.")
    else:
        part["kept"] &= kind == SUBARRAY
    return part


def _lstchain(path, h5, quality):
    """File of lstchain."""
    columns, extra = read_lstchain(path, h5, names_in(quality))
    kept = passing(path, quality, extra, len(columns["time"]), KEY)
    found = {k: columns.pop(k) for k in ("energy", "alt", "az", "gammaness")}
    found["valid"] = np.isfinite(found["energy"])
    intensity = columns.pop("intensity", np.full(len(kept), np.nan))
    lon, lat, height = LST1
    pointing = columns.pop("pointing_alt"), columns.pop("pointing_az")
    return {"delta_t": None, "event_type": None} | columns | {
        "pointing": pointing, "frame": None, "intensity": intensity, "kept": kept,
        "location": EarthLocation.from_geodetic(lon * u.deg, lat * u.deg, height * u.m),
        "reconstructions": {LSTCHAIN: found}, "notes": [],
    }  # fmt: skip


def _ctapipe(path, h5, reconstructors, level, quality):
    """File of ctapipe."""
    nodes = {
        name: {p: result_nodes(path, h5, level, p, prefix_of(name, prefixes, p)) for p in PARTS}
        for name, prefixes in reconstructors.items()
    }
    trigger = read_table(h5, TRIGGER)
    n, names = len(trigger), trigger.colnames
    keys = {k: np.asarray(trigger[k], np.int64) for k in ("obs_id", "event_id")}
    rows = dict(keys)
    if level == "telescope":
        found = [node for parts in nodes.values() for part in parts.values() for node in part]
        rows["tel_id"] = np.full(n, _only_telescope(path, {t for node in found for t in node}))
    intensity = np.full(n, np.nan)
    if PARAMETERS in h5:
        bright = image_parameters(path, h5, rows, level, ["hillas_intensity"], PARAMETERS)
        intensity = bright["hillas_intensity"]
    pointing, frame = _array_pointing(path, h5, keys["obs_id"], trigger["time"].utc.unix)
    # no true values in a quality selection
    unknown = dict.fromkeys(("energy", "alt", "az"), np.full(n, np.nan))
    return keys | {
        "time": trigger["time"].utc.unix, "delta_t": None, "pointing": pointing, "frame": frame,
        "event_type": np.asarray(trigger["event_type"]) if "event_type" in names else None,
        "intensity": intensity, "location": _location(path, h5), "notes": [],
        "kept": quality_mask(path, h5, rows, unknown, level, quality),
        "reconstructions": {
            k: read_reconstruction(path, h5, rows, level, p) for k, p in nodes.items()
        },
    }  # fmt: skip


def _only_telescope(path, tel_ids):
    """Number of the telescope whose images are the events."""
    if len(tel_ids) != 1:
        raise IRFError(
            f"{path}: images of {len(tel_ids)} telescopes are no independent events; use --level"
            " subarray"
        )
    return next(iter(tel_ids))


def _location(path, h5):
    """Where the array is."""
    meta = read_table(h5, LAYOUT).meta if LAYOUT in h5 else {}
    if "reference_itrs_x" not in meta:
        raise IRFError(f"{path}: no position of the array in {LAYOUT}; write it with ctapipe")
    return EarthLocation.from_geocentric(*(meta[f"reference_itrs_{c}"] for c in "xyz"), unit=u.m)


def _array_pointing(path, h5, obs_id, time):
    """Pointing at each trigger (two columns, rad) and its frame: None for horizontal ones."""
    for node in MONITORING:
        if node in h5:
            return _interpolated(h5, node, time), None
    blocks = read_table(h5, BLOCKS) if BLOCKS in h5 else None
    if blocks is None or np.any(blocks["subarray_pointing_frame"] != ICRS):
        raise IRFError(
            f"{path}: no pointing: neither a table in {MONITORING[0]} nor equatorial coordinates"
            f" in {BLOCKS}; merge the monitoring data"
        )
    place = {int(i): k for k, i in enumerate(blocks["obs_id"])}
    if lost := set(obs_id.tolist()) - set(place):
        raise IRFError(f"{path}: run {min(lost)} is not in {BLOCKS}; merge whole runs")
    row = np.array([place[i] for i in obs_id.tolist()], int)
    columns = (blocks[f"subarray_pointing_{c}"].quantity.to_value("rad") for c in ("lon", "lat"))
    return tuple(column[row] for column in columns), ICRS


def _interpolated(h5, node, time):
    """Altitude and azimuth (rad) of the array, or of its first telescope; NaN outside."""
    if not isinstance(h5.get_node(node), tables.Table):
        names = sorted(n for n in h5.get_node(node)._v_children if n.startswith("tel_"))
        node = f"{node}/{names[0]}"
    table = read_table(h5, node)
    when = table["time"].utc.unix
    order = np.argsort(when)
    alt, az = (
        next(table[c] for c in table.colnames if c.endswith(name)).quantity.to_value("rad")[order]
        for name in ("altitude", "azimuth")
    )
    return tuple(np.interp(time, when[order], v, np.nan, np.nan) for v in (alt, np.unwrap(az)))
