"""``init``: a randomly initialised model of any camera."""

from ctapipe.core.traits import CaselessStrEnum, Int, Unicode

from ..exceptions import GammaLearnError, ModelFileError
from ..io.cameras import lattice_shape, load_camera, pixel_positions
from ..lattice import CameraLattice
from ..nn import Architecture
from ..nn.architecture import ATTENTIONS, TASKS
from ..weights import random_model, write_model
from ..weights.card import outputs_of
from ..weights.initialise import default_tasks
from ..weights.mapping_table import read_mapping_table
from .base import InputPath, OutputTool, say

__all__ = ["InitModel"]


class InitModel(OutputTool):
    """Write an untrained model for a camera: to train, or to try the chain out."""

    name = "ctapipe-gammalearn-models init"
    description = "Write a randomly initialised model for a camera, marked as untrained."
    examples = "ctapipe-gammalearn-models init --camera LSTCam -o untrained.safetensors"

    camera = Unicode(
        default_value=None,
        allow_none=True,
        help="LSTCam, or a file with a camera: simtel, DL1, or a CameraGeometry table.",
    ).tag(config=True)
    tel_id = Int(
        default_value=None, allow_none=True, help="Telescope of the camera file, if needed."
    ).tag(config=True)
    features = Unicode("16,32,64", help="Channels of each block, such as 16,32,64.").tag(
        config=True
    )
    layers = Int(3, min=1, max=64, help="Residual layers per block.").tag(config=True)
    attention = CaselessStrEnum(ATTENTIONS, "dual", help="Attention after each block.").tag(
        config=True
    )
    ratio = Int(16, min=1, help="Channels per neuron of the squeeze layer.").tag(config=True)
    activation = Unicode("relu", help="relu, gelu, leaky_relu:0.01, elu, silu, tanh.").tag(
        config=True
    )
    norm = CaselessStrEnum(("batch", "none"), "batch", help="Normalisation.").tag(config=True)
    fc_width = Int(256, min=1, max=2**16, help="Hidden width of the heads.").tag(config=True)
    channels = Int(2, min=1, max=2, help="1: charge; 2: charge and peak time.").tag(config=True)
    tasks = Unicode(",".join(TASKS), help="Outputs, a part of this list.").tag(config=True)
    class_ids = Unicode("0,101", help="CORSIKA particle numbers to tell apart.").tag(config=True)
    mapping_table = InputPath(
        help="Interpolation table (.npz): makes the Cartesian variant.",
    ).tag(config=True)
    output_size = Int(
        14, min=1, help="Cartesian: rows and columns of the image before the heads."
    ).tag(config=True)
    seed = Int(0, min=0, help="Seed of the random weights.").tag(config=True)

    aliases = {
        ("o", "output"): "InitModel.output",
        "camera": "InitModel.camera",
        "tel-id": "InitModel.tel_id",
        "features": "InitModel.features",
        "layers": "InitModel.layers",
        "attention": "InitModel.attention",
        "ratio": "InitModel.ratio",
        "activation": "InitModel.activation",
        "norm": "InitModel.norm",
        "fc-width": "InitModel.fc_width",
        "channels": "InitModel.channels",
        "tasks": "InitModel.tasks",
        "class-ids": "InitModel.class_ids",
        "mapping-table": "InitModel.mapping_table",
        "output-size": "InitModel.output_size",
        "seed": "InitModel.seed",
    }

    def work(self):
        """Make and write the model."""
        if self.camera is None:
            raise GammaLearnError(f"{self.name}: give a --camera")
        mapping = None if self.mapping_table is None else read_mapping_table(self.mapping_table)
        tasks = self._tasks()
        architecture = self._architecture(tasks)
        geometry = load_camera(self.camera, self.tel_id)
        shape = lattice_shape(geometry)
        lattice = CameraLattice.from_positions(*pixel_positions(geometry), shape)
        if mapping is not None and mapping.n_pixels != lattice.n_pixels:
            raise ModelFileError(
                f"{self.mapping_table}: for {mapping.n_pixels} pixels, camera {geometry.name} has"
                f" {lattice.n_pixels}"
            )
        model = random_model(
            lattice, geometry.name, architecture, tasks=tasks, mapping=mapping, seed=self.seed
        )
        write_model(self.output, model, self.overwrite)
        self.log.warning("%s is untrained: its predictions mean nothing", self.output)
        say(f"{self.output}: untrained model for {geometry.name} ({lattice.n_pixels} pixels)")

    def _tasks(self):
        """Task section of the card."""
        names = self.tasks.split(",")
        if len(set(names)) != len(names) or not set(names) <= set(TASKS):
            raise GammaLearnError(f"--tasks {self.tasks}: give a part of {','.join(TASKS)}")
        return default_tasks(names, _numbers("--class-ids", self.class_ids))

    def _architecture(self, tasks):
        """Hyper-parameters from the options."""
        features = _numbers("--features", self.features)
        return Architecture(
            variant="indexed" if self.mapping_table is None else "cartesian",
            num_channels=self.channels,
            num_layers=self.layers,
            block_features=features,
            activation=self.activation,
            norm=self.norm,
            attention=self.attention,
            reduced=() if self.attention == "none" else [max(1, c // self.ratio) for c in features],
            fc_width=self.fc_width,
            outputs=outputs_of(tasks),
            output_size=None if self.mapping_table is None else (self.output_size,) * 2,
        )


def _numbers(option, text):
    """Integers of a list such as 16,32,64."""
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise GammaLearnError(f"{option} {text}: give whole numbers such as 16,32") from None
