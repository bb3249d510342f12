"""Showers simulated straight into arrays, without ctapipe: for nodes that have only torch.

``python -m ctapipe_gammalearn.training.simulated run.shower.yaml folder --jobs 8``
"""

import argparse
import hashlib
import itertools
import json
import logging
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..exceptions import GammaLearnError, TrainingError
from ..fingerprints import shower_prints
from ..lattice import CameraLattice
from ..simulation.array import ARRAYS, built_in_array
from ..simulation.events import Simulator
from ..simulation.run import RunConfig, read_run
from .arrays import EVENT_DTYPE, write_arrays
from .selection import Cleaning, fill_summaries
from .split import shower_keys
from .targets import camera_direction, tilted_impact

__all__ = ["convert", "main", "split_run"]

log = logging.getLogger(__name__)

CHUNK = 1024  # images written at once
# what the files of ctapipe-gammalearn-simulate keep, so that both kinds of arrays are alike
CHARGE_STEPS, TIME_STEPS = 5.0, 4.0  # per p.e. and per ns
EX_USAGE, EX_IOERR = 2, 74


def convert(run, folder, *, camera=None, shower=None, progress=None):
    """Simulate a run and write its images as an array folder.

    Parameters
    ----------
    run : RunConfig or path-like
        Of a built-in array.
    folder : path-like
        Written completely or not at all; must not exist.
    camera : str, optional
        Only telescopes with this camera.
    shower : Cleaning or nn.InputSettings, optional
        Thresholds for ``intensity``, ``n_pixels`` and ``leakage``.
    progress : callable, optional
        Called without arguments after every shower.

    Returns
    -------
    ImageArrays
        The same as from the DL1 file of this run, with nothing of ctapipe.

    Raises
    ------
    TrainingError
        Several cameras, an array from a file, or no triggered event.
    SimulationError
        The run description is wrong.
    """
    name = f"obs_{run.obs_id}" if isinstance(run, RunConfig) else Path(run).name
    run = run if isinstance(run, RunConfig) else read_run(run)
    if run.array not in ARRAYS:
        raise TrainingError(f"{name}: array {run.array!r} needs ctapipe; use {', '.join(ARRAYS)}")
    array = built_in_array(run.array)
    telescopes = _choose(name, array, camera)
    first = array.tel_ids.index(min(telescopes))
    model, optics = array.cameras[first], array.optics[first]
    lattice = CameraLattice.from_positions(*model.plane.T)
    cleaning = Cleaning() if shower is None else shower
    simulator = Simulator(run, array)
    simulator.on_shower = progress
    prints = []
    meta = {
        "camera": model.name,
        "focal_length_m": optics.effective_focal_length,
        "shape": lattice.shape,
        "cleaning": {
            name: getattr(cleaning, name)
            for name in ("picture_pe", "boundary_pe", "min_neighbours")
        },
        "sources": [_source(name, run, telescopes)],
    }
    blocks = _blocks(simulator, telescopes, lattice, cleaning, prints)
    return write_arrays(
        folder, blocks, model.plane, meta, lambda: np.unique(np.concatenate(prints))
    )


def _choose(name, array, camera):
    """Positions (m) by tel_id of the telescopes with one camera."""
    kinds = {c.name for c in array.cameras}
    if camera is None and len(kinds) > 1:
        raise TrainingError(
            f"{name}: several cameras ({', '.join(sorted(kinds))}); choose one by --camera"
        )
    if camera is not None and camera not in kinds:
        raise TrainingError(f"{name}: no camera {camera}; known: {', '.join(sorted(kinds))}")
    return {
        tel_id: position
        for tel_id, position, c in zip(array.tel_ids, array.positions, array.cameras, strict=True)
        if camera in (None, c.name)
    }


def _source(name, run, telescopes):
    """Record of a run, as that of a DL1 file; also its seed and first shower."""
    values = run.to_dict()
    text = json.dumps(values, sort_keys=True)
    return {
        "file": name,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "obs_ids": [run.obs_id],
        "tel_ids": list(telescopes),
        "primary": run.primary,
        "spectral_index": run.spectral_index,
        "energy_TeV": [run.energy_min, run.energy_max],
        "viewcone_deg": list(run.viewcone),
        "pointing_alt_az_deg": [run.pointing_alt, run.pointing_az % 360],
        "nsb": list(run.nsb),
        "seed": run.seed,
        "showers": [run.first_shower, run.n_showers],
    }


def _blocks(simulator, telescopes, lattice, cleaning, prints):
    """Yield (image, peak_time, events) of all triggered telescopes; collect the showers."""
    rows = []
    for event in simulator.events():
        prints.append(_prints(event))
        for tel_id in sorted(telescopes.keys() & event.telescopes.keys()):
            rows.append((event, tel_id))
        if len(rows) >= CHUNK:
            yield _block(rows, simulator.run, telescopes, lattice, cleaning)
            rows = []
    if rows:
        yield _block(rows, simulator.run, telescopes, lattice, cleaning)


def _prints(event):
    """Fingerprint of the shower of an event, in units of DL1 files."""
    values = event.energy, np.rad2deg(event.alt), np.rad2deg(event.az), event.h_first_int
    return shower_prints(*(np.array([value]) for value in values))


def _block(rows, run, telescopes, lattice, cleaning):
    """Arrays of a list of (event, tel_id)."""
    images = [event.telescopes[tel_id] for event, tel_id in rows]
    image = np.round(np.stack([i.image for i in images]) * CHARGE_STEPS) / CHARGE_STEPS
    peak_time = np.round(np.stack([i.peak_time for i in images]) * TIME_STEPS) / TIME_STEPS

    def column(name):
        return np.array([getattr(event, name) for event, _ in rows])

    pointing = np.deg2rad([run.pointing_alt, run.pointing_az % 360])
    events = np.zeros(len(rows), EVENT_DTYPE)
    events["obs_id"], events["particle"] = run.obs_id, run.primary_id
    events["event_id"] = column("event_id")
    events["tel_id"] = [tel_id for _, tel_id in rows]
    events["shower"] = shower_keys(events["obs_id"], column("energy"))
    events["log10_energy"] = np.log10(column("energy"))
    events["direction"] = camera_direction(column("alt"), column("az"), *pointing)
    positions = np.stack([telescopes[tel_id] for _, tel_id in rows])
    events["impact"] = tilted_impact(column("core_x"), column("core_y"), positions, *pointing)
    fill_summaries(events, image, lattice, cleaning)
    return image, peak_time, events


def split_run(run, n):
    """Divide the showers of a run, as ``ctapipe-gammalearn-simulate`` does.

    Parameters
    ----------
    run : RunConfig
    n : int

    Returns
    -------
    list of RunConfig
        At most ``n`` runs with obs_ids of their own; together they throw the same showers.
    """
    edges = np.linspace(0, run.n_showers, min(n, run.n_showers) + 1).astype(int).tolist()
    return [
        replace(
            run,
            obs_id=run.obs_id + i,
            first_shower=run.first_shower + start,
            n_showers=stop - start,
        )
        for i, (start, stop) in enumerate(itertools.pairwise(edges))
    ]


def main(argv=None):
    """Simulate a run description into ``folder``, or ``folder/00``, ``01``, … with several jobs.

    Returns
    -------
    int
        Exit code: 0 done, 2 wrong input, 74 output cannot be written.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ctapipe_gammalearn.training.simulated", description=__doc__
    )
    parser.add_argument("run", type=Path, help="run description, *.shower.yaml")
    parser.add_argument("folder", type=Path, help="array folder to write")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="processes, one part each")
    parser.add_argument("--camera", help="only telescopes with this camera")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        for folder, n in _simulate(arguments):
            log.info("%s: %d images", folder, n)
    except GammaLearnError as error:
        log.error("%s", error)
        return EX_USAGE
    except OSError as error:
        log.error("%s: cannot be written (%s)", arguments.folder, error.strerror or error)
        return EX_IOERR
    return 0


def _simulate(arguments):
    """Yield folder and number of images of each finished part."""
    run, folder = read_run(arguments.run), arguments.folder
    if arguments.jobs < 2:
        yield folder, len(convert(run, folder, camera=arguments.camera))
        return
    runs = split_run(run, arguments.jobs)
    folders = [folder / f"{i:02d}" for i in range(len(runs))]
    context = multiprocessing.get_context("spawn")  # numba does not survive a fork
    with ProcessPoolExecutor(len(runs), mp_context=context) as pool:
        done = [
            pool.submit(_count, one, part, arguments.camera)
            for one, part in zip(runs, folders, strict=True)
        ]
        for part, future in zip(folders, done, strict=True):
            yield part, future.result()


def _count(run, folder, camera):
    """Convert in another process; returns the number of images."""
    return len(convert(run, folder, camera=camera))


if __name__ == "__main__":
    sys.exit(main())
