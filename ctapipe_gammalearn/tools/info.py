"""``info`` and ``verify``: what is in a model file, and whether it is sound."""

from pathlib import Path

from ctapipe.core import ToolConfigurationError

from ..exceptions import GammaLearnError
from ..weights import read_model
from .base import ModelTool, say

__all__ = ["ModelInfo", "VerifyModels"]

#: what the training section holds besides plain values; the recipe is only in the file
NESTED = ("samples", "showers", "selection", "recipe", "metrics")


class ModelInfo(ModelTool):
    """Print what a model file says about itself, after a full check."""

    name = "ctapipe-gammalearn-models info"
    description = "Print the model card of a model file."
    examples = "ctapipe-gammalearn-models info model.safetensors"
    n_arguments = (1, 1)

    def work(self):
        """Read and print."""
        path = Path(self.extra_args[0])
        model = read_model(path)
        for key, value in summary(model).items():
            say(f"{key:14s} {value}")


class VerifyModels(ModelTool):
    """Check model files completely: every byte, every tensor, outputs of stored images."""

    name = "ctapipe-gammalearn-models verify"
    description = "Check model files completely."
    examples = "ctapipe-gammalearn-models verify *.safetensors"
    n_arguments = (1, 10**6)

    def work(self):
        """Check all files, then report all that are bad."""
        bad = []
        for path in self.extra_args:
            try:
                model = read_model(path)
                say(f"{path}: ok ({model.card.status}, sha256 {model.sha256})")
            except GammaLearnError as error:
                bad.append(str(error))
        if bad:
            raise ToolConfigurationError("; ".join(bad))


def summary(model):
    """Readable description of a model, by heading."""
    card, lattice = model.card, model.lattice
    net = card.architecture
    n_parameters = sum(p.numel() for p in model.network.parameters())
    lines = {
        "status": card.status,
        "network": f"γ-PhysNet, {net.variant}, {n_parameters} parameters",
        "": f"features {_words(net.block_features)}, {net.num_layers} layers per block,"
        f" {net.attention} attention, {net.activation}, norm {net.norm}, fc width {net.fc_width}",
        "camera": f"{card.camera['name']}, {lattice.n_pixels} {lattice.shape} pixels,"
        f" pitch {1e3 * lattice.pitch_m:.2f} mm, rotation {lattice.rotation_deg:.3f} deg",
        "channels": _words(card.channels),
        "missing values": f"image -> {card.preprocessing['nan_image']:g} p.e.,"
        f" peak_time -> {card.preprocessing['nan_time']:g} ns",
    }
    for task, section in card.tasks.items():
        lines[task] = ", ".join(f"{k} {_words(v)}" for k, v in section.items())
    lines |= {
        "valid for": _filled(card.validity) or "not stated",
        "training": _filled(_flat(card.training or {})) or "not stated",
        **_record(card),
        "made": f"{card.provenance['created']} by {card.provenance['converter']}",
        "GammaLearn": card.provenance["gammalearn"] or "-",
        "assumed": _words(card.provenance["assumed"], "; ") or "nothing",
        "licence": card.licence,
        "citation": _words(card.citation),
        "weights sha256": card.weights_sha256,
        "file sha256": model.sha256,
    }
    return lines


def _flat(section):
    """Entries of a section that are no sections themselves."""
    return {k: v for k, v in section.items() if k not in NESTED}


def _record(card):
    """Lines on how a model was trained, as far as its card knows."""
    training, lines = card.training or {}, {}
    for sample in training.get("samples", ()):
        lines[f"  {sample.get('file', '?')}"] = (
            f"{sample.get('n_images', '?')} images, {sample.get('primary', '?')}, spectral index"
            f" {sample.get('spectral_index')}, sha256 {sample.get('sha256', '?')}"
        )
    if showers := training.get("showers"):
        lines["  showers"] = f"{showers['n']}, with fingerprints to find them in test samples"
    for name in ("selection", "metrics"):
        if values := training.get(name):
            lines[f"  {name}"] = ", ".join(f"{k} {v:.4g}" for k, v in values.items())
    if card.calibration is not None:
        lines["calibration"] = f"{len(card.calibration['log10_energy'])} knots of log10 energy"
    return lines


def _words(value, separator=" "):
    """Text of a list or a single value."""
    return separator.join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _filled(section):
    """Text of the known entries of a section."""
    return ", ".join(f"{k} {_words(v)}" for k, v in section.items() if v not in (None, []))
