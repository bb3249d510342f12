"""What the processes of ``ctapipe-gammalearn-simulate`` do: one run, or one merged file.

Every function here runs in a process of its own pool, one after the other.
"""

import os
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import tables
import yaml

from ..compat import CTAPIPE_VERSION
from ..files import part_name, whole_file
from ..io.simulated_files import append_runs, has_events, set_mark
from .worker import EX_IOERR, Failure, count

__all__ = [
    "mark_settings",
    "merge_files",
    "simulate_run",
    "write_run",
]


@contextmanager
def _new_file(path):
    """Yield the name of a part file, which is deleted if anything goes wrong."""
    part = part_name(path)
    try:
        yield part
    except (OSError, tables.HDF5ExtError) as error:
        part.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or "the disk may be full"
        raise Failure(f"{path}: cannot be written ({reason})", EX_IOERR) from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_run(path, run, array_folder="."):
    """Write a run description; an array file is named relative to the folder of ``path``."""
    values = run.to_dict()
    array = Path(array_folder) / run.array
    if array.is_file():
        values["array"] = os.path.relpath(array, path.parent)
    with whole_file(path) as part:
        part.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def simulate_run(path, run, settings, images_only):
    """Simulate a run into a file beside ``path`` and mark it.

    Parameters
    ----------
    path : Path
        Final name of the file.
    run : RunConfig
    settings : dict
        For the mark.
    images_only : bool
        Leave out the image parameters.

    Returns
    -------
    Path
        File that waits for verification.

    Raises
    ------
    Failure
    """
    description = path.with_name(path.name.removesuffix(".dl1.h5") + ".shower.yaml")
    write_run(description, run)
    with _new_file(path) as part:
        simulate_images(description, part) if images_only else _process(description, part, run)
        set_mark(part, settings)
    description.unlink(missing_ok=True)
    return part


def configuration():
    """Configuration of the package for the tools and components of ctapipe."""
    with as_file(files("ctapipe_gammalearn") / "resources/simulate.yaml") as path:
        return yaml.safe_load(path.read_text(encoding="utf-8"))


def _process(description, part, run):
    """Let ctapipe's own tool simulate, compute parameters and write."""
    from ctapipe import fitting
    from ctapipe.core import run_tool
    from ctapipe.tools.process import ProcessorTool
    from traitlets.config import Config

    from ..io import shower_source  # noqa: F401  known to EventSource, plugin or not

    class Processor(ProcessorTool):
        """Counts showers on the way."""

        name = "ctapipe-process"

        def start(self):
            self.event_source.simulator.on_shower = count
            super().start()

    # ctapipe draws from one generator in each process: start as a fresh process would
    fitting.FIT_RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state
    argv = [
        *("-i", str(description.resolve()), "-o", str(part.resolve()), "--log-level=ERROR"),
        f"--provenance-log={os.devnull}",
    ]
    argv += ["--write-showers"] if run.min_tel > 1 else []
    tool = Processor(config=Config(configuration()))
    code = run_tool(tool, argv=argv, cwd=part.parent, raises=False)
    if code:
        raise Failure(f"{part.name}: ctapipe-process ended with code {code}; its message is above")


def simulate_images(description, part):
    """Simulate and write images and truth, without parameters."""
    from ctapipe.core import Provenance
    from traitlets.config import Config

    from ..io.image_writer import ImageWriter
    from ..io.shower_source import ShowerSimulationSource

    values = configuration()["DataWriter"] | {"write_dl1_parameters": False}
    config = Config({"DataWriter": values})
    provenance = Provenance()
    provenance.start_activity("ctapipe-gammalearn-simulate")
    try:
        with ShowerSimulationSource(description) as source:
            source.simulator.on_shower = count
            with ImageWriter(source, part, config) as writer:
                for event in source.simulator.events():
                    writer.add(event)
                writer.write_simulated_shower_distributions(source.simulated_shower_distributions)
    finally:
        provenance.finish_activity("ctapipe-gammalearn-simulate")


def merge_files(path, paths, settings):
    """Merge files of one sample into one beside ``path`` and mark it.

    Returns
    -------
    Path
        File that waits for verification.

    Raises
    ------
    Failure
        If ctapipe refuses, for instance files of equal obs_ids, or it cannot be written.
    """
    from ctapipe.core import run_tool
    from ctapipe.io.hdf5merger import CannotMerge
    from ctapipe.tools.merge import MergeTool

    filled = [p for p in paths if has_events(p)] or paths[:1]
    with _new_file(path) as part:
        argv = [str(p.resolve()) for p in filled]
        # ctapipe's own message would be a traceback
        argv += ["-o", str(part.resolve()), "--log-level=50", f"--provenance-log={os.devnull}"]
        try:
            run_tool(MergeTool(), argv=argv, cwd=part.parent)
        except CannotMerge as error:
            raise Failure(f"{path}: cannot be merged ({error}); its parts are kept") from None
        append_runs(part, [p for p in paths if p not in filled])
        set_mark(part, settings)
    return part


def mark_settings(run, images_only):
    """What must be equal for a file to be the one that is asked for.

    Parameters
    ----------
    run : RunConfig
    images_only : bool

    Returns
    -------
    dict
    """
    values = run.to_dict()
    values["array"] = Path(run.array).name
    return {"run": values, "images_only": images_only, "ctapipe": CTAPIPE_VERSION}
