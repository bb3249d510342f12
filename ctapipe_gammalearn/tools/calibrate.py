"""``calibrate``: energies and uncertainties of a model, on other simulated gamma rays."""

from pathlib import Path
from tempfile import TemporaryDirectory

from ctapipe.core.traits import List, Unicode

from ..exceptions import TrainingError
from ..weights import read_model, write_model
from .base import InputPath, OutputTool, say

__all__ = ["CalibrateModel"]


class CalibrateModel(OutputTool):
    """Write a model with the bias of its energies and the size of its uncertainties renewed."""

    name = "ctapipe-gammalearn-models calibrate"
    description = "Calibrate energies and uncertainties of a model on simulated gamma rays."
    examples = (
        "ctapipe-gammalearn-models calibrate model.safetensors -i gamma.dl1.h5 -o new.safetensors"
    )
    n_arguments = (1, 1)

    inputs = List(
        InputPath(folder_ok=True),
        help="DL1 file (or array folder) of simulated gammas that the model does not know; repeat"
        " for more.",
    ).tag(config=True)
    tel_type = Unicode(
        default_value=None, allow_none=True, help="Telescope type, if a file has several."
    ).tag(config=True)

    aliases = {
        ("i", "input"): "CalibrateModel.inputs",
        ("o", "output"): "CalibrateModel.output",
        "tel-type": "CalibrateModel.tel_type",
    }
    flags = {
        "overwrite": ({"CalibrateModel": {"overwrite": True}}, "Replace an existing file."),
    }

    def prepare(self):
        """Refuse what cannot be calibrated before images are read."""
        super().prepare()
        if not self.inputs:
            raise TrainingError(f"{self.name}: give DL1 files with -i")
        self._model = read_model(self.extra_args[0])
        if "energy" not in self._model.card.tasks:
            raise TrainingError(f"{self.extra_args[0]}: predicts no energy; nothing to calibrate")

    def work(self):
        """Predict, fit, write."""
        from ..io.training_files import array_folder
        from ..training.arrays import join
        from ..training.outcome import recalibrated

        # the images are needed once
        with TemporaryDirectory(dir=self.output.parent, prefix=".calibrate") as folder:
            images = join(
                [array_folder(p, Path(folder), tel_type=self.tel_type) for p in self.inputs]
            )
            model, n = recalibrated(self._model, images)
        write_model(self.output, model, overwrite=self.overwrite)
        say(f"{self.output}: calibrated on {n} gammas")
