"""``ctapipe-gammalearn-apply``: DL2 from the images of many DL1 files."""

from pathlib import Path as FilePath

from ctapipe.core.qualityquery import QualityQuery
from ctapipe.core.traits import Bool, Int, List, Path, classes_with_traits, flag
from ctapipe.io import EventSource, metadata
from ctapipe.reco import StereoCombiner
from traitlets import default
from traitlets.config.loader import DeferredConfigList, DeferredConfigString

from ..exceptions import ApplyError
from ..io.copied_files import PARTS
from ..io.dl1_chunks import opened
from ..io.simulated_files import remove_strays
from ..reco import GammaPhysNetReconstructor
from .apply_job import CHUNK_SIZE, apply_file
from .base import InputPath, ModelTool, progress_bar
from .farm import signals_as_exit

__all__ = ["ApplyTool", "main", "output_name"]


class ApplyTool(ModelTool):
    """Apply a model to DL1 images; run the same command again after an interruption."""

    name = "ctapipe-gammalearn-apply"
    description = "Apply a model to the images of DL1 files: the DL2 of ctapipe-process, faster."
    examples = """
    ctapipe-gammalearn-apply -i a.dl1.h5 -i b.dl1.h5 -o dl2 --model lst.safetensors
    ctapipe-gammalearn-apply -i a.dl1.h5 -o dl2 -c dl.yaml
    """

    inputs = List(InputPath(), help="DL1 files of ctapipe with images.").tag(config=True)
    output = Path(
        default_value=None,
        allow_none=True,
        file_ok=False,
        help="Folder of the results, which are named *.dl2.h5; made if its parent exists.",
    ).tag(config=True)
    chunk_size = Int(
        CHUNK_SIZE, min=1, help="Images read at once; the results do not depend on it."
    )
    chunk_size.tag(config=True)
    dl1_images = Bool(False, help="Copy the images.").tag(config=True)
    dl1_parameters = Bool(True, help="Copy the image parameters.").tag(config=True)
    true_images = Bool(False, help="Copy the simulated images.").tag(config=True)
    true_parameters = Bool(True, help="Copy the parameters of simulated images.").tag(config=True)

    aliases = {
        ("i", "input"): "ApplyTool.inputs",
        ("o", "output"): "ApplyTool.output",
        "model": "GammaPhysNetReconstructor.model_path",
        ("t", "allowed-tels"): "EventSource.allowed_tels",
        "chunk-size": "ApplyTool.chunk_size",
    }
    flags = {
        **flag("dl1-images", "ApplyTool.dl1_images", "Copy images.", "Leave images out."),
        **flag(
            "dl1-parameters",
            "ApplyTool.dl1_parameters",
            "Copy image parameters.",
            "Leave image parameters out.",
        ),
        **flag(
            "true-images",
            "ApplyTool.true_images",
            "Copy simulated images.",
            "Leave simulated images out.",
        ),
        **flag(
            "true-parameters",
            "ApplyTool.true_parameters",
            "Copy parameters of simulated images.",
            "Leave parameters of simulated images out.",
        ),
        "overwrite": (
            {"ApplyTool": {"overwrite": True}},
            "Replace outputs of other settings; leave out earlier results of the same prefix.",
        ),
    }
    classes = [
        GammaPhysNetReconstructor,
        *classes_with_traits(EventSource),
        *classes_with_traits(QualityQuery),
        *classes_with_traits(StereoCombiner),
        metadata.Contact,
        metadata.Instrument,
    ]

    @default("log_level")
    def _default_log_level(self):
        return 20

    def prepare(self):
        """Refuse unusable input and output before any work."""
        if not self.inputs or self.output is None:
            raise ApplyError(f"{self.name}: give DL1 files with -i and a folder with -o")
        self.jobs = {self.output / output_name(path): path for path in self.inputs}
        if len(self.jobs) < len(self.inputs):
            raise ApplyError(f"{self.name}: two inputs would have outputs of the same name")
        self.n_images = sum(map(_count_images, self.inputs))
        try:
            self.output.mkdir(exist_ok=True)
        except OSError as error:
            raise ApplyError(f"{self.output}: cannot be made ({error.strerror})") from None
        remove_strays(self.output)

    def settings(self):
        """Plain values for `apply_file`."""
        known = {cls.__name__: cls for cls in self.classes}
        config = {name: _plain(section, known.get(name)) for name, section in self.config.items()}
        config.pop(type(self).__name__, None)
        copy = {name: getattr(self, name) for name in PARTS}
        return {
            "config": config,
            "copy": copy,
            "overwrite": self.overwrite,
            "chunk_size": self.chunk_size,
        }

    def work(self):
        """Apply to one file after the other."""
        settings = self.settings()
        with signals_as_exit(), progress_bar(self.n_images, " images", self.quiet) as bar:
            for output, path in self.jobs.items():
                summary = apply_file(str(path), str(output), settings, bar.update)
                if summary["skipped"]:
                    self.log.info("%s: complete, skipped", output)
                    continue
                self.log.info(
                    "%s: %d events, %d of %d images reconstructed, %.1f s, %.0f images/s",
                    output,
                    summary["events"],
                    summary["reconstructed"],
                    summary["images"],
                    summary["seconds"],
                    summary["images"] / summary["seconds"],
                )


def output_name(path):
    """Name of the DL2 file of an input, such as a.dl2.h5 of a.dl1.h5."""
    name = FilePath(path).name
    for ending in (".h5", ".hdf5", ".hdf", ".dl1", ".dl2"):
        name = name.removesuffix(ending)
    return f"{name}.dl2.h5"


def _count_images(path):
    """Stored images of a file; `ApplyError` if it is no HDF5 file."""
    group = PARTS["dl1_images"]
    with opened(path) as file:
        return sum(t.nrows for t in (file.iter_nodes(group, "Table") if group in file else ()))


def _plain(section, cls):
    """Configuration without values that wait for their trait, as those of the command line."""
    traits = cls.class_traits(config=True) if cls is not None else {}
    out = {}
    for name, value in section.items():
        if isinstance(value, DeferredConfigString | DeferredConfigList) and name in traits:
            value = value.get_value(traits[name])
        elif isinstance(value, dict):
            value = _plain(value, None)
        if isinstance(value, set):
            value = sorted(value)
        out[name] = value
    return out


def main():
    """Entry point of the console script."""
    ApplyTool().run()
