"""``ctapipe-gammalearn-train``: from simulated DL1 files to a model file with one command."""

import contextlib
import logging
from dataclasses import replace

from ctapipe.core.traits import Int, List, Path, Unicode
from traitlets import default

from ..exceptions import TrainingError
from .base import InputPath, ModelTool, say

__all__ = ["TrainTool", "main"]

#: what the training tells while it runs
PROGRESS = logging.getLogger(__name__.rpartition(".tools")[0] + ".training")


class TrainTool(ModelTool):
    """Train a network; run the same command again after an interruption."""

    name = "ctapipe-gammalearn-train"
    description = "Train a network on simulated gamma rays and background of one camera."
    examples = """
    ctapipe-gammalearn-train -i gamma.dl1.h5 -i proton.dl1.h5 -o run
    ctapipe-gammalearn-train --config train.yaml -i gamma.dl1.h5 -i proton.dl1.h5 -o run
    ctapipe-gammalearn-train -i new.dl1.h5 -i p.dl1.h5 -o tuned --init-from run/model.safetensors
    """

    inputs = List(
        InputPath(folder_ok=True),
        help="DL1 file with images and simulated truth, or array folder; repeat for more.",
    ).tag(config=True)
    output = Path(
        default_value=None,
        allow_none=True,
        file_ok=False,
        help="Folder of the run; made if its parent exists.",
    ).tag(config=True)
    recipe = InputPath(
        help="YAML file with the recipe; default: train.yaml of the package.",
    ).tag(config=True)
    init_from = InputPath(
        help="Model file to start from, of the same architecture and camera.",
    ).tag(config=True)
    seed = Int(
        default_value=None,
        allow_none=True,
        help="Seed of weights, order and noise; default: the recipe's.",
    ).tag(config=True)
    tel_type = Unicode(
        default_value=None, allow_none=True, help="Only telescopes of this type or camera."
    ).tag(config=True)
    allowed_tels = List(Int(), help="Only these telescopes; repeat for more.").tag(config=True)

    aliases = {
        ("i", "input"): "TrainTool.inputs",
        ("o", "output"): "TrainTool.output",
        ("c", "config"): "TrainTool.recipe",
        "init-from": "TrainTool.init_from",
        "seed": "TrainTool.seed",
        "tel-type": "TrainTool.tel_type",
        "allowed-tels": "TrainTool.allowed_tels",
    }
    flags = {
        "overwrite": (
            {"TrainTool": {"overwrite": True}},
            "Delete the run that the folder holds and start anew.",
        )
    }

    @default("log_level")
    def _default_log_level(self):
        return 30

    def prepare(self):
        """Refuse unusable options, recipe and output before any work."""
        from ..training.fit import check_lightning
        from ..training.settings import Recipe, read_recipe

        check_lightning()
        self._settings = Recipe() if self.recipe is None else read_recipe(self.recipe)
        if self.seed is not None:
            run = replace(self._settings.run, seed=self.seed)
            self._settings = replace(self._settings, run=run)
        if not self.inputs:
            raise TrainingError(f"{self.name}: give DL1 files with -i")
        if self.output is None:
            raise TrainingError(f"{self.name}: give the folder of the run with -o")
        if not self.output.parent.is_dir():
            raise TrainingError(f"{self.output.parent}: no such folder; make it first")

    def work(self):
        """Convert what is not yet converted, then train."""
        from ..training.fit import clear, fit

        self.output.mkdir(exist_ok=True)
        with self._progress():
            images = self._images()
            if self.overwrite:
                clear(self.output)
            model = fit(self._settings, images, self.output, init_from=self.init_from)
        say(model)

    @contextlib.contextmanager
    def _progress(self):
        """Show one line per stage and epoch, but not all that ctapipe tells of itself."""
        if not self.quiet:
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
            PROGRESS.addHandler(handler)
            PROGRESS.setLevel(logging.INFO)
            PROGRESS.propagate = False
        try:
            yield
        finally:
            if not self.quiet:
                PROGRESS.removeHandler(handler)
                PROGRESS.setLevel(logging.NOTSET)
                PROGRESS.propagate = True

    def _images(self):
        """All images; converted files are kept below the run."""
        from ..io.training_files import array_folder
        from ..training.arrays import join
        from ..training.selection import Cleaning

        shower = self._settings.shower
        cleaning = Cleaning(shower.picture_pe, shower.boundary_pe, shower.min_neighbours)
        options = {"tel_type": self.tel_type, "tel_ids": list(self.allowed_tels) or None}
        return join(
            [array_folder(path, self.output, shower=cleaning, **options) for path in self.inputs]
        )


def main():
    """Entry point of the console script."""
    TrainTool().run()
