"""Helpers shared by tests: golden networks rebuilt from their weight rule."""

import json
import math
import zlib

import numpy as np
import torch

from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.nn import Architecture, GammaPhysNet, InputSettings, Mapping, camera_mapping

HEADS = {"en_out", "fusion", "impact", "direction", "classifier"}
ACTIVATIONS = {"ReLU": "relu", "GELU": "gelu", "LeakyReLU(0.01)": "leaky_relu:0.01"}


def hash_uniform(name, n):
    """Numbers in [-1, 1) from a tensor's name (splitmix64), as the golden README defines."""
    with np.errstate(over="ignore"):
        z = np.arange(n, dtype=np.uint64) + np.uint64(zlib.crc32(name.encode())) * np.uint64(
            1 << 32
        )
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0


def golden_tensor(name, shape):
    """Weights of the golden networks by their GammaLearn name."""
    owner, leaf = name.split(".")[-2:]
    u = hash_uniform(name, math.prod(shape)).reshape(shape)
    norm = "BatchNorm" in owner or owner == "bn"
    if leaf == "running_mean":
        value = 0.3 * u
    elif leaf == "running_var":
        value = 1.25 + 0.75 * u
    elif leaf == "bias":
        value = (0.2 if norm else 0.1) * u
    elif norm:
        value = 1.0 + 0.3 * u
    else:
        value = math.sqrt(3.0 / math.prod(shape[1:])) * u * (0.1 if owner in HEADS else 1.0)
    return torch.as_tensor(value.astype(np.float32))


def gammalearn_name(name, dimension):
    """GammaLearn 0.16's name of one of our tensors."""
    for ours in ("bn1", "bn2"):
        name = name.replace(f"conv_block.{ours}.", f"conv_block.BatchNorm{dimension}d{ours[-1]}.")
    name = name.replace("bn_shortcut", f"BatchNorm{dimension}d_shortcut")
    return name.replace("backbone.", "feature.feature.")


def golden_lattice(golden, name):
    """Lattice and content of a golden lattice file."""
    file = np.load(golden / f"lattice_{name}.npz")
    rotation = float(file["pix_rotation_deg"])
    return CameraLattice.from_positions(file["pix_x"], file["pix_y"], rotation_deg=rotation), file


def golden_mapping(golden):
    """Interpolation table of the golden Cartesian network."""
    file = np.load(golden / "bilinear55_lstcam.npz")
    return Mapping(file["pixel"], file["cell"], file["weight"], (55, 55), 1855)


def golden_network(golden, name, engine="auto"):
    """Golden network in evaluation mode, its vectors and its lattice."""
    vectors = np.load(golden / f"{name}.npz")
    meta = json.loads(str(vectors["meta"]))
    cartesian = meta["arch"] == "cartesian"
    lattice, _ = golden_lattice(golden, "tiny" if name.startswith("tiny") else "lstcam")
    features = meta["block_features"]
    ratio = int(meta["attention"].split()[-1]) if meta["attention"] else None
    architecture = Architecture(
        variant="cartesian" if cartesian else "indexed",
        num_layers=meta["num_layers"],
        block_features=features,
        activation=ACTIVATIONS[meta["activation"]],
        attention="dual" if ratio else "none",
        reduced=[c // ratio for c in features] if ratio else [],
        fc_width=meta["fc_width"],
        outputs=meta["targets"],
        output_size=(14, 14) if cartesian else None,
    )
    mapping = golden_mapping(golden) if cartesian else None
    network = GammaPhysNet(architecture, lattice, mapping, engine)
    dimension = 2 if cartesian else 1
    state = {
        key: golden_tensor(gammalearn_name(key, dimension), tuple(value.shape))
        for key, value in network.state_dict().items()
    }
    network.load_state_dict(state)
    return network.eval(), vectors, lattice


def random_network(lattice, engine="auto", seed=1, **architecture):
    """Network with random weights, norms and biases, so that every term matters."""
    default = dict(num_layers=2, block_features=(6, 8), reduced=(2, 2), fc_width=7)
    network = GammaPhysNet(Architecture(**{**default, **architecture}), lattice, engine=engine)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in network.state_dict().items():
            u = torch.rand(value.shape, generator=generator)
            if "running_var" in key:
                value.copy_(0.5 + u)
            elif ".bn" in key and key.endswith("weight"):
                value.copy_(0.7 + 0.6 * u)
            elif value.ndim == 1:
                value.copy_(2 * u - 0.5)  # shifts far from 0: empty cells must not leak
            else:
                fan_in = max(1, value[0].numel())
                value.copy_((2 * u - 1) * math.sqrt(3 / fan_in))
    return network


def shower_network(lattice, focal_length, direction, output_size=None):
    """Small random network with its own input stage and all tasks; Cartesian if it has a size."""
    cartesian = output_size is not None
    shower = InputSettings(focal_length, crop=None if cartesian else 8)
    architecture = Architecture(
        variant="cartesian" if cartesian else "indexed", output_size=output_size,
        num_channels=5, num_layers=1, block_features=(4, 6), attention="none", reduced=(),
        fc_width=8, trunk=1, num_scalars=shower.num_scalars,
        outputs={"energy": 2, "direction": direction, "class": 2, "impact": 2},
    )  # fmt: skip
    mapping = camera_mapping(lattice) if cartesian else None
    network = GammaPhysNet(architecture, lattice, mapping, shower=shower)
    network.reset_parameters(torch.Generator().manual_seed(3))
    return network.eval()


def random_images(n, lattice, n_channels=2, seed=5):
    """Images with noise and bright pixels, shape (n, n_channels, n_pixels), float32."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (n, n_channels, lattice.n_pixels))
    x += 30 * (rng.random(x.shape) < 0.05)
    return torch.as_tensor(x.astype(np.float32))
