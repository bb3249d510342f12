"""All engines reproduce the original networks (golden vectors)."""

import numpy as np
import pytest
import torch

from ctapipe_gammalearn.inference.channels import network_input
from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.nn import GammaPhysNet
from tests.helpers import golden_lattice, golden_network

INDEXED = ["tiny_indexed_da", "tiny_noattention", "physnet_da_lstcam"]
CARTESIAN = "physnet_da_cartesian55"
ENGINES = ("raster", "gather", "indexedconv", "runtiled")
NETWORKS = [(name, engine) for name in INDEXED for engine in ENGINES]
NETWORKS.append((CARTESIAN, "auto"))
N_PARAMETERS = {
    "tiny_indexed_da": 9_951,
    "tiny_noattention": 4_462,
    "physnet_da_lstcam": 2_181_849,
    CARTESIAN: 3_550_873,
}


def run(network, x):
    """Outputs as arrays, without gradients."""
    with torch.inference_mode():
        return {k: v.numpy() for k, v in network(torch.as_tensor(x)).items()}


def raw_to_input(golden, name, vectors):
    """The product's own way from file-order images to network input."""
    order = None
    if name.startswith("tiny"):
        order = golden_lattice(golden, "tiny")[1]["file_to_model"]
    image, peak_time = vectors["raw"][:, 0], vectors["raw"][:, 1]
    x, usable = network_input(image, peak_time, order=order, nan_time=-20.0)
    assert usable.all()
    return x


@pytest.mark.parametrize("name, engine", NETWORKS)
@pytest.mark.parametrize("frozen", [False, True], ids=["as trained", "frozen"])
def test_raw_images_give_the_golden_outputs(golden, name, engine, frozen):
    network, vectors, _ = golden_network(golden, name, engine)
    assert sum(p.numel() for p in network.parameters()) == N_PARAMETERS[name]
    x = raw_to_input(golden, name, vectors)
    np.testing.assert_array_equal(x, vectors["input"])
    outputs = run(network.frozen() if frozen else network, x)
    for task, output in outputs.items():
        np.testing.assert_allclose(output, vectors[f"out_{task}"], rtol=1e-4, atol=5e-5)
    if "class" in outputs:
        probability = torch.as_tensor(outputs["class"]).softmax(1)
        np.testing.assert_allclose(probability, vectors["class_probability"], rtol=1e-4, atol=5e-5)


@pytest.mark.parametrize("name, engine", NETWORKS[:-1])
@pytest.mark.parametrize("frozen", [False, True], ids=["as trained", "frozen"])
def test_double_precision_agrees_to_1e_9(golden, name, engine, frozen):
    network, vectors, _ = golden_network(golden, name, engine)
    network = network.double()
    outputs = run(network.frozen() if frozen else network, vectors["input"].astype(float))
    for task, output in outputs.items():
        np.testing.assert_allclose(output, vectors[f"out64_{task}"], rtol=1e-9, atol=1e-9)


def test_double_precision_of_the_cartesian_network(golden, monkeypatch):
    """From the image on, which the golden float64 run took in float32."""
    network, vectors, _ = golden_network(golden, CARTESIAN)
    engine = network.backbone.engine
    image = engine.enter(torch.as_tensor(vectors["input"]))
    np.testing.assert_allclose(image, vectors["image_55x55"], rtol=1e-4, atol=5e-5)
    monkeypatch.setattr(engine, "enter", lambda image: image)
    outputs = run(network.double(), vectors["image_55x55"].astype(float))
    for task, output in outputs.items():
        np.testing.assert_allclose(output, vectors[f"out64_{task}"], rtol=1e-9, atol=1e-9)


def test_swapped_channels_and_wrong_missing_time_change_the_energy(golden):
    network, vectors, _ = golden_network(golden, "physnet_da_lstcam")
    expected = vectors["out_energy"]
    swapped = run(network, vectors["input"][:, ::-1].copy())["energy"]
    assert np.abs(swapped - expected).min() > 0.1
    image, peak_time = vectors["raw"][:, 0], vectors["raw"][:, 1]
    x, _ = network_input(image, peak_time, nan_time=0.0)
    assert abs(run(network, x)["energy"] - expected)[2] > 0.3


def test_network_on_the_rotated_lattice_gives_other_numbers(golden):
    """Why the lattice belongs to the model: a rotation by 60° runs, and is wrong."""
    network, vectors, lattice = golden_network(golden, "physnet_da_lstcam")
    turned = CameraLattice.from_positions(lattice.pix_x, lattice.pix_y, rotation_deg=40.893)
    other = GammaPhysNet(network.architecture, turned).eval()
    other.load_state_dict(network.state_dict())
    difference = run(other, vectors["input"])["energy"] - vectors["out_energy"]
    assert np.abs(difference).max() > 0.1
