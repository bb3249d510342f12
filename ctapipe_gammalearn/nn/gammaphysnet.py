"""γ-PhysNet: backbone and heads (Jacquemont et al. 2021, doi:10.5220/0010297405340544)."""

import copy
import math

import torch
from torch import nn

from .backbone import Backbone
from .engines import make_engine
from .freeze import freeze
from .layers import Conv

__all__ = ["GammaPhysNet"]


class EnergyHead(nn.Module):
    """log10 energy from the mean features."""

    def __init__(self, n_features, fc_width, n_out):
        super().__init__()
        self.en_layer1 = nn.Linear(n_features, fc_width)
        self.en_out = nn.Linear(fc_width, n_out)

    def forward(self, mean, activation):
        """(N, n_features) to (N, n_out)."""
        return self.en_out(activation(self.en_layer1(mean)))


class GammaPhysNet(nn.Module):
    """Multi-task network from images to energy, impact, direction and class.

    Parameters
    ----------
    architecture : Architecture
    lattice : CameraLattice
        For the indexed variant.
    mapping : Mapping
        For the Cartesian variant.
    engine : str
        Name in `ctapipe_gammalearn.nn.engines.ENGINES`.

    Raises
    ------
    DeviceError
        Unknown engine, or one that does not apply to the variant.
    """

    def __init__(self, architecture, lattice=None, mapping=None, engine="auto"):
        super().__init__()
        self.architecture = architecture
        self.activation = architecture.make_activation()
        self.backbone = Backbone(architecture, make_engine(engine, architecture, lattice, mapping))
        n_features = architecture.block_features[-1]
        width, outputs = architecture.fc_width, architecture.outputs
        if architecture.variant == "cartesian":
            n_flat = n_features * math.prod(architecture.output_size)
        else:
            n_flat = n_features * self.backbone.engine.levels[-1].n_cells
        if "energy" in outputs:
            self.energy = EnergyHead(n_features, width, outputs["energy"])
        if "impact" in outputs or "direction" in outputs:
            self.fusion = nn.Linear(n_flat, width)
        for task in ("impact", "direction"):
            if task in outputs:
                self.add_module(task, nn.Linear(width, outputs[task]))
        if "class" in outputs:
            self.classifier = nn.Linear(n_flat, outputs["class"])
        self.reset_parameters()

    def reset_parameters(self, generator=None):
        """Random weights: Kaiming-uniform (fan out) in the backbone, torch's own in heads.

        Parameters
        ----------
        generator : torch.Generator, optional
        """
        for name, module in self.named_modules():
            if isinstance(module, Conv):
                module.reset_parameters(generator)
            elif isinstance(module, nn.Linear):
                n_out, n_in = module.weight.shape
                inside = name.startswith("backbone")
                bound = math.sqrt(6 / n_out) if inside else 1 / math.sqrt(n_in)
                with torch.no_grad():
                    module.weight.uniform_(-bound, bound, generator=generator)
                    module.bias.uniform_(
                        *(s / math.sqrt(n_in) for s in (-1, 1)), generator=generator
                    )

    def forward(self, x):
        """Raw outputs of all heads.

        Parameters
        ----------
        x : Tensor, shape (N, num_channels, n_pixels)
            Images in the model's pixel order, all values finite.

        Returns
        -------
        dict of str to Tensor, shape (N, n_outputs)
            Keys are the tasks of the architecture; "class" holds logits.
        """
        return self.heads(self.backbone(x))

    def heads(self, features):
        """Outputs of all heads from features (N, C, n_cells)."""
        outputs = self.architecture.outputs
        flat = features.flatten(1)  # (N, C·n_cells), channel-major
        result = {}
        if "energy" in outputs:
            result["energy"] = self.energy(features.mean(2), self.activation)
        if hasattr(self, "fusion"):
            fused = self.activation(self.fusion(flat))
        for task in ("impact", "direction"):
            if task in outputs:
                result[task] = getattr(self, task)(fused)
        if "class" in outputs:
            result["class"] = self.classifier(flat)
        return result

    def frozen(self):
        """Copy for inference only: same outputs, batch norms folded, no gradients."""
        network = copy.deepcopy(self).eval().requires_grad_(False)
        network.backbone = freeze(network.backbone)
        return network
