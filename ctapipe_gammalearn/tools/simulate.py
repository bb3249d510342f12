"""``ctapipe-gammalearn-simulate``: a data set of simulated air showers with one command."""

import os
from pathlib import Path as FilePath

import yaml
from ctapipe.core.traits import Bool, CaselessStrEnum, Float, Int, Path, Unicode, flag
from traitlets import default

from ..exceptions import SimulationError
from ..io.shower_arrays import load_array
from ..simulation.dataset import PRESETS, plan_dataset
from .base import InputPath, ModelTool, say
from .cluster_settings import read_settings
from .production import Production
from .worker import Failure

__all__ = ["SimulateTool", "main"]


class SimulateTool(ModelTool):
    """Simulate training and test samples; run the same command again after an interruption."""

    name = "ctapipe-gammalearn-simulate"
    description = "Simulate air showers: DL1 files to train, test and compare reconstructions."
    examples = """
    ctapipe-gammalearn-simulate -o data                      # a minute, to see how it works
    ctapipe-gammalearn-simulate -o data --preset standard --images-only
    ctapipe-gammalearn-simulate -o data --array 4LST --samples test_gamma_point,test_proton
    """

    output = Path(
        default_value=None,
        allow_none=True,
        file_ok=False,
        help="Folder of the data set; made if its parent exists.",
    ).tag(config=True)
    preset = CaselessStrEnum(list(PRESETS), "tiny", help="Size of the data set.").tag(config=True)
    array = Unicode(
        "1LST", help="1LST, 4LST, 4LST+MST, or a simtel or HDF5 file whose subarray is taken."
    ).tag(config=True)
    samples = Unicode("", help="Samples to make, such as train_proton,test_proton.").tag(
        config=True
    )
    scale = Float(1.0, help="Factor on the number of showers of the preset.").tag(config=True)
    seed = Int(1, min=0, max=2**40, help="Another seed makes other showers.").tag(config=True)
    jobs = Int(0, min=0, max=4096, help="Processes; 0: one per core.").tag(config=True)
    cluster = Unicode(
        "", help="Work on a Dask cluster: local, or a YAML file that describes it."
    ).tag(config=True)
    images_only = Bool(False, help="Leave out the image parameters: faster.").tag(config=True)
    run_options = InputPath(
        help="YAML file with keys of a run description for all samples, such as nsb: [1, 3].",
    ).tag(config=True)

    aliases = {
        ("o", "output"): "SimulateTool.output",
        "preset": "SimulateTool.preset",
        "array": "SimulateTool.array",
        "samples": "SimulateTool.samples",
        "scale": "SimulateTool.scale",
        "seed": "SimulateTool.seed",
        ("j", "jobs"): "SimulateTool.jobs",
        "cluster": "SimulateTool.cluster",
        "run-options": "SimulateTool.run_options",
    }
    flags = {
        "cluster": ({"SimulateTool": {"cluster": "local"}}, "Work on a Dask cluster."),
        **flag(
            "images-only",
            "SimulateTool.images_only",
            "Write images and truth only.",
            "Write image parameters, too.",
        ),
        "overwrite": ({"SimulateTool": {"overwrite": True}}, "Replace files of other settings."),
    }

    @default("log_level")
    def _default_log_level(self):
        return 30

    def prepare(self):
        """Refuse unusable options and output before any work."""
        plan = self._plan()
        self.settings = read_settings(self.cluster, self.jobs) if self.cluster else None
        self.production = Production(plan, self.output, self.images_only, self.overwrite)

    def _plan(self):
        """Samples, checked down to the telescopes."""
        if self.output is None:
            raise SimulationError(f"{self.name}: give the folder of the data set with -o")
        if not 0 < self.scale <= 1e6:
            raise SimulationError(f"--scale {self.scale:g}: give a positive number")
        options = {}
        if self.run_options is not None:
            options = _read_options(self.run_options)
        names = [name.strip() for name in self.samples.split(",") if name.strip()]
        plan = plan_dataset(self.preset, self.array, self.seed, names, self.scale, options)
        array, _ = load_array(self.array)
        for sample in plan:
            if sample.run.min_tel > array.n_tel and sample.run.array == self.array:
                raise SimulationError(
                    f"min_tel {sample.run.min_tel} is more than the {array.n_tel} telescope(s)"
                )
        return plan

    def work(self):
        """Simulate what is missing."""
        # one thread per process; inherited by the workers
        for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(name, "1")
        try:
            self.production.run(self.jobs or len(os.sched_getaffinity(0)), self.settings)
        except Failure as error:
            for line in str(error).splitlines():
                self.log.critical("%s", line)
            raise SystemExit(error.exit_code) from None
        n, n_new = len(self.production.plan), len(self.production.todo)
        say(f"{self.output}: {n_new} sample(s) simulated, {n - n_new} were there")


def _read_options(path):
    """Keys for all samples from a YAML file."""
    try:
        options = yaml.safe_load(FilePath(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise SimulationError(f"{path}: not a readable YAML file") from None
    if not isinstance(options, dict):
        raise SimulationError(f"{path}: expected lines such as 'nsb: [1, 3]'")
    return options


def main():
    """Entry point of the console script."""
    SimulateTool().run()
