"""The run-tiled engine: exact, the same for any batch, and never in the way."""

import logging
import sys

import numpy as np
import pytest
import torch

from ctapipe_gammalearn.lattice import CameraLattice, patch_lattice
from ctapipe_gammalearn.nn.architecture import ACTIVATIONS
from ctapipe_gammalearn.nn.engines import runtiled
from ctapipe_gammalearn.nn.runtiled import machine, machine_code, processor
from ctapipe_gammalearn.nn.runtiled.activations import Activation, activate
from ctapipe_gammalearn.nn.runtiled.raster import Raster
from ctapipe_gammalearn.nn.runtiled.text import Function
from tests.helpers import golden_network, random_images, random_network

from .shapes import SHAPES, SMALL

pytest.importorskip("llvmlite")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of its own, and nothing compiled before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(machine, "_codes", {})
    return machine.cache_folder()


def features(network, x):
    """Features of a frozen copy."""
    with torch.inference_mode():
        return network.backbone(x)


def difference(lattice, x, **architecture):
    """Largest deviation from the raster engine in float64, relative to the largest feature."""
    exact = random_network(lattice, "raster", **architecture).double().frozen()
    expected = features(exact, x.double())
    ours = features(random_network(lattice, "runtiled", **architecture).frozen(), x)
    assert ours.shape == expected.shape
    assert ours.is_contiguous()
    return (ours - expected).abs().max() / expected.abs().max()


@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_of_network(strict, hexagonal_camera, shape):
    options = SHAPES[shape]
    x = random_images(3, hexagonal_camera, options.get("num_channels", 2))
    assert difference(hexagonal_camera, x, **options) < 1e-5


@pytest.mark.parametrize("activation", ["leaky_relu:0.2", "elu:0.7", "tanh", "gelu"])
def test_any_activation_on_a_square_and_a_full_lattice(
    strict, square_camera, hexagonal_camera, activation
):
    for lattice in (square_camera, patch_lattice(hexagonal_camera, 7)):
        x = random_images(2, lattice)
        assert difference(lattice, x, activation=activation, **SMALL) < 1e-5


def test_activation_without_code_is_named():
    f = Function("run", ("ptr %in",))
    with pytest.raises(RuntimeError, match="no machine code for the activation mish"):
        activate(f, Activation("mish"), "%x", 4)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_itself(name):
    module = ACTIVATIONS[name]()
    f = Function("run", ("i64 %n", "ptr %in", "ptr %out", "ptr %a", "ptr %b"))
    with f.loop("%n", 4) as i:
        x = f.load("%in", i.index, 4)
        f.store(activate(f, Activation.of(module), x, 4), "%out", i.index, 4)
    run = machine_code("\n".join([*f.declarations.values(), str(f)]), processor())
    x = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([0.0, -200.0, 200.0])])
    out = torch.empty_like(x)
    run(len(x), x.data_ptr(), out.data_ptr(), 0, 0)
    expected = module(x.double())
    assert ((out - expected).abs() <= 1e-6 * expected.abs().clamp(min=1)).all()
    assert out[4001] == 0  # padded channels stay zero


def test_smaller_processors(strict, hexagonal_camera, smaller_processor):
    assert difference(hexagonal_camera, random_images(2, hexagonal_camera)) < 1e-5


@pytest.mark.parametrize("name", ["tiny_indexed_da", "physnet_da_lstcam"])
def test_golden_networks(strict, golden, name):
    network, vectors, _ = golden_network(golden, name, "runtiled")
    with torch.inference_mode():
        outputs = network.frozen()(torch.as_tensor(vectors["input"]))
    largest = max(np.abs(vectors[f"out64_{task}"]).max() for task in outputs)
    for task, output in outputs.items():
        assert np.abs(output.numpy() - vectors[f"out64_{task}"]).max() <= 2e-5 * largest


def test_features_are_the_same_bits_for_any_batch_order_and_threads(strict, hexagonal_camera):
    network = random_network(hexagonal_camera, activation="gelu").frozen()
    x = random_images(23, hexagonal_camera)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        whole = features(network, x)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
        assert torch.equal(features(network, x[order]), whole[order])
        for n in (1, 4):
            parts = [features(network, part) for part in x.split(n)]
            assert torch.equal(torch.cat(parts), whole)
        for n in (2, 3):
            torch.set_num_threads(n)
            assert torch.equal(features(network, x), whole)
            assert torch.equal(features(network, x[:1]), whole[:1])
    finally:
        torch.set_num_threads(before)


def test_shift_of_the_norms_does_not_leak_into_empty_cells(strict, hexagonal_camera):
    """Only pixels are ever written, so that missing neighbours stay exactly zero."""
    network = random_network(hexagonal_camera, block_features=(16, 16))
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if ".bn" in key and key.endswith("bias"):
                value += 2
    x = random_images(3, hexagonal_camera)
    exact = random_network(hexagonal_camera, "raster", block_features=(16, 16)).double()
    exact.load_state_dict(network.state_dict())
    expected, frozen = features(exact.frozen(), x.double()), network.frozen()
    ours = features(frozen, x)
    assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()
    workspace = frozen.backbone.compiled._program.workspaces[-1]
    plan = runtiled_plan(frozen)
    for raster, start in plan:
        cells = workspace[start : start + raster.n_cells * 16].view(raster.n_cells, 16)
        empty = np.setdiff1d(np.arange(raster.n_cells), raster.pixels)
        assert (cells[empty] == 0).all()
        assert (cells[raster.pixels] != 0).any()


def runtiled_plan(frozen):
    """(raster, first float) of the two rasters of each level that convolutions read."""
    from ctapipe_gammalearn.nn.runtiled import network
    from ctapipe_gammalearn.nn.runtiled.plan import Plan

    plan = Plan(processor(), Activation("relu"))
    levels = [network._Level.of(plan, level, 16) for level in frozen.backbone.engine.levels]
    return [(level.raster, start) for level in levels for start in (level.t, level.v)]


def test_raster_has_the_neighbours_of_the_lattice(hexagonal_camera, square_camera):
    for lattice in (hexagonal_camera, square_camera, patch_lattice(hexagonal_camera, 6)):
        for level in lattice.levels(2):
            raster = Raster.of(level)
            number = np.full(raster.n_cells, -1)
            number[raster.pixels] = np.arange(raster.n_pixels)
            taps = np.array([i * raster.pitch + j for i, j in raster.taps])
            np.testing.assert_array_equal(number[raster.pixels + taps[:, None]], level.neighbours())
            assert {n for _, n in raster.tiles(3)} <= {1, 2, 3}
            assert sum(n for _, n in raster.tiles(3)) == raster.n_pixels


def test_two_networks_alive_and_new_weights_without_compilation(strict, hexagonal_camera, cache):
    x = random_images(2, hexagonal_camera)
    networks = [random_network(hexagonal_camera, seed=seed, **SMALL).frozen() for seed in (1, 2)]
    first = [features(network, x) for network in networks]
    assert len(machine._codes) == len(list(cache.iterdir())) == 1
    assert not torch.equal(*first)
    for network, before in zip(networks, first, strict=True):
        assert torch.equal(features(network, x), before)


def test_images_of_the_wrong_shape_never_reach_the_code(strict, hexagonal_camera):
    frozen = random_network(hexagonal_camera, **SMALL).frozen()
    x = random_images(2, hexagonal_camera)
    features(frozen, x)
    for wrong in (x[:, :1], x[..., :50], x[0]):
        with pytest.raises((RuntimeError, IndexError)):
            features(frozen, wrong)


def test_what_the_code_does_not_do_is_left_to_the_raster_engine(hexagonal_camera, monkeypatch):
    network = random_network(hexagonal_camera, **SMALL)
    frozen, x = network.frozen(), random_images(1, hexagonal_camera)
    monkeypatch.setattr(runtiled.Program, "__call__", lambda *_: pytest.fail("compiled"))
    monkeypatch.setattr(runtiled.CompiledBackbone, "_is_ready", lambda *_: True)
    network.frozen().double()(x.double())
    frozen(x.clone().requires_grad_())["energy"].sum().backward()
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        frozen(x)
    torch.jit.trace(frozen.backbone, x, check_trace=False)
    network.eval()(x)
    network.train()(random_images(2, hexagonal_camera))


@pytest.mark.parametrize("fault", ["no llvmlite", "bad code", "no compiler"])
def test_without_code_the_raster_engine_takes_over(hexagonal_camera, monkeypatch, caplog, fault):
    processor.cache_clear()
    runtiled._warn.cache_clear()
    if fault == "no llvmlite":
        monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
        monkeypatch.setitem(sys.modules, "llvmlite", None)
    elif fault == "bad code":
        monkeypatch.setattr(runtiled, "TOLERANCE", -1)
    else:
        broken = "ctapipe_gammalearn.nn.runtiled.plan.Plan.ir"
        monkeypatch.setattr(broken, property(lambda plan: "no module"))
    x = random_images(2, hexagonal_camera)
    expected = features(random_network(hexagonal_camera, "raster", **SMALL).frozen(), x)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            network = random_network(hexagonal_camera, **SMALL).frozen()
            assert torch.equal(features(network, x), expected)
            assert torch.equal(features(network, x), expected)
    assert len([r for r in caplog.records if "engine runtiled" in r.message]) == 1


def test_cache_is_private_checked_and_whole(strict, hexagonal_camera, cache, monkeypatch):
    x = random_images(1, hexagonal_camera)

    def fresh():
        monkeypatch.setattr(machine, "_codes", {})
        return features(random_network(hexagonal_camera, **SMALL).frozen(), x)

    expected = fresh()
    (path,) = cache.iterdir()  # no partial file beside it
    assert cache.stat().st_mode & 0o777 == 0o700
    good = path.read_bytes()
    for bad in (b"", good[:-9], good[:32] + b"\x00" + good[33:]):
        path.write_bytes(bad)
        assert torch.equal(fresh(), expected)
        assert path.read_bytes() == good
    assert machine._read(path.name) is not None
    cache.chmod(0o770)  # others could have written it
    assert machine._read(path.name) is None
    path.unlink()
    assert torch.equal(fresh(), expected)
    assert not list(cache.iterdir())


def test_cache_that_cannot_be_written_is_no_error(strict, hexagonal_camera, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    features(random_network(hexagonal_camera, **SMALL).frozen(), random_images(1, hexagonal_camera))
    assert cache.read_text().startswith("a file")


def test_every_real_camera_has_a_short_raster(cameras):
    for name, geometry in cameras.items():
        shape = "square" if geometry.pix_type.value == "square" else "hexagonal"
        x, y = geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")
        lattice = CameraLattice.from_positions(x, y, shape)
        raster = Raster.of(lattice.levels(1)[0])
        assert raster.n_cells < 1.5 * raster.n_pixels, name


def test_workspaces_are_used_again(strict, hexagonal_camera):
    network = random_network(hexagonal_camera, **SMALL).frozen()
    for _ in range(3):
        features(network, random_images(4, hexagonal_camera))
    assert len(network.backbone.compiled._program.workspaces) <= torch.get_num_threads()
