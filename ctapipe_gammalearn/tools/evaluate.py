"""``ctapipe-gammalearn-evaluate``: how good models are, next to other reconstructions."""

import numpy as np
from ctapipe.core.traits import Float, Int, List, Path, Unicode
from traitlets import default

from ..exceptions import TrainingError
from .base import InputPath, ModelTool, say

__all__ = ["EvaluateTool", "main"]

SHOWN = ("n_gamma", "n_background", "auc", "background_left", "psi68", "energy_bias")
SHOWN = (*SHOWN, "energy_resolution", "median_abs_ln")


class EvaluateTool(ModelTool):
    """Tables and figures of models and DL2 files on the same simulated images."""

    name = "ctapipe-gammalearn-evaluate"
    description = "Compare models with one another and with DL2 of the same simulated images."
    examples = """
    ctapipe-gammalearn-evaluate -i gamma.dl1.h5 -i proton.dl1.h5 -m model.safetensors -o out
    ctapipe-gammalearn-evaluate -i gamma.dl1.h5 -i proton.dl1.h5 -m a.safetensors \\
        --dl2 forest/gamma.dl2.h5 --dl2 forest/proton.dl2.h5 -o out
    """

    inputs = List(
        InputPath(folder_ok=True),
        help="DL1 file with images and simulated truth, or array folder; repeat for more.",
    ).tag(config=True)
    models = List(InputPath(), help="Model file; repeat for more.").tag(config=True)
    dl2 = List(
        InputPath(),
        help="DL2 file with other reconstructions of the same images; repeat for more.",
    ).tag(config=True)
    dl2_prefixes = Unicode(
        "RandomForestRegressor,disp,RandomForestClassifier",
        help="Prefixes of energy, direction and gammaness in the DL2 files.",
    ).tag(config=True)
    dl2_name = Unicode("Random Forest", help="What to call the DL2 files in tables.").tag(
        config=True
    )
    output = Path(
        default_value=None,
        allow_none=True,
        file_ok=False,
        help="Folder for tables and figures; made if its parent exists.",
    ).tag(config=True)
    min_intensity = Float(50.0, help="Least charge of the cleaned image, p.e.").tag(config=True)
    efficiency = Float(0.7, help="Fraction of gammas kept by the gammaness cut.").tag(config=True)
    replicas = Int(200, min=2, help="Bootstrap replicas for the uncertainties.").tag(config=True)
    tel_type = Unicode(
        default_value=None, allow_none=True, help="Only telescopes of this type or camera."
    ).tag(config=True)

    aliases = {
        ("i", "input"): "EvaluateTool.inputs",
        ("m", "model"): "EvaluateTool.models",
        ("o", "output"): "EvaluateTool.output",
        "dl2": "EvaluateTool.dl2",
        "dl2-prefixes": "EvaluateTool.dl2_prefixes",
        "dl2-name": "EvaluateTool.dl2_name",
        "min-intensity": "EvaluateTool.min_intensity",
        "efficiency": "EvaluateTool.efficiency",
        "replicas": "EvaluateTool.replicas",
        "tel-type": "EvaluateTool.tel_type",
    }
    flags = {
        "overwrite": ({"EvaluateTool": {"overwrite": True}}, "Replace tables and figures."),
    }

    @default("log_level")
    def _default_log_level(self):
        return 30

    def prepare(self):
        """Refuse unusable options, models and output before images are read."""
        from ..inference import Predictor

        if not self.inputs:
            raise TrainingError(f"{self.name}: give DL1 files with -i")
        if not self.models and not self.dl2:
            raise TrainingError(f"{self.name}: give models with -m, or DL2 files with --dl2")
        if self.output is None or not self.output.parent.is_dir():
            raise TrainingError(f"{self.name}: give a folder with -o; its parent must exist")
        if (self.output / "intensity.ecsv").exists() and not self.overwrite:
            raise TrainingError(f"{self.output}: holds an evaluation; use --overwrite")
        if not 0 < self.efficiency < 1:
            raise TrainingError(f"--efficiency {self.efficiency:g}: give a fraction below 1")
        self._prefixes = [word.strip() for word in self.dl2_prefixes.split(",")]
        if len(self._prefixes) != 3:
            raise TrainingError("--dl2-prefixes: give three, as in ENERGY,DIRECTION,GAMMANESS")
        names = _names(self.models)
        self._predictors = {n: Predictor(m) for n, m in zip(names, self.models, strict=True)}

    def work(self):
        """Predict, compare, write."""
        from ..io.training_files import array_folder
        from ..training.comparison import common_images, compare
        from ..training.selection import Selection, select
        from .evaluation_input import from_dl2, from_model

        self.output.mkdir(exist_ok=True)
        arrays = [array_folder(path, self.output, tel_type=self.tel_type) for path in self.inputs]
        notes = self._overlaps(arrays)
        cut = Selection(min_intensity=self.min_intensity)
        events = [part.events[select(part.events, cut)] for part in arrays]
        if not sum(map(len, events)):
            raise TrainingError(f"{self.inputs[0]}: no image passes the cuts")
        methods = {}
        if self.dl2:
            methods[self.dl2_name] = from_dl2(self.dl2, self._prefixes, np.concatenate(events))
        for name, predictor in self._predictors.items():
            self.log.info("%s: predicting %d images", name, sum(map(len, events)))
            methods[name] = from_model(predictor, arrays, cut)
        valid = common_images(methods)
        for name, results in methods.items():
            if lost := int((~results.valid).sum()):
                notes.append(f"{name}: {lost} of {len(valid)} images without a valid prediction")
                self.log.warning("%s; they are left out for all methods", notes[-1])
        methods = {name: results.take(valid) for name, results in methods.items()}
        groups = np.concatenate(events)["shower"][valid]
        tables = compare(methods, groups, efficiency=self.efficiency, n_bootstrap=self.replicas)
        self._write(methods, tables, notes)

    def _overlaps(self, arrays):
        """Warn of test images that a model may know by heart."""
        from ..training.comparison import overlaps

        sources, notes = [s for part in arrays for s in part.meta["sources"]], []
        for name, predictor in self._predictors.items():
            for note in overlaps((predictor.card.training or {}).get("samples"), sources):
                notes.append(f"{name}: {note}")
                self.log.error("NOT A FAIR TEST of %s", notes[-1])
        return notes

    def _write(self, methods, tables, notes):
        """Tables and figures; a summary for the reader."""
        from ..training.figures import draw_all
        from .evaluation_output import print_summary, write_tables

        write_tables(self.output, tables, {"notes": notes, "efficiency": self.efficiency})
        draw_all(self.output, methods, tables)
        print_summary(tables["intensity"], SHOWN)
        say(f"{self.output}: tables (*.ecsv) and figures (*.png)")


def _names(paths):
    """Short distinct names of model files."""
    stems = [path.name.removesuffix(".safetensors") for path in paths]
    if len(set(stems)) < len(stems):
        stems = [f"{path.parent.name}/{stem}" for path, stem in zip(paths, stems, strict=True)]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]


def main():
    """Entry point of the console script."""
    EvaluateTool().run()
