"""γ-PhysNet: backbone and heads (Jacquemont et al. 2021, doi:10.5220/0010297405340544)."""

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F

from .backbone import Backbone
from .engines import make_engine
from .features import image_axis
from .freeze import freeze
from .layers import BatchNorm, Conv
from .likelihood import AXIS_SIZE, MODE_SIZE, axis_mixture, shift_mixture
from .shower import ShowerInput

__all__ = ["GammaPhysNet"]

#: standard deviations at which scalars are cut off
SCALAR_LIMIT = 6.0
_HEAD = {"class": "classifier"}


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
    shower : InputSettings, optional
        Preparation of the images inside the network; without it they enter as they are.

    Attributes
    ----------
    dropout : float
        Fraction of the trunk's activations dropped in training.
    mapping : Mapping or None
        As given.

    Raises
    ------
    DeviceError
        Unknown engine, or one that does not apply to the variant.
    """

    def __init__(self, architecture, lattice=None, mapping=None, engine="auto", shower=None):
        super().__init__()
        self.architecture = architecture
        self.activation = architecture.make_activation()
        self.dropout = 0.0
        self.mapping = mapping
        self.shower = None if shower is None else ShowerInput(shower, lattice)
        if shower is not None:
            lattice = self.shower.lattice
        self.backbone = Backbone(architecture, make_engine(engine, architecture, lattice, mapping))
        n_features = architecture.block_features[-1]
        if architecture.variant == "cartesian":
            n_flat = n_features * math.prod(architecture.output_size)
        else:
            n_flat = n_features * self.backbone.engine.levels[-1].n_cells
        if architecture.trunk:
            self._add_trunk(n_flat)
        else:
            self._add_heads(n_features, n_flat)
        self.reset_parameters()

    def _add_trunk(self, n_flat):
        """Shared dense layers and linear heads."""
        width, num_scalars = self.architecture.fc_width, self.architecture.num_scalars
        if num_scalars:
            self.scalar_norm = BatchNorm(num_scalars, self.architecture.bn_eps)
        sizes = [n_flat + num_scalars, *[width] * self.architecture.trunk]
        self.trunk = nn.ModuleList(map(nn.Linear, sizes[:-1], sizes[1:]))
        for task, size in self.architecture.outputs.items():
            self.add_module(_HEAD.get(task, task), nn.Linear(width, size))

    def _add_heads(self, n_features, n_flat):
        """Heads of the publication."""
        width, outputs = self.architecture.fc_width, self.architecture.outputs
        if "energy" in outputs:
            self.energy = EnergyHead(n_features, width, outputs["energy"])
        if "impact" in outputs or "direction" in outputs:
            self.fusion = nn.Linear(n_flat, width)
        for task in ("impact", "direction"):
            if task in outputs:
                self.add_module(task, nn.Linear(width, outputs[task]))
        if "class" in outputs:
            self.classifier = nn.Linear(n_flat, outputs["class"])

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
        if self.architecture.trunk:
            self._start_small(generator)

    @torch.no_grad()
    def _start_small(self, generator):
        """Linear heads that begin near zero, the modes of a mixture around the image."""
        for task in self.architecture.outputs:
            layer = getattr(self, _HEAD.get(task, task))
            layer.weight.normal_(std=0.01, generator=generator)
            layer.bias.zero_()
        size = self.architecture.outputs.get("direction", 0)
        if size == AXIS_SIZE:
            self.direction.bias[2] = 1.0
        elif n_modes := size // MODE_SIZE:
            modes = self.direction.bias.view(n_modes, MODE_SIZE)
            angle = 2 * math.pi * torch.arange(n_modes) / n_modes
            modes[:, 1], modes[:, 2] = torch.cos(angle), torch.sin(angle)

    def forward(self, x):
        """Raw outputs of all heads.

        Parameters
        ----------
        x : Tensor, shape (N, num_channels, n_pixels)
            Images in the model's pixel order, all values finite.  With ``shower``: charge
            (p.e.) and peak time (ns).

        Returns
        -------
        dict of str to Tensor, shape (N, n_outputs)
            Keys are the tasks of the architecture; "class" holds logits.
        """
        if self.shower is None:
            return self.heads(self.backbone(x))
        channels, scalars, centre = self.shower(x)
        outputs = self.heads(self.backbone(channels), scalars)
        if "direction" in outputs:
            direction = outputs["direction"].to(centre.dtype)
            if direction.shape[1] == AXIS_SIZE:
                centroid, features = scalars[:, :2], scalars[:, 2:]
                # a round image has no axis to differentiate
                axis = image_axis(features.detach())
                outputs["direction"] = axis_mixture(direction, centroid, axis)
            else:
                outputs["direction"] = shift_mixture(direction, centre)
        return outputs

    def heads(self, features, scalars=None):
        """Outputs of all heads from features (N, C, n_cells) and scalars (N, num_scalars)."""
        outputs = self.architecture.outputs
        heads = {task: getattr(self, _HEAD.get(task, task)) for task in outputs}
        flat = features.flatten(1)  # (N, C·n_cells), channel-major
        if self.architecture.trunk:
            if self.architecture.num_scalars:
                scalars = self.scalar_norm(scalars).clamp(-SCALAR_LIMIT, SCALAR_LIMIT)
                flat = torch.cat([flat, scalars.to(flat.dtype)], 1)
            for layer in self.trunk:
                flat = F.dropout(self.activation(layer(flat)), self.dropout, self.training)
            # a mixed-precision training needs all digits here
            with torch.autocast(flat.device.type, enabled=False):
                return {task: head(flat.to(head.weight.dtype)) for task, head in heads.items()}
        digits = next(next(iter(heads.values())).parameters()).dtype
        with torch.autocast(flat.device.type, enabled=False):
            return self._published_heads(features.to(digits))

    def _published_heads(self, features):
        """Outputs of the heads without a trunk."""
        outputs, flat, result = self.architecture.outputs, features.flatten(1), {}
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

    def frozen(self, reduced=None):
        """Copy for inference only: same outputs, batch norms folded, no gradients.

        Parameters
        ----------
        reduced : torch.dtype, optional
            Keep the weights of convolutions and shared layers in this type, to which
            `torch.autocast` would convert them at each call.
        """
        network = copy.deepcopy(self).eval().requires_grad_(False)
        network.backbone = freeze(network.backbone)
        if reduced is not None:
            for part in (network.backbone, *getattr(network, "trunk", ())):
                for layer in part.modules():
                    if isinstance(layer, Conv | nn.Linear):
                        layer.weight.data = layer.weight.data.to(reduced)
        return network
