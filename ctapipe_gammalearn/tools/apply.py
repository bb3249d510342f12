"""``ctapipe-gammalearn-apply``: DL2 from the images of many DL1 files."""

from ctapipe.core.qualityquery import QualityQuery
from ctapipe.core.traits import Bool, Int, List, Path, Unicode, classes_with_traits, flag
from ctapipe.io import EventSource, metadata
from ctapipe.reco import StereoCombiner
from traitlets import default
from traitlets.config.loader import DeferredConfigList, DeferredConfigString

from ..exceptions import ApplyError
from ..files import remove_strays
from ..io.copied_files import PARTS
from ..reco import GammaPhysNetReconstructor
from .apply_cluster import apply_on_cluster, merge_outputs
from .apply_files import count_images, output_name
from .apply_job import CHUNK_SIZE, apply_file
from .base import InputPath, ModelTool, progress_bar
from .cluster_settings import read_settings
from .farm import signals_as_exit
from .worker import Failure

__all__ = ["ApplyTool", "main"]


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

    cluster = Unicode(
        "", help="Work on a Dask cluster: local, or a YAML file that describes it."
    ).tag(config=True)
    workers = Int(0, min=0, help="Workers of the cluster; 0: as its description says.")
    workers.tag(config=True)
    merge = Path(
        default_value=None, allow_none=True, directory_ok=False, help="Merge all results here."
    ).tag(config=True)

    aliases = {
        ("i", "input"): "ApplyTool.inputs",
        ("o", "output"): "ApplyTool.output",
        "model": "GammaPhysNetReconstructor.model_path",
        ("t", "allowed-tels"): "EventSource.allowed_tels",
        "chunk-size": "ApplyTool.chunk_size",
        "cluster": "ApplyTool.cluster",
        "workers": "ApplyTool.workers",
        "merge": "ApplyTool.merge",
    }
    flags = {
        "cluster": ({"ApplyTool": {"cluster": "local"}}, "Work on a Dask cluster."),
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
        self.farm = read_settings(self.cluster, self.workers) if self.cluster else None
        if self.merge in [*self.jobs, *self.inputs]:
            raise ApplyError(f"{self.merge}: is to be merged itself; choose another name")
        if self.merge is not None and not self.merge.parent.is_dir():
            raise ApplyError(f"{self.merge}: its folder does not exist; make it first")
        if self.farm is None:  # on a cluster a damaged file must not stop the others
            self.n_images = sum(map(count_images, self.inputs))
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
        """Apply to one file after the other, or to many at once."""
        try:
            if self.farm is None:
                self._one_by_one()
            else:
                apply_on_cluster(self.jobs, self.settings(), self.farm, self._report, self.quiet)
            if self.merge is not None:
                new = merge_outputs(self.jobs, self.merge, self.overwrite)
                self.log.info("%s: %s", self.merge, "merged" if new else "complete, skipped")
        except Failure as failure:
            for line in str(failure).splitlines():
                self.log.critical("%s", line)
            raise SystemExit(failure.exit_code) from None

    def _one_by_one(self):
        """Apply in this process."""
        settings = self.settings()
        with signals_as_exit(), progress_bar(self.n_images, " images", self.quiet) as bar:
            for output, path in self.jobs.items():
                self._report(output, apply_file(str(path), str(output), settings, bar.update))

    def _report(self, output, summary):
        """One line on a file."""
        if summary["skipped"]:
            self.log.info("%s: complete, skipped", output)
            return
        self.log.info(
            "%s: %d events, %d of %d images reconstructed, %.1f s, %.0f images/s",
            output,
            summary["events"],
            summary["reconstructed"],
            summary["images"],
            summary["seconds"],
            summary["images"] / summary["seconds"],
        )


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
