"""Names of tensors in GammaLearn checkpoints and in this package.

Three layouts: A (GammaLearn 0.7, 0.8), B (0.9 to 0.11), C (0.12 to 0.16).  Ours is C with
``backbone.`` in front and norms called ``bn1``, ``bn2``, ``bn_shortcut``.
"""

import re
from dataclasses import dataclass

import numpy as np

from ..exceptions import CheckpointError

__all__ = ["LAYOUT_VERSIONS", "NamedTensors", "sort_tensors"]

#: first and last GammaLearn version of each layout
LAYOUT_VERSIONS = {"A": ((0, 7), (0, 8)), "B": ((0, 9), (0, 11)), "C": ((0, 12), (0, 16))}

_FOREIGN = {
    "conditional_task_model.": "ConditionalGammaPhysNet normalises over the batch",
    "pos_embedding": "GammaPhysNetPrime, GammaPhysNetMegatron and MAE are transformers",
    "patch_projection": "GammaPhysNetPrime, GammaPhysNetMegatron and MAE are transformers",
    "encoder.": "GammaPhysNetPrime, GammaPhysNetMegatron and MAE are transformers",
}
_RENAME = [
    (re.compile(r"^feature\.(feature\.)?"), "backbone."),
    (re.compile(r"\.conv\.(?=(cv|bn)\d)"), ".conv_block."),
    (re.compile(r"BatchNorm[12]d(?=\d)"), "bn"),
    (re.compile(r"BatchNorm[12]d_shortcut"), "bn_shortcut"),
    (re.compile(r"(attention_block\d+)\.(?=reduction|expand)"), r"\1.se_module."),
]
_OTHER_NORM = re.compile(r"\b(GroupNorm|InstanceNorm\dd|LayerNorm|CBN)")


@dataclass(frozen=True)
class NamedTensors:
    """Tensors of a checkpoint, sorted.

    Attributes
    ----------
    layout : {"A", "B", "C"}
    weights : dict of str to ndarray
        Parameters and running statistics by our names.
    tables : dict of str to ndarray
        Neighbour table (-1: missing) of each convolution by its name; empty for
        Cartesian networks.
    """

    layout: str
    weights: dict
    tables: dict


def sort_tensors(state):
    """Strip wrappers, rename, and tell weights from lattice buffers.

    Parameters
    ----------
    state : dict of str to ndarray
        ``state_dict`` of a checkpoint.

    Returns
    -------
    NamedTensors

    Raises
    ------
    CheckpointError
        For networks other than a plain γ-PhysNet.
    """
    network = _network_part(state)
    layout = _layout(network)
    weights, buffers = {}, {}
    for key, value in network.items():
        name = key
        for pattern, new in _RENAME:
            name = pattern.sub(new, name)
        if name in weights or name in buffers:
            raise CheckpointError(f"two tensors would be called {name}")
        if name.endswith((".indices_", ".mask_")):
            buffers[name] = value
        elif not name.endswith(".num_batches_tracked"):
            weights[name] = value
    return NamedTensors(layout, weights, _tables(buffers))


def _network_part(state):
    """Tensors of the network itself, without wrappers and without ``net.``."""
    network = {}
    for key, value in state.items():
        name = re.sub(r"^((module|_orig_mod)\.)+", "", key)
        if not name.startswith("net."):
            continue  # loss balancing, metrics
        name = re.sub(r"^net\.((module|_orig_mod)\.)*", "", name)
        for start, reason in _FOREIGN.items():
            if name.removeprefix("main_task_model.").startswith(start):
                raise CheckpointError(f"not a plain γ-PhysNet: {reason}; cannot be converted")
        if not name.startswith("domain_classifier."):
            network[name.removeprefix("main_task_model.")] = value
    if not network:
        raise CheckpointError("no tensors net.*: not a GammaLearn checkpoint")
    return network


def _layout(network):
    """Naming convention: A, B or C."""
    for name in network:
        if found := _OTHER_NORM.search(name):
            raise CheckpointError(f"normalisation {found[1]} is not supported, only BatchNorm")
    if "feature.cv0.weight" in network:
        return "A"
    if "feature.feature.cv0.weight" not in network:
        raise CheckpointError("no first layer feature.cv0.weight: not a γ-PhysNet")
    return "C" if any(".conv_block." in name for name in network) else "B"


def _tables(buffers):
    """Neighbour tables from the two buffers of each indexed convolution."""
    tables = {}
    for conv in sorted({name.rpartition(".")[0] for name in buffers}):
        indices, mask = buffers.get(f"{conv}.indices_"), buffers.get(f"{conv}.mask_")
        if indices is None or mask is None or indices.shape != mask.shape:
            raise CheckpointError(f"lattice buffers of {conv} are incomplete")
        if indices.dtype != np.int64 or not np.isin(mask, (0, 1)).all():
            raise CheckpointError(f"lattice buffers of {conv} hold odd values")
        tables[conv] = np.where(mask == 1, indices, -1)
    return tables
