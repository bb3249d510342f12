"""``export``: a model with its preprocessing, for systems without Python."""

from pathlib import Path

from ctapipe.core import ToolConfigurationError

from ..weights import read_model
from .base import OutputTool, say

__all__ = ["ExportModel"]


class ExportModel(OutputTool):
    """Write everything between images and physical quantities to an ONNX or torch file.

    The file is read back and compared with the predictor before it gets its name.
    """

    name = "ctapipe-gammalearn-models export"
    description = "Export a model with its preprocessing to ONNX (*.onnx) or torch.export (*.pt2)."
    examples = "ctapipe-gammalearn-models export model.safetensors -o model.onnx"
    n_arguments = (1, 1)
    suffixes = (".onnx", ".pt2")

    aliases = {("o", "output"): "ExportModel.output"}
    flags = {
        "overwrite": ({"ExportModel": {"overwrite": True}}, "Replace an existing file."),
    }

    def prepare(self):
        """Refuse what cannot be written before the model is read."""
        from ..inference.exported import missing_package

        super().prepare()
        if name := missing_package(self.output):
            raise ToolConfigurationError(
                f"{self.output}: {name} is missing; pip install 'ctapipe_gammalearn[onnx]'"
            )
        self._model = read_model(Path(self.extra_args[0]))

    def work(self):
        """Export, compare, say how well they agree."""
        from ..inference.exported import export_model

        worst = export_model(self.output, self._model)
        say(f"{self.output}: written, differs from the predictor by at most {worst:.0e}")
