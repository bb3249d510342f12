"""A made-up night on a made-up source: events on the sky as DL2 files of ctapipe and lstchain."""

from types import SimpleNamespace

import astropy.units as u
import numpy as np
import tables
from astropy.coordinates import ICRS, AltAz, EarthLocation
from astropy.table import Table
from astropy.time import Time
from ctapipe.instrument import SubarrayDescription
from ctapipe.io import write_table

from .dl2 import DEMO, GROUPS, PREFIXES

CRAB = 83.6331, 22.0145
START = Time("2020-01-17T22:00:00").unix
SITE = EarthLocation.from_geodetic(-17.89149701 * u.deg, 28.76152611 * u.deg, 2184 * u.m)
RATE_HZ, DEAD_S, RUN_S = 20.0, 0.002, 300.0
SPREAD_DEG = 0.05  # of gammas, in each coordinate
KEY = "/dl2/event/telescope/parameters/LST_LSTCam"


def night(n_runs=4, n_gamma=150, offset_deg=0.4, seed=1, first=1817):
    """Events of runs that alternate between two wobble positions.

    Returns
    -------
    list of SimpleNamespace
        By run ``obs_id``, ``time`` (s), ``is_gamma``, ``pointing`` (deg), and by reconstructor
        ``ra``, ``dec``, ``alt``, ``az`` (rad), ``gammaness``, ``energy`` (TeV). The network
        separates better, directions are equal.
    """
    rng = np.random.default_rng(seed)
    return [run(rng, first + i, i, n_gamma, offset_deg) for i in range(n_runs)]


def run(rng, obs_id, number, n_gamma, offset_deg):
    """One run."""
    pointing = CRAB[0], CRAB[1] + offset_deg * (-1) ** number
    waits = DEAD_S + rng.exponential(1 / RATE_HZ - DEAD_S, int(1.3 * RATE_HZ * RUN_S))
    time = np.cumsum(waits)
    time = START + number * 1200 + time[time < RUN_S]
    n = len(time)
    is_gamma = np.zeros(n, bool)
    is_gamma[rng.choice(n, n_gamma, replace=False)] = True
    # background fills a disc around the pointing evenly
    radius, angle = 1.2 * np.sqrt(rng.uniform(size=n)), rng.uniform(0, 2 * np.pi, n)
    east, north = radius * np.cos(angle), pointing[1] + radius * np.sin(angle)
    east[is_gamma], north[is_gamma] = 0, CRAB[1]
    noise = SPREAD_DEG * rng.standard_normal((2, n)) * is_gamma
    dec = np.deg2rad(north + noise[1])
    ra = np.deg2rad(CRAB[0]) + np.deg2rad(east + noise[0]) / np.cos(dec)
    alt, az = horizontal(ra, dec, time)
    seen = rng.uniform(size=n)
    scores = {"ref": np.where(is_gamma, seen ** (1 / 2), 1 - (1 - seen) ** (1 / 2))}
    scores["dl"] = np.where(is_gamma, seen ** (1 / 6), 1 - (1 - seen) ** (1 / 3))
    energy = 0.05 * (1 - rng.uniform(size=n)) ** (-1 / 1.6)
    return SimpleNamespace(
        obs_id=obs_id, time=time, is_gamma=is_gamma, pointing=pointing, ra=ra, dec=dec, alt=alt,
        az=az, gammaness=scores, energy=energy, intensity=2000 * energy,
        event_type=np.full(n, 32), valid=np.ones(n, bool),
    )  # fmt: skip


def horizontal(ra, dec, time):
    """Altitude and azimuth (rad) by astropy, without interpolation."""
    frame = AltAz(obstime=Time(time, format="unix"), location=SITE)
    place = ICRS(ra=ra * u.rad, dec=dec * u.rad).transform_to(frame)
    return place.alt.rad, place.az.rad


def tracking(one, time):
    """Where the telescope looks at given times."""
    # exact each 5 s, which a line between follows to 0.01 arcsec
    when = np.arange(time[0] - 5, time[-1] + 10, 5.0)
    alt, az = horizontal(*(np.full(len(when), np.deg2rad(c)) for c in one.pointing), when)
    return np.interp(time, when, alt), np.interp(time, when, np.unwrap(az))


def write_ctapipe(path, one, monitoring=True, groups=GROUPS):
    """Write a run as ctapipe does; ``monitoring``: pointing by time, else in the run's block."""
    n = len(one.time)
    keys = {"obs_id": np.full(n, one.obs_id), "event_id": np.arange(n)}
    trigger = Table(keys | {"event_type": one.event_type})
    trigger["time"] = Time(one.time, format="unix")
    trigger["tels_with_trigger"] = np.tile([True, False, False, False], (n, 1))
    write_table(trigger, path, "/dl1/event/subarray/trigger")
    images = Table(keys | {"tel_id": np.ones(n, int)})
    write_table(images, path, "/dl1/event/telescope/trigger")
    images["hillas_intensity"] = one.intensity
    write_table(images, path, "/dl1/event/telescope/parameters/tel_001")
    for name, prefixes in PREFIXES.items():
        parts = {
            "energy": {"energy": one.energy * u.TeV},
            "geometry": {"alt": one.alt * u.rad, "az": one.az * u.rad},
            "gammaness": {"prediction": one.gammaness[name]},
        }
        for part, columns in parts.items():
            prefix = prefixes[part]
            columns = {f"{prefix}_{k}": v for k, v in (columns | {"is_valid": one.valid}).items()}
            write_table(Table(keys | columns), path, f"/dl2/event/subarray/{groups[part]}/{prefix}")
    block = {
        "obs_id": [one.obs_id], "subarray_pointing_lat": [one.pointing[1]] * u.deg,
        "subarray_pointing_lon": [one.pointing[0]] * u.deg, "subarray_pointing_frame": [1],
    }  # fmt: skip
    write_table(Table(block), path, "/configuration/observation/observation_block")
    if monitoring:
        time = np.arange(one.time[0] - 5, one.time[-1] + 6, 1.0)
        alt, az = tracking(one, time)
        table = Table({"azimuth": az * u.rad, "altitude": alt * u.rad})
        table["time"] = Time(time, format="unix")
        write_table(table, path, "/dl0/monitoring/telescope/pointing/tel_001")
    array = SubarrayDescription.from_hdf(DEMO)
    array.reference_location = SITE
    array.to_hdf(path)


def write_lstchain(path, runs, layout, reconstruction="dl", old=False):
    """Write runs as lstchain does: ``layout`` "table", or "fixed" of pandas; ``old``: v0.5."""
    columns = {}
    for one in runs:
        n = len(one.time)
        alt, az = tracking(one, one.time)
        mine = {
            "obs_id": np.full(n, one.obs_id), "event_id": np.arange(n), "dragon_time": one.time,
            "reco_energy": one.energy, "reco_alt": one.alt, "reco_az": one.az, "alt_tel": alt,
            "az_tel": az, "gammaness": one.gammaness[reconstruction], "intensity": one.intensity,
            "event_type": one.event_type, "delta_t": np.append(0, np.diff(one.time)),
        }  # fmt: skip
        for name, values in mine.items():
            columns.setdefault(name, []).append(values)
    columns = {name: np.concatenate(values) for name, values in columns.items()}
    if old:
        del columns["event_type"], columns["delta_t"]
    with tables.open_file(path, "w") as h5:
        (fixed if layout == "fixed" else structured)(h5, columns)


def structured(h5, columns):
    """One table of all columns."""
    rows = np.rec.fromarrays(list(columns.values()), names=list(columns))
    parent, name = KEY.rsplit("/", 1)
    h5.create_table(parent, name, rows, createparents=True)


def fixed(h5, columns):
    """Frame as pandas writes it: an array for all columns of a type, with their names."""
    parent, name = KEY.rsplit("/", 1)
    group = h5.create_group(parent, name, createparents=True)
    h5.create_array(group, "axis0", np.array([c.encode() for c in columns]))
    kinds = {"f": [], "i": []}
    for column, values in columns.items():
        kinds[values.dtype.kind].append(column)
    for i, names in enumerate(kinds.values()):
        h5.create_array(group, f"block{i}_items", np.array([c.encode() for c in names]))
        h5.create_array(group, f"block{i}_values", np.stack([columns[c] for c in names], axis=1))
    # a block of objects: pandas pickles them
    h5.create_array(group, "block2_items", np.array([b"tel_name"]))
    h5.create_vlarray(group, "block2_values", tables.ObjectAtom()).append(["LST"])
