"""Training by the run-tiled engine: exact gradients, equal bits, and never in the way."""

import copy
import logging
import sys

import pytest
import torch

from ctapipe_gammalearn.lattice import patch_lattice
from ctapipe_gammalearn.nn.architecture import ACTIVATIONS
from ctapipe_gammalearn.nn.engines import programs, runtiled
from ctapipe_gammalearn.nn.runtiled import machine_code, processor
from ctapipe_gammalearn.nn.runtiled.activations import Activation, derivative
from ctapipe_gammalearn.nn.runtiled.text import Function
from tests.helpers import golden_lattice, random_images, random_network

from .shapes import SHAPES, SMALL

pytest.importorskip("llvmlite")
METHODS = ["convolve", "weight_gradient", "input_gradient", "apply", "reduce", "gradient", "gate"]
# gradients of the kinks of relu would depend on rounding
SMOOTH = dict(zip(SHAPES, ["gelu", "tanh", "silu", "gelu", "gelu", "elu:1.0"], strict=True))


@pytest.fixture
def lattices(hexagonal_camera, square_camera):
    """Lattices by name."""
    patch = patch_lattice(hexagonal_camera, 7)
    return {"hexagonal": hexagonal_camera, "square": square_camera, "patch": patch}


def gradients(network, x):
    """All parameter gradients of a smooth scalar of the outputs, and running statistics."""
    network.train().zero_grad()
    outputs = torch.cat([v.flatten() for v in network(x).values()])
    (outputs.sin() * torch.arange(1, len(outputs) + 1)).sum().backward()
    gradient = torch.cat([p.grad.flatten().double() for p in network.parameters()])
    statistics = [b.double() for name, b in network.named_buffers() if "running" in name]
    return gradient, torch.cat(statistics) if statistics else torch.zeros(1)


def compare(lattice, n, **architecture):
    """Assert equality with the raster engine in float64."""
    x = random_images(n, lattice, architecture.get("num_channels", 2)) / 10
    exact = random_network(lattice, "raster", **architecture).double()
    expected, statistics = gradients(exact, x.double())
    ours, running = gradients(random_network(lattice, "runtiled", **architecture), x)
    assert (ours - expected).norm() < 1e-5 * expected.norm()
    assert (running - statistics).abs().max() < 1e-6 * statistics.abs().max().clamp(min=1)


@pytest.mark.parametrize("camera", ["hexagonal", "square", "patch"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_of_any_shape_of_network(strict, lattices, shape, camera):
    for n in (1, 3, 9):  # one image, one thread's share, several shares
        compare(lattices[camera], n, **SHAPES[shape] | {"activation": SMOOTH[shape]})


def test_gradients_on_the_lst_camera(strict, golden):
    lattice, _ = golden_lattice(golden, "lstcam")
    compare(lattice, 2, num_layers=1, block_features=(16, 32, 64), reduced=(1, 2, 4),
            activation="gelu")  # fmt: skip


def test_smaller_processors(strict, hexagonal_camera, smaller_processor):
    compare(hexagonal_camera, 3, block_features=(16, 24), reduced=(1, 2), activation="gelu")


@pytest.mark.parametrize("name", [*ACTIVATIONS, "leaky_relu:0.2", "elu:0.7"])
def test_derivative_of_activations(name):
    kind, _, slope = name.partition(":")
    module = ACTIVATIONS[kind](*([float(slope)] if slope else []))
    f = Function("run", ("i64 %n", "ptr %in", "ptr %out", "ptr %a", "ptr %b"))
    with f.loop("%n", 4) as i:
        x = f.load("%in", i.index, 4)
        f.store(derivative(f, Activation.of(module), x, 4), "%out", i.index, 4)
    run = machine_code("\n".join([*f.declarations.values(), str(f)]), processor())
    x = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([0.0, -80.0, 80.0])])
    out = torch.empty_like(x)
    run(len(x), x.data_ptr(), out.data_ptr(), 0, 0)
    x = x.double().requires_grad_()
    (expected,) = torch.autograd.grad(module(x).sum(), x)
    assert (out - expected).abs().max() <= 2e-6


def test_same_bits_each_time_and_for_any_number_of_threads(strict, hexagonal_camera):
    """Without torch's own operations in the attention, which may depend on the threads."""
    options = dict(activation="gelu", attention="none", reduced=())
    x, results = random_images(23, hexagonal_camera), []
    before = torch.get_num_threads()
    try:
        for n in (1, 1, 2, 3):
            torch.set_num_threads(n)
            backbone = random_network(hexagonal_camera, "runtiled", **options).train().backbone
            backbone(x).sin().sum().backward()
            results.append([p.grad for p in backbone.parameters()])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_shares_of_threads_are_whole_chunks(monkeypatch):
    seen = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    programs.share(lambda a, b: seen.append((a, b)), 23)
    seen.sort()
    assert [a for a, _ in seen] == [0, *(b for _, b in seen[:-1])]
    assert seen[-1][1] == 23
    assert all(a % programs.CHUNK == 0 for a, _ in seen)


def test_copies_and_state(strict, hexagonal_camera):
    """The running average of a training is a deep copy; files do not know the engine."""
    network = random_network(hexagonal_camera, "runtiled", **SMALL).train()
    x = random_images(2, hexagonal_camera)
    network(x)
    twin = copy.deepcopy(network)
    assert twin.backbone.compiled is network.backbone.compiled
    assert set(network.state_dict()) == set(
        random_network(hexagonal_camera, "raster", **SMALL).state_dict()
    )
    a, b = gradients(network, x), gradients(twin, x)
    assert torch.equal(a[0], b[0])


def test_evaluation_between_training_steps(strict, hexagonal_camera):
    network = random_network(hexagonal_camera, "runtiled", **SMALL)
    raster = random_network(hexagonal_camera, "raster", **SMALL)
    x = random_images(2, hexagonal_camera)
    network.train()(x)
    raster.load_state_dict(network.state_dict())
    with torch.no_grad():
        ours, expected = network.eval()(x), raster.eval()(x)
    assert all(torch.equal(ours[task], expected[task]) for task in expected)


def test_some_weights_may_be_fixed(strict, hexagonal_camera):
    x, found = random_images(3, hexagonal_camera), []
    for engine in ("raster", "runtiled"):
        network = random_network(hexagonal_camera, engine, activation="gelu", **SMALL)
        backbone = network.train().backbone
        backbone.cv0.requires_grad_(False)
        backbone.block0_layer1.requires_grad_(False)
        network(x)["energy"].sum().backward()
        assert backbone.cv0.weight.grad is None
        found.append(backbone.block1_layer1.conv_block.cv1.weight.grad)
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("camera", ["hexagonal", "patch"])
@pytest.mark.parametrize("engine", ["raster", "runtiled"])
def test_second_derivatives(strict, lattices, engine, camera):
    """Gradients of the size of the gradient of the images, as a penalty has them."""
    lattice, found = lattices[camera], []
    for name, dtype in (("indexedconv", torch.float64), (engine, torch.float32)):
        network = random_network(lattice, name, activation="gelu").train().to(dtype)
        x = (random_images(4, lattice) / 10).to(dtype).requires_grad_()
        loss = sum(v.square().mean() for v in network(x).values())
        (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
        gradient.square().sum().backward()
        weights = (p.grad for p in network.parameters() if p.grad is not None)
        found.append(torch.cat([g.flatten().double() for g in weights]))
    assert (found[1] - found[0]).norm() < 1e-4 * found[0].norm()


def test_second_derivatives_of_the_code_itself_are_an_error(strict, hexagonal_camera):
    network = random_network(hexagonal_camera, "runtiled", **SMALL).train()
    loss = network(random_images(2, hexagonal_camera))["energy"].sum()
    weight = network.backbone.cv0.weight
    (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()


def test_what_the_code_does_not_do_is_left_to_the_raster_engine(hexagonal_camera, monkeypatch):
    monkeypatch.setattr(runtiled.CompiledTraining, "__call__", lambda *_: pytest.fail("compiled"))
    monkeypatch.setattr(runtiled.CompiledTraining, "_is_ready", lambda *_: True)
    network, x = random_network(hexagonal_camera, **SMALL), random_images(2, hexagonal_camera)
    network.eval()(x)
    network.train()(x.clone().requires_grad_())
    with torch.autocast("cpu", torch.bfloat16):
        network(x)
    with pytest.raises((RuntimeError, IndexError)):
        network(x[..., :50])
    network.double()(x.double())


@pytest.mark.parametrize("fault", ["no llvmlite", "bad code"])
def test_without_code_the_raster_engine_takes_over(hexagonal_camera, monkeypatch, caplog, fault):
    processor.cache_clear()
    runtiled._warn.cache_clear()
    if fault == "no llvmlite":
        monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
        monkeypatch.setitem(sys.modules, "llvmlite", None)
    else:
        monkeypatch.setattr(runtiled, "TOLERANCE", -1)
    x = random_images(2, hexagonal_camera)
    expected = gradients(random_network(hexagonal_camera, "raster", **SMALL), x)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = gradients(random_network(hexagonal_camera, **SMALL), x)
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert len([r for r in caplog.records if "engine runtiled" in r.message]) == 1


@pytest.mark.parametrize("method", METHODS)
def test_wrong_code_is_noticed(hexagonal_camera, monkeypatch, method):
    """One wrong number in any result keeps the code from being used."""
    right = getattr(programs.TrainingCode, method)

    def wrong(*arguments):
        result = right(*arguments)
        (result[0] if method == "weight_gradient" else result)[0, 0, 0] += 0.1
        return result

    monkeypatch.setattr(programs.TrainingCode, method, wrong)
    backbone = random_network(hexagonal_camera, block_features=(16, 16)).backbone
    with pytest.raises(RuntimeError, match="failed its test"):
        runtiled.make_engine(backbone)


def test_workspaces_are_used_again(strict, hexagonal_camera):
    network = random_network(hexagonal_camera, **SMALL).train()
    for _ in range(3):
        gradients(network, random_images(9, hexagonal_camera))
    code = network.backbone.compiled._program._code
    assert len(code.workspaces) <= torch.get_num_threads()
