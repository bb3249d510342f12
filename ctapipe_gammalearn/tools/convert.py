"""``convert``: GammaLearn checkpoints to model files."""

from pathlib import Path as FilePath

from ctapipe.core.traits import CaselessStrEnum, Float, Int, Unicode

from ..exceptions import CheckpointError
from ..io.cameras import load_camera, pixel_positions
from ..weights import write_model
from ..weights.gammalearn_convert import convert_checkpoint
from ..weights.gammalearn_facts import DIRECTIONS, Facts, parse_class_ids, read_hints
from ..weights.mapping_table import read_mapping_table
from .base import InputPath, OutputTool, say

__all__ = ["ConvertCheckpoint"]


def _text(help_text):
    """Optional text trait."""
    return Unicode(default_value=None, allow_none=True, help=help_text).tag(config=True)


def _number(help_text):
    """Optional number trait."""
    return Float(default_value=None, allow_none=True, help=help_text).tag(config=True)


def _file(help_text):
    """Optional input file trait."""
    return InputPath(help=help_text).tag(config=True)


class ConvertCheckpoint(OutputTool):
    """Convert a GammaLearn checkpoint (0.7 to 0.16) to a model file.

    Nothing in the checkpoint is executed.  What it does not say must be given.
    """

    name = "ctapipe-gammalearn-models convert"
    description = "Convert a GammaLearn checkpoint to a model file."
    examples = (
        "ctapipe-gammalearn-models convert last.ckpt -o model.safetensors --camera LSTCam"
        " --gammalearn-version 0.15 --activation relu --class-ids 0,101"
    )
    n_arguments = (1, 1)

    camera = _text("Camera, pixels in the checkpoint's order: LSTCam, or a file (see io.cameras).")
    tel_id = Int(
        default_value=None, allow_none=True, help="Telescope of the camera file, if needed."
    ).tag(config=True)
    activation = _text("Activation: relu, gelu, leaky_relu:0.01, elu, silu, tanh.")
    direction = CaselessStrEnum(
        DIRECTIONS,
        default_value=None,
        allow_none=True,
        help="Direction outputs: (alt, az) minus pointing (rad), or camera-frame position (m).",
    ).tag(config=True)
    class_ids = _text("Particle numbers (CORSIKA) of the class outputs in order, such as 0,101.")
    nan_time = _number("Peak time (ns) that replaced NaN in training: 0 or -20.")
    focal_length = _number("Equivalent focal length (m) behind direction camera-metre.")
    class_output = CaselessStrEnum(
        ("logits", "log_softmax"),
        default_value=None,
        allow_none=True,
        help="Kind of class outputs; default: by the names of the tensors.",
    ).tag(config=True)
    gammalearn_version = _text("Version of GammaLearn; fills in what it implies.")
    settings_json = _file("<experiment>_settings.json beside the checkpoint, for hints.")
    mapping_table = _file("Interpolation of a Cartesian network, .npz.")

    aliases = {
        ("o", "output"): "ConvertCheckpoint.output",
        "camera": "ConvertCheckpoint.camera",
        "tel-id": "ConvertCheckpoint.tel_id",
        "activation": "ConvertCheckpoint.activation",
        "direction": "ConvertCheckpoint.direction",
        "class-ids": "ConvertCheckpoint.class_ids",
        "nan-time": "ConvertCheckpoint.nan_time",
        "focal-length": "ConvertCheckpoint.focal_length",
        "class-output": "ConvertCheckpoint.class_output",
        "gammalearn-version": "ConvertCheckpoint.gammalearn_version",
        "settings-json": "ConvertCheckpoint.settings_json",
        "mapping-table": "ConvertCheckpoint.mapping_table",
    }

    def work(self):
        """Convert, print every assumption, write."""
        path = FilePath(self.extra_args[0])
        if self.camera is None:
            raise CheckpointError(f"{path}: pixel positions are not in it; give its --camera")
        geometry = load_camera(self.camera, self.tel_id)
        hints = {} if self.settings_json is None else read_hints(self.settings_json)
        facts = self._facts()
        for name, hint in hints.items():
            given = getattr(facts, name)
            given = ",".join(map(str, given)) if isinstance(given, tuple) else given
            if given and not (hint.startswith(given) or given.startswith(hint)):
                self.log.warning("%s: the settings file says %s, given is %s", name, hint, given)
        model = convert_checkpoint(
            path,
            (geometry.name, *pixel_positions(geometry)),
            facts,
            mapping=None if self.mapping_table is None else read_mapping_table(self.mapping_table),
            hints=hints,
        )
        model = write_model(self.output, model, self.overwrite)
        for line in model.card.provenance["assumed"]:
            say(f"assumed: {line}")
        say(f"{self.output}: written, weights sha256 {model.card.weights_sha256}")

    def _facts(self):
        """Facts from the options."""
        return Facts(
            activation=self.activation,
            direction=self.direction,
            class_ids=None if self.class_ids is None else parse_class_ids(self.class_ids),
            nan_time=self.nan_time,
            focal_length_m=self.focal_length,
            class_output=self.class_output,
            gammalearn=self.gammalearn_version,
        )
