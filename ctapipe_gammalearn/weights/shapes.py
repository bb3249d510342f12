"""The hyper-parameters that the names and shapes of a network's tensors give away."""

import re

from ..exceptions import ModelFileError
from ..nn import Architecture

__all__ = ["architecture_from_shapes"]

_LAYER = re.compile(r"backbone\.block(\d{1,3})_layer(\d{1,3})\.conv_block\.cv2\.weight")
_TRUNK = re.compile(r"trunk\.\d+\.weight")
_HEADS = {
    "energy": "energy.en_out.weight",
    "impact": "impact.weight",
    "direction": "direction.weight",
    "class": "classifier.weight",
}


def architecture_from_shapes(shapes, activation, *, bn_eps=1e-5, fc_width=256, output_size=None):
    """Architecture of a network.

    Parameters
    ----------
    shapes : dict of str to tuple of int
        Shape of each tensor by its canonical name.
    activation, bn_eps, output_size
        Cannot be read off the shapes.
    fc_width : int
        Taken if the network has no hidden layer.

    Returns
    -------
    Architecture
        Whether *all* shapes follow from it is for the caller to compare.

    Raises
    ------
    ModelFileError
        Naming the tensor that is missing.
    """
    layers = [tuple(map(int, m.groups())) for m in map(_LAYER.fullmatch, shapes) if m]
    if not layers:
        raise ModelFileError("no residual layers (backbone.block*): not a γ-PhysNet")
    n_blocks, n_layers = 1 + max(block for block, _ in layers), max(layer for _, layer in layers)
    if len(layers) != n_blocks * n_layers:
        raise ModelFileError(f"{len(layers)} residual layers, not {n_blocks} x {n_layers}")
    blocks = range(n_blocks)
    first = _shape(shapes, "backbone.cv0.weight", 3)
    attention = "none"
    if any(".se_module." in name for name in shapes):
        attention = "dual" if any(".spa_module." in name for name in shapes) else "se"
    squeeze = "backbone.attention_block{}.se_module.reduction.weight"
    trunk = sum(_TRUNK.fullmatch(name) is not None for name in shapes)
    heads = _HEADS | ({"energy": "energy.weight"} if trunk else {})
    for hidden in ("energy.en_layer1.weight", "fusion.weight", "trunk.0.weight"):
        if hidden in shapes:
            fc_width = _shape(shapes, hidden, 2)[0]
    return Architecture(
        variant="cartesian" if len(first) == 4 else "indexed",
        num_channels=first[1],
        num_layers=n_layers,
        block_features=[
            _shape(shapes, f"backbone.block{b}_layer1.conv_block.cv2.weight", 3)[0] for b in blocks
        ],
        activation=activation,
        norm="batch" if any(".conv_block.bn" in name for name in shapes) else "none",
        bn_eps=bn_eps,
        attention=attention,
        reduced=[_shape(shapes, squeeze.format(b), 2)[0] for b in blocks]
        if attention != "none"
        else (),
        fc_width=fc_width,
        trunk=trunk,
        num_scalars=(*shapes.get("scalar_norm.weight", ()), 0)[0],
        outputs={t: _shape(shapes, name, 2)[0] for t, name in heads.items() if name in shapes},
        output_size=output_size,
    )


def _shape(shapes, name, ndim):
    """Shape of a tensor with at least ``ndim`` axes."""
    shape = shapes.get(name, ())
    if len(shape) < ndim:
        raise ModelFileError(f"tensor {name} is missing or has too few axes")
    return shape
