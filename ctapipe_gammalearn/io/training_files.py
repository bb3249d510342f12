"""Simulated DL1 files of ctapipe as flat arrays for training."""

import hashlib
import json
import logging
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import tables
from ctapipe.io import TableLoader, read_table

from ..exceptions import GammaLearnError, TrainingError
from ..lattice import CameraLattice
from ..simulation.run import PRIMARIES
from ..training.arrays import EVENT_DTYPE, ImageArrays, finite_images, write_arrays
from ..training.selection import Cleaning, fill_summaries
from ..training.split import shower_keys
from ..training.targets import camera_direction, tilted_impact
from .cameras import lattice_shape, pixel_positions
from .shower_records import file_prints

__all__ = ["array_folder", "content_hash", "convert"]

log = logging.getLogger(__name__)

IMAGES = "/dl1/event/telescope/images"
SHOWERS = "/simulation/event/subarray/shower"
CHUNK = 1024  # images read at once
ROUND = 6  # decimals of values in meta.json


def content_hash(path):
    """SHA-256 of a file, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def array_folder(path, parent, *, shower=None, **options):
    """Open an array folder, or convert a DL1 file into one unless that was done before.

    Parameters
    ----------
    path : path-like
    parent : Path
        Converted files are kept in its folder ``arrays``, named after their content.
    shower : Cleaning, optional
    **options
        For `convert`.

    Returns
    -------
    ImageArrays
    """
    path, cleaning = Path(path), Cleaning() if shower is None else shower
    if path.is_dir():
        return ImageArrays(path)
    key = json.dumps([content_hash(path), options, vars(cleaning)])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    folder = parent / "arrays" / f"{path.name.split('.')[0]}-{digest}"
    if folder.exists():
        return ImageArrays(folder)
    folder.parent.mkdir(exist_ok=True)
    log.info("%s: converting", path)
    return convert(path, folder, shower=cleaning, **options)


def convert(dl1_path, folder, *, tel_type=None, tel_ids=None, shower=None, progress=None):
    """Write images and true values of a DL1 file as an array folder.

    Parameters
    ----------
    dl1_path : path-like
        HDF5 file of ctapipe with images and simulated showers.
    folder : path-like
        Written completely or not at all; must not exist.
    tel_type : str, optional
        Only telescopes of this type ("LST_LST_LSTCam") or camera ("LSTCam").
    tel_ids : iterable of int, optional
        Only these telescopes.
    shower : Cleaning or nn.InputSettings, optional
        Thresholds for ``intensity``, ``n_pixels`` and ``leakage``.
    progress : callable, optional
        Called with the number of images just read.

    Returns
    -------
    ImageArrays

    Raises
    ------
    TrainingError
        No images, no simulated truth, several cameras, damaged file; one line with its name.
    """
    path = Path(dl1_path)
    cleaning = Cleaning() if shower is None else shower
    try:
        with _open(path) as loader:
            telescopes = _choose(loader, tel_type, tel_ids)
            geometry = loader.subarray.tel[telescopes[0]].camera.geometry
            pixels = np.column_stack(pixel_positions(geometry))
            lattice = CameraLattice.from_positions(*pixels.T, lattice_shape(geometry))
            truth = {tel_id: _truth(loader, tel_id) for tel_id in telescopes}
            meta = {
                "camera": geometry.name,
                "focal_length_m": geometry.frame.focal_length.to_value(u.m),
                "shape": lattice.shape,
                "cleaning": {
                    name: getattr(cleaning, name)
                    for name in ("picture_pe", "boundary_pe", "min_neighbours")
                },
                "sources": [_source(path, loader, truth)],
            }
            blocks = _blocks(loader.h5file, truth, lattice, cleaning, progress)
            return write_arrays(
                folder, blocks, pixels, meta, lambda: file_prints(loader.h5file, path)
            )
    except GammaLearnError as error:
        text = str(error)
        text = text if text.startswith((str(path), str(folder))) else f"{path}: {text}"
        raise TrainingError(text) from None
    except (tables.HDF5ExtError, tables.NoSuchNodeError, KeyError) as error:
        reason = " ".join(str(error).split())[-150:] or type(error).__name__
        raise TrainingError(f"{path}: damaged or no DL1 file of ctapipe ({reason})") from None


def _open(path):
    """Loader of a file with images and truth."""
    if not path.is_file():
        raise TrainingError("no such file")
    try:
        with tables.open_file(path, "r") as file:
            has_images, has_truth = IMAGES in file, SHOWERS in file
    except (OSError, tables.HDF5ExtError):
        raise TrainingError("no complete HDF5 file; write it again") from None
    if not has_images:
        raise TrainingError(
            "no DL1 images; run ctapipe-process with --write-images (DataWriter.write_dl1_images)"
        )
    if not has_truth:
        raise TrainingError("no simulated showers; networks are trained on simulations")
    try:
        return TableLoader(path, focal_length_choice="EFFECTIVE")
    except RuntimeError:  # not every file knows effective focal lengths
        return TableLoader(path, focal_length_choice="EQUIVALENT")


def _choose(loader, tel_type, tel_ids):
    """Telescopes with images, all of one camera.

    Returns
    -------
    list of int
    """
    types = {
        int(tel_id): telescope
        for tel_id, telescope in loader.subarray.tel.items()
        if f"{IMAGES}/tel_{tel_id:03d}" in loader.h5file
    }
    known = sorted({str(telescope) for telescope in types.values()})
    if tel_ids is not None:
        tel_ids = set(tel_ids)
        if unknown := tel_ids - set(types):
            raise TrainingError(f"no images of telescope(s) {', '.join(map(str, sorted(unknown)))}")
        types = {tel_id: telescope for tel_id, telescope in types.items() if tel_id in tel_ids}
    if tel_type is not None:
        types = {
            tel_id: telescope
            for tel_id, telescope in types.items()
            if tel_type in (str(telescope), telescope.camera.name)
        }
    if not types:
        raise TrainingError(
            f"no telescope to take images from; the file has {', '.join(known) or 'none'}"
        )
    cameras = {telescope.camera.geometry for telescope in types.values()}
    if len(cameras) > 1:
        raise TrainingError(
            f"several cameras ({', '.join(known)}); choose one by --tel-type: a network is for one"
        )
    return sorted(types)


def _truth(loader, tel_id):
    """Everything but the images of one telescope.

    Returns
    -------
    events : ndarray, shape (n,), EVENT_DTYPE
    rows : dict
        Row of (obs_id, event_id).
    facts : dict
        Simulated energies (TeV) and pointings (deg) for the record.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Cannot merge meta key")
        table = loader.read_telescope_events(
            telescopes=[tel_id], dl1_images=False, dl1_parameters=False, dl1_muons=False,
            dl2=False, simulated=True, true_images=False, true_parameters=False,
            instrument=False, observation_info=False, pointing=True,
        )  # fmt: skip
    if "telescope_pointing_altitude" not in table.colnames:
        raise TrainingError(f"telescope {tel_id}: no pointing in the file")
    alt, az, alt0, az0 = (
        _column(table, name, u.rad)
        for name in (
            "true_alt", "true_az", "telescope_pointing_altitude", "telescope_pointing_azimuth",
        )
    )  # fmt: skip
    energy = _column(table, "true_energy", u.TeV)
    core = [_column(table, f"true_core_{axis}", u.m) for axis in "xy"]
    position = loader.subarray.positions[tel_id].to_value(u.m)
    events = np.zeros(len(table), EVENT_DTYPE)
    for name in ("obs_id", "event_id", "tel_id"):
        events[name] = table[name]
    events["shower"] = shower_keys(events["obs_id"], energy)
    events["particle"] = np.ma.filled(table["true_shower_primary_id"], -9999)
    with np.errstate(divide="ignore", invalid="ignore"):
        events["log10_energy"] = np.log10(energy)
    events["direction"] = camera_direction(alt, az, alt0, az0)
    events["impact"] = tilted_impact(*core, position, alt0, az0)
    keys = zip(events["obs_id"].tolist(), events["event_id"].tolist(), strict=True)
    rows = {key: i for i, key in enumerate(keys)}
    return events, rows, {"pointing": np.rad2deg([np.median(alt0), np.median(az0)])}


def _column(table, name, unit):
    """Values of a column in the given unit, NaN where masked."""
    column = table[name]
    values = np.ma.filled(np.ma.asarray(column, dtype=float), np.nan)
    return values * (u.Unit(column.unit).to(unit) if column.unit is not None else 1.0)


def _source(path, loader, truth):
    """Record of a file: what it is and how it was simulated."""
    runs = loader.read_simulation_configuration()
    events = np.concatenate([events for events, _, _ in truth.values()])
    if not len(events):
        raise TrainingError("no events; give a file with triggered events")
    names = {number: name for name, number in PRIMARIES.items()}
    particles = [names.get(n, str(n)) for n in np.unique(events["particle"]).tolist()]
    index = np.unique(np.asarray(runs["spectral_index"], dtype=float))
    pointing = next(iter(truth.values()))[2]["pointing"]

    def limits(low, high, unit):
        values = (_column(runs, low, unit).min(), _column(runs, high, unit).max())
        return [round(float(value), ROUND) for value in values]

    return {
        "file": path.name,
        "sha256": content_hash(path),
        "obs_ids": np.unique(events["obs_id"]).tolist(),
        "tel_ids": list(truth),
        "primary": particles[0] if len(particles) == 1 else particles,
        "spectral_index": float(index[0]) if len(index) == 1 else None,
        "energy_TeV": limits("energy_range_min", "energy_range_max", u.TeV),
        "viewcone_deg": limits("min_viewcone_radius", "max_viewcone_radius", u.deg),
        "pointing_alt_az_deg": [round(float(value), ROUND) for value in pointing],
    }


def _blocks(file, truth, lattice, cleaning, progress):
    """Yield (image, peak_time, events) of all telescopes, decoded, a chunk at a time."""
    for tel_id, (events, rows, _) in truth.items():
        node = file.get_node(f"{IMAGES}/tel_{tel_id:03d}")
        if missing := {"image", "peak_time"} - set(node.colnames):
            raise TrainingError(f"telescope {tel_id}: no column {', '.join(sorted(missing))}")
        if node.coldtypes["image"].shape and node.coldescrs["image"].shape != (lattice.n_pixels,):
            raise TrainingError(
                f"telescope {tel_id}: images of shape {node.coldescrs['image'].shape}, the camera"
                f" has {lattice.n_pixels} pixels"
            )
        for start in range(0, node.nrows, CHUNK):
            table = read_table(file, node._v_pathname, start, min(start + CHUNK, node.nrows))
            keys = zip(table["obs_id"].tolist(), table["event_id"].tolist(), strict=True)
            row = np.array([rows[key] for key in keys])
            image, peak_time = np.asarray(table["image"]), np.asarray(table["peak_time"])
            block = events[row]
            fill_summaries(block, finite_images(image, peak_time)[0], lattice, cleaning)
            yield image, peak_time, block
            if progress is not None:
                progress(len(row))
