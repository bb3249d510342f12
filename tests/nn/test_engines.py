"""Engines agree with each other, on every camera, in inference and training."""

import numpy as np
import pytest
import torch
from torch import nn

from ctapipe_gammalearn.exceptions import DeviceError
from ctapipe_gammalearn.lattice import CameraLattice, patch_lattice
from ctapipe_gammalearn.nn import Architecture, GammaPhysNet
from ctapipe_gammalearn.nn.engines import runtiled
from tests.helpers import gammalearn_name, golden_network, random_images, random_network

TRAINING = ["raster", "gather", "runtiled"]
ENGINES = TRAINING
CONFIGURATIONS = {
    "relu, dual": dict(),
    "gelu, no norm": dict(activation="gelu", norm="none"),
    "leaky, squeeze only": dict(activation="leaky_relu:0.1", attention="se"),
    "elu, no attention": dict(activation="elu", attention="none", reduced=()),
    "three blocks, one channel": dict(
        num_channels=1, num_layers=1, block_features=(4, 6, 8), reduced=(1, 1, 2)
    ),
    "energy and class only": dict(outputs={"energy": 1, "class": 3}),
}


@pytest.fixture(autouse=True)
def no_fallback(monkeypatch):
    """Compiled code must be what is tested, not what stands in for it."""
    monkeypatch.setattr(runtiled, "_warn", pytest.fail)


def features(network, x):
    """Backbone features without gradients."""
    with torch.inference_mode():
        return network.backbone(x)


def assert_close(ours, expected, tolerance=1e-5):
    """Largest difference relative to the largest value."""
    assert ours.shape == expected.shape
    assert (ours - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("camera", ["hexagonal_camera", "square_camera"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_engine_equals_the_reference(request, camera, engine, configuration):
    lattice = request.getfixturevalue(camera)
    options = CONFIGURATIONS[configuration]
    reference = random_network(lattice, "indexedconv", **options).eval().double()
    network = random_network(lattice, engine, **options).eval()
    for n in (1, 3, 20):
        x = random_images(n, lattice, options.get("num_channels", 2))
        expected = features(reference, x.double()).float()
        assert_close(features(network, x), expected)
        assert_close(features(network.frozen(), x), expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_engine_equals_the_reference_on_every_real_camera(cameras, engine):
    for name, geometry in cameras.items():
        shape = "square" if geometry.pix_type.value == "square" else "hexagonal"
        x, y = geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")
        lattice = CameraLattice.from_positions(x, y, shape)
        options = dict(num_layers=1, block_features=(3, 4, 5), reduced=(1, 1, 1))
        reference = random_network(lattice, "indexedconv", **options).eval().double()
        network = random_network(lattice, engine, **options).eval().frozen()
        image = random_images(2, lattice)
        assert_close(features(network, image), features(reference, image.double()).float()), name


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("frozen", [False, True])
def test_single_bright_border_pixels_stay_exact(hexagonal_camera, engine, frozen):
    """One bright pixel at each border cell and beside each hole inside the camera."""
    lattice = hexagonal_camera
    border = (lattice.neighbours < 0).any(axis=0)
    pixels = lattice.scan_order[border]
    x = torch.zeros(len(pixels), 2, lattice.n_pixels)
    x[np.arange(len(pixels)), 0, pixels] = 100.0
    reference = random_network(lattice, "indexedconv").eval().double()
    network = random_network(lattice, engine).eval()
    network = network.frozen() if frozen else network
    assert_close(features(network, x), features(reference, x.double()).float())


@pytest.mark.parametrize("engine", ENGINES)
def test_output_does_not_depend_on_the_rest_of_the_batch(hexagonal_camera, engine):
    network = random_network(hexagonal_camera, engine).eval().frozen()
    x = random_images(21, hexagonal_camera)
    whole = features(network, x)
    order = torch.randperm(21, generator=torch.Generator().manual_seed(0))
    assert_close(features(network, x[order]), whole[order], 1e-6)
    for n in (1, 2, 7):
        parts = torch.cat([features(network, part) for part in x.split(n)])
        assert_close(parts, whole, 1e-6)


def gradients(network, x):
    """All parameter gradients of a smooth scalar of the outputs."""
    network.zero_grad()
    out = network(x)
    sum(
        (v.sin() * torch.arange(1, v.numel() + 1).view_as(v)).sum() for v in out.values()
    ).backward()
    return torch.cat([p.grad.flatten().double() for p in network.parameters()])


@pytest.mark.parametrize("camera", ["hexagonal_camera", "square_camera", "patch"])
@pytest.mark.parametrize("engine", [*TRAINING, "indexedconv"])
def test_training_step_equals_the_reference(request, camera, engine):
    """Gradients and running statistics, against indexedconv in float64 (smooth activation)."""
    lattice = request.getfixturevalue("hexagonal_camera" if camera == "patch" else camera)
    if camera == "patch":
        lattice = patch_lattice(lattice, 6)  # no empty cell: torch's own batch norm
    reference = random_network(lattice, "indexedconv", activation="gelu").train().double()
    network = random_network(lattice, engine, activation="gelu").train()
    x = random_images(8, lattice) / 10
    expected, ours = gradients(reference, x.double()), gradients(network, x)
    assert (ours - expected).norm() <= 1e-5 * expected.norm()
    statistics = dict(network.named_buffers())
    for key, value in reference.named_buffers():
        if "running" in key:
            torch.testing.assert_close(statistics[key].double(), value, rtol=1e-5, atol=1e-6)


def test_plain_batch_norm_on_the_raster_would_fail(hexagonal_camera):
    """The statistics of a raster must leave out cells without a pixel."""
    network = random_network(hexagonal_camera).train()
    engine = network.backbone.engine
    norm = network.backbone.block0_layer1.conv_block.bn2
    raster = engine.enter(random_images(8, hexagonal_camera, len(norm.weight)))
    masked = engine.normalise(raster, norm, 0)
    plain = nn.functional.batch_norm(raster, None, None, norm.weight, norm.bias, training=True)
    real = engine.mask(0, len(norm.weight)).bool().expand_as(raster)
    assert not torch.allclose(masked[real], plain[real], atol=0.05)
    pixels = masked.flatten(2)[:, :, engine.real0]
    torch.testing.assert_close(pixels.mean((0, 2)), norm.bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("engine", [*TRAINING, "indexedconv"])
def test_one_golden_training_step(golden, engine):
    """Outputs, losses, gradients and updated weights of the original training step."""
    step = np.load(golden / "training_step.npz")
    network, _, _ = golden_network(golden, "tiny_indexed_da", engine)
    network.train()
    outputs = network(torch.as_tensor(step["input"]))
    gammas = torch.as_tensor(step["label_class"]) == 0
    raw = [
        (outputs[task] - torch.as_tensor(step[f"label_{task}"]).view_as(outputs[task]))[gammas]
        .abs()
        .mean()
        for task in ("energy", "impact", "direction")
    ]
    labels = torch.as_tensor(step["label_class"]).long()
    raw.append(nn.functional.cross_entropy(outputs["class"], labels))
    raw = torch.stack(raw)
    np.testing.assert_allclose(raw.detach(), step["loss_raw"], rtol=1e-5)
    s = torch.ones(4)
    weighted = torch.tensor([2.0, 2.0, 2.0, 0.5]) * torch.exp(-s) * raw + s
    weighted.sum().backward()
    names = dict(_gammalearn_parameters(network))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4)
    for name, parameter in names.items():
        np.testing.assert_allclose(parameter.grad, step[f"grad:{name}"], rtol=1e-3, atol=2e-6)
    optimizer.step()
    for name, parameter in names.items():
        after = step[f"after:{name}"]
        if "cv1.bias" in name:  # no true gradient before a batch norm: rounding decides
            continue
        np.testing.assert_allclose(parameter.detach(), after, rtol=0, atol=1e-5)


def _gammalearn_parameters(network):
    """Parameters with their names in the golden file."""
    for key, parameter in network.named_parameters():
        yield gammalearn_name(key, 1), parameter


def test_inference_before_training_does_not_break_autograd(hexagonal_camera):
    network = random_network(hexagonal_camera)
    features(network.eval(), random_images(2, hexagonal_camera))
    network.train()(random_images(2, hexagonal_camera))["energy"].sum().backward()


def test_empty_batch(hexagonal_camera):
    out = random_network(hexagonal_camera).eval().frozen()(random_images(0, hexagonal_camera))
    assert {k: tuple(v.shape) for k, v in out.items()}["direction"] == (0, 2)


def test_state_has_no_tables_and_the_same_names_for_all_engines(hexagonal_camera):
    states = [
        set(random_network(hexagonal_camera, e).state_dict()) for e in (*ENGINES, "indexedconv")
    ]
    assert states[0] == states[1] == states[2] == states[3]
    assert all(
        key.rsplit(".", 1)[1] in ("weight", "bias", "running_mean", "running_var")
        for key in states[0]
    )


def test_spatial_attention_is_normalised_even_in_a_network_without_norms(hexagonal_camera):
    """As in GammaLearn, where ``normalization=None`` does not reach the attention."""
    names = random_network(hexagonal_camera, norm="none").state_dict()
    assert {n.split(".")[1] for n in names if "running_mean" in n} == {
        "attention_block0",
        "attention_block1",
    }


def test_wrong_engines_are_named(hexagonal_camera, golden):
    with pytest.raises(DeviceError, match="unknown engine 'fast'; known: auto"):
        GammaPhysNet(Architecture(), hexagonal_camera, engine="fast")
    architecture = Architecture(variant="cartesian", output_size=(2, 2))
    with pytest.raises(DeviceError, match="for indexed models"):
        GammaPhysNet(architecture, mapping=None, engine="raster")
