"""Batches on a GPU: with a stand-in for torch.cuda everywhere, and on a GPU if there is one."""

import logging
import threading
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import ctapipe_gammalearn
from ctapipe_gammalearn.exceptions import OutOfMemory
from ctapipe_gammalearn.inference import Predictor, cuda
from ctapipe_gammalearn.inference.forward import run_eagerly
from ctapipe_gammalearn.weights.synthetic import synthetic_images
from tests.inference import fake_cuda, test_likelihood, test_predictor
from tests.inference.fake_cuda import Device, Graph, Stream

lattice, model = test_likelihood.lattice, test_likelihood.model
published_model = test_predictor.model
RESOURCES = Path(ctapipe_gammalearn.__file__).parent / "resources"
PRECISIONS = ("float32", "float64", "bfloat16", "float16")


@pytest.fixture
def images(lattice):
    """Charges and times of 13 images."""
    return synthetic_images(lattice, 13, 2, seed=8).transpose(1, 0, 2)


@pytest.fixture
def device(monkeypatch):
    """A device that does its work as late as it may."""
    fake_cuda.install(monkeypatch)
    with Device():
        yield


@pytest.fixture(params=["late", "prompt"])
def any_device(request, monkeypatch, device):
    """A device that does its work as late as it may, or at once."""
    monkeypatch.setattr(Stream, "prompt", request.param == "prompt")


def on_device(model, **options):
    """Predictor whose batches go through the stand-in."""
    predictor = Predictor(model, device="cpu", engine="raster", **options)

    def forward(x):
        Stream.current.synchronize()  # these kernels come after what is in the queue
        return predictor._forward(x)

    predictor._run = cuda.GraphRunner(forward, predictor.device)
    return predictor


def padded(n, size):
    """Rows that a graph has for a batch of n."""
    return min(size, 1 << max(n - 1, 0).bit_length())


def one_by_one(model, image, time, size, **options):
    """Rows of predictions by the eager path, each batch filled up as for a graph.

    Products of matrices depend on the number of rows in their last bits.
    """
    predictor = Predictor(model, device="cpu", engine="raster", batch_size=size, **options)
    parts = []
    for start in range(0, len(image), size):
        part = [a[start : start + size] for a in (image, time)]
        n = len(part[0])
        filled = [np.concatenate([a, np.ones((padded(n, size) - n, a.shape[1]))]) for a in part]
        parts.append((n, predictor.predict(*filled)))
    names = [k for k, v in vars(parts[0][1]).items() if v is not None]
    return {k: np.concatenate([getattr(p, k)[:n] for n, p in parts]) for k in names}


def assert_equal(prediction, expected):
    """Same bits in all rows."""
    for name, values in expected.items():
        np.testing.assert_array_equal(getattr(prediction, name), values, err_msg=name)


@pytest.mark.parametrize("size", [1, 5, 8, 10**9])
def test_graphs_give_the_same_bits(any_device, model, images, size):
    predictor = on_device(model, batch_size=size)
    expected = one_by_one(model, *images, size)
    assert_equal(predictor.predict(*images), expected)
    n_recorded = Graph.n_recorded
    assert n_recorded == len({padded(n, size) for n in (min(size, 13), 13 % size or size)})
    assert_equal(predictor.predict(*images), expected)  # from the same memory
    assert Graph.n_recorded == n_recorded
    assert Graph.n_launched == 2 * -(-13 // size)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_precisions_and_published_network(any_device, published_model, hexagonal_camera, precision):
    rng = np.random.default_rng(2)
    shape = 7, hexagonal_camera.n_pixels
    images = rng.gamma(0.5, 8, shape), rng.uniform(5, 30, shape)
    predictor = on_device(published_model, batch_size=4, precision=precision)
    expected = one_by_one(published_model, *images, 4, precision=precision)
    assert_equal(predictor.predict(*images), expected)


def test_calls_of_different_lengths_in_any_order(any_device, model, images):
    predictor = on_device(model, batch_size=8)
    for n in (3, 13, 0, 1, 8, 3):
        part = [a[:n] for a in images]
        prediction = predictor.predict(*part)
        assert len(prediction) == n
        if n:
            assert_equal(prediction, one_by_one(model, *part, 8))


def test_invalid_rows_leave_the_others_alone(any_device, model, images):
    image, time = (a.copy() for a in images)
    image[3], image[12], time[6] = np.nan, np.inf, np.nan
    image[8, 4], time[9, :20] = np.nan, np.nan
    prediction = on_device(model, batch_size=4).predict(image, time)
    assert_equal(prediction, one_by_one(model, image, time, 4))
    np.testing.assert_array_equal(np.flatnonzero(~prediction.is_valid), [3, 6, 12])


def test_preparation_comes_before_waiting(monkeypatch, model, images):
    """While the host prepares a batch, the device has one that it may work on."""
    fake_cuda.install(monkeypatch)
    predictor = on_device(model, batch_size=3)
    queue, undone = predictor._run._stream, []

    def batches(*args):
        for batch in original(*args):
            undone.append(len(queue.queue) - queue.n_done)
            yield batch

    original = predictor._batches
    monkeypatch.setattr(predictor, "_batches", batches)
    with Device():
        predictor.predict(*images)  # records
        undone.clear()
        predictor.predict(*images)
    assert undone[0] == 0
    assert all(n > 0 for n in undone[1:])


make_buffers = cuda._Buffers.__init__


def shared_slot(buffers, *args):
    """Two batches in the same memory."""
    make_buffers(buffers, *args)
    buffers.slots = buffers.slots[:1] * cuda.SLOTS


@pytest.mark.parametrize(
    ("where", "name", "mistake"),
    [
        (fake_cuda.Event, "synchronize", lambda event: None),
        (fake_cuda.Event, "record", lambda event, stream: None),
        (cuda._Buffers, "__init__", shared_slot),
    ],
)
def test_stand_in_notices_mistakes(monkeypatch, model, images, where, name, mistake):
    fake_cuda.install(monkeypatch)
    monkeypatch.setattr(where, name, mistake)
    with Device(), np.errstate(all="ignore"):
        prediction = on_device(model, batch_size=4).predict(*images)
    assert not np.array_equal(prediction.energy, one_by_one(model, *images, 4)["energy"])


def test_call_after_an_interrupted_one(any_device, monkeypatch, model, images):
    predictor = on_device(model, batch_size=4)
    expected = one_by_one(model, *images, 4)
    batches = predictor._batches

    def interrupted(*args):
        for number, batch in enumerate(batches(*args)):
            if number == 2:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as context:
        context.setattr(predictor, "_batches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predictor.predict(*(a[::-1] for a in images))
    assert_equal(predictor.predict(*images), expected)


def limit_memory(monkeypatch, predictor, n_images):
    """Let the network fail as on a GPU when more images come at once."""
    forward = predictor._network.forward

    def limited(x):
        if len(x) > n_images:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return forward(x)

    monkeypatch.setattr(predictor._network, "forward", limited)


def test_out_of_memory_halves_the_batch_and_records_anew(device, monkeypatch, model, images):
    predictor = on_device(model, batch_size=4)
    predictor.predict(*images)
    predictor.batch_size = 16
    limit_memory(monkeypatch, predictor, 3)
    assert_equal(predictor.predict(*images), one_by_one(model, *images, 2))
    assert predictor.batch_size == 2
    assert len(predictor._run._buffers.x) == 2
    assert set(predictor._run._buffers.graphs) == {1, 2}


def test_out_of_memory_while_a_graph_is_recorded(device, monkeypatch, model, images):
    """The end of the recording fails as well, and its error hides the first."""
    predictor, record = on_device(model, batch_size=8), torch.cuda.graph

    class Failing:
        def __init__(self, *args, **options):
            self.inner = record(*args, **options)

        def __enter__(self):
            self.inner.__enter__()
            limit_memory(monkeypatch, predictor, 4)

        def __exit__(self, *error):
            self.inner.__exit__(None, None, None)
            if error[0]:
                raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(torch.cuda, "graph", Failing)
    assert_equal(predictor.predict(*images), one_by_one(model, *images, 4))
    assert predictor.batch_size == 4


def test_out_of_memory_for_one_image_is_an_error(device, monkeypatch, model, images):
    predictor = on_device(model, batch_size=4)
    limit_memory(monkeypatch, predictor, 0)
    with pytest.raises(OutOfMemory):
        predictor.predict(*images)
    assert predictor._run._buffers is None


def test_without_graphs_there_is_one_warning(device, monkeypatch, caplog, model, images):
    class Failing:
        def __init__(self, *args, **options):
            pass

        def __enter__(self):
            raise RuntimeError("operation not permitted\n when stream is capturing")

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(torch.cuda, "graph", Failing)
    predictor = on_device(model, batch_size=8)
    expected = vars(Predictor(model, device="cpu", engine="raster", batch_size=8).predict(*images))
    expected = {name: values for name, values in expected.items() if values is not None}
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert_equal(predictor.predict(*images), expected)
    assert [r.getMessage() for r in caplog.records] == [
        "no CUDA graph on cpu, slower: operation not permitted when stream is capturing"
    ]


def test_other_errors_pass_and_leave_the_predictor_usable(device, monkeypatch, model, images):
    predictor = on_device(model, batch_size=8)
    with monkeypatch.context() as context:
        context.setattr(predictor._network, "forward", lambda x: torch.zeros(2) @ torch.zeros(3))
        with pytest.raises(RuntimeError, match="inconsistent tensor size"):
            predictor.predict(*images)
    assert_equal(predictor.predict(*images), one_by_one(model, *images, 8))


def test_graphs_leave_nothing_behind_in_the_network(device, model, images):
    """Masks that a network keeps are not in the memory of a graph."""
    predictor = on_device(model, batch_size=8)
    predictor.predict(*images)
    predictor._run = partial(run_eagerly, predictor._forward, predictor.device)
    expected = Predictor(model, device="cpu", engine="raster", batch_size=8).predict(*images)
    np.testing.assert_array_equal(predictor.predict(*images).energy, expected.energy)


def test_threads_take_turns(monkeypatch, model, images):
    fake_cuda.install(monkeypatch)
    predictor, found = on_device(model, batch_size=4), {}
    parts = {i: [a[i:] for a in images] for i in range(3)}

    def predict(i):
        with Device():
            found[i] = predictor.predict(*parts[i])

    threads = [threading.Thread(target=predict, args=(i,)) for i in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, part in parts.items():
        assert_equal(found[i], one_by_one(model, *part, 4))


@pytest.mark.parametrize("engine", ["raster", "gather"])
def test_nothing_is_read_by_the_host_in_between(monkeypatch, model, published_model, engine):
    """Tensors without data: whatever needs their values fails."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())
    for this in (model, published_model):
        predictor = Predictor(this, device="cpu", engine=engine)
        network, turns, *types = predictor._forward.args
        turns = [t if isinstance(t, slice) else t.to("meta") for t in turns]
        x = torch.empty(5, 2, this.lattice.n_pixels, device="meta")
        outputs = predictor._forward.func(network.to("meta"), turns, *types, x)
        assert {len(values) for values in outputs.values()} == {5}


on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@on_a_gpu
@pytest.mark.parametrize(
    ("precision", "size"),  # fewer digits: the same numbers of rows, so that nothing differs
    [("float32", 5), ("float32", 16), ("float64", 5), ("bfloat16", 16), ("float16", 16)],
)
def test_graph_and_eager_agree_on_a_gpu(model, images, precision, size):
    predictor = Predictor(model, device="cuda", precision=precision, batch_size=size)
    ours = [predictor.predict(*images[:, :n]) for n in (8, 13 if size == 5 else 4, 8)]
    assert predictor._run._records
    predictor._run = partial(run_eagerly, predictor._forward, predictor.device)
    for prediction in ours:
        eager = predictor.predict(*images[:, : len(prediction)])
        np.testing.assert_array_equal(prediction.is_valid, eager.is_valid)
        np.testing.assert_allclose(prediction.energy, eager.energy, rtol=1e-4)
        np.testing.assert_allclose(prediction.direction, eager.direction, atol=1e-3)


@pytest.fixture(scope="module")
def bundled():
    """The bundled network of the LST and the images of the bundled file."""
    from ctapipe.io import TableLoader

    with TableLoader(RESOURCES / "demo_events.dl1.h5") as loader:
        found = loader.read_telescope_events_by_id(dl1_images=True).values()
        camera = loader.subarray.tel[min(loader.subarray.tel)].camera.geometry
    image, time = (np.concatenate([t[c] for t in found]) for c in ("image", "peak_time"))
    path = RESOURCES / "lst_gammaphysnet.safetensors"
    order = Predictor(path, device="cpu").pixel_order(
        camera.pix_x.to_value("m"), camera.pix_y.to_value("m")
    )
    return path, (image[:, order], time[:, order])


@on_a_gpu
@pytest.mark.parametrize(
    ("precision", "energy", "gammaness"),
    [("float32", 1e-4, 1e-4), ("bfloat16", 2e-2, 1e-2), ("float16", 2e-2, 1e-2)],
)
def test_gpu_agrees_with_the_cpu(bundled, precision, energy, gammaness):
    path, images = bundled
    exact = Predictor(path, device="cpu").predict(*images)
    ours = Predictor(path, device="cuda", precision=precision, batch_size=64).predict(*images)
    valid = exact.is_valid & ours.is_valid
    assert valid.mean() > 0.9
    difference = np.abs(np.log10(ours.energy / exact.energy))[valid]
    assert np.quantile(difference, 0.99) <= energy
    assert np.quantile(np.abs(ours.gammaness - exact.gammaness)[valid], 0.99) <= gammaness


@on_a_gpu
def test_memory_of_a_gpu_is_given_back(monkeypatch, model, images):
    predictor = Predictor(model, device="cuda", batch_size=16)
    expected = predictor.predict(*images)
    limit_memory(monkeypatch, predictor, 3)
    predictor._run._release()
    ours = predictor.predict(*images)
    assert predictor.batch_size == 2
    np.testing.assert_allclose(ours.energy, expected.energy, rtol=1e-4)
