"""The predictor: batches, devices, pixel order, memory."""

import numpy as np
import pytest
import torch

from ctapipe_gammalearn.exceptions import DeviceError, ModelMismatch, OutOfMemory
from ctapipe_gammalearn.inference import Predictor
from ctapipe_gammalearn.nn import Architecture
from ctapipe_gammalearn.weights import random_model

ARCHITECTURE = Architecture(num_layers=1, block_features=(4, 6), reduced=(1, 1), fc_width=8)


@pytest.fixture(scope="module")
def model(hexagonal_camera):
    return random_model(hexagonal_camera, "made-up", ARCHITECTURE, seed=1)


@pytest.fixture(scope="module")
def images(hexagonal_camera):
    """Charges and times of 23 images."""
    rng = np.random.default_rng(2)
    shape = 23, hexagonal_camera.n_pixels
    return rng.gamma(0.5, 8, shape), rng.uniform(5, 30, shape)


def assert_same(ours, expected, rtol=1e-5, atol=1e-6):
    """All quantities of two predictions agree."""
    np.testing.assert_array_equal(ours.is_valid, expected.is_valid)
    for name in ("energy", "direction", "impact", "gammaness", "class_probability"):
        scale = 1000 if name == "impact" else 1  # the network predicts km
        a, b = getattr(ours, name) / scale, getattr(expected, name) / scale
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=name)


@pytest.mark.parametrize("engine", ["runtiled", "raster", "gather", "indexedconv"])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 10**9])
def test_batch_size_and_engine_do_not_matter(model, images, engine, batch_size):
    expected = Predictor(model).predict(*images)
    assert expected.is_valid.all()
    ours = Predictor(model, engine=engine, batch_size=batch_size).predict(*images)
    assert_same(ours, expected)


def test_double_precision_agrees_and_reduced_precision_is_near(model, images):
    expected = Predictor(model).predict(*images)
    assert_same(Predictor(model, precision="float64").predict(*images), expected)
    for precision, tolerance in (("bfloat16", 0.1), ("float16", 0.01)):
        near = Predictor(model, precision=precision).predict(*images)
        assert_same(near, expected, rtol=tolerance, atol=tolerance)


def test_file_in_another_pixel_order_gives_the_same(model, images, hexagonal_camera):
    predictor = Predictor(model)
    shuffle = np.random.default_rng(7).permutation(hexagonal_camera.n_pixels)
    order = predictor.pixel_order(
        hexagonal_camera.pix_x[shuffle] + 1e-5, hexagonal_camera.pix_y[shuffle]
    )
    ours = predictor.predict(images[0][:, shuffle], images[1][:, shuffle], order)
    assert_same(ours, predictor.predict(*images), rtol=0, atol=0)


def test_foreign_camera_is_refused(model, square_camera):
    with pytest.raises(ModelMismatch, match="the model is for made-up"):
        Predictor(model).pixel_order(square_camera.pix_x, square_camera.pix_y)


def test_wrong_arrays_are_refused(model, images):
    predictor = Predictor(model)
    with pytest.raises(ModelMismatch, match="pixels, the model"):
        predictor.predict(images[0][:, :-1], images[1][:, :-1])
    with pytest.raises(ModelMismatch, match="needs peak_time"):
        predictor.predict(images[0])
    with pytest.raises(ModelMismatch, match="peak_time has shape"):
        predictor.predict(images[0], images[1][:-1])


def test_bad_images_are_invalid_and_leave_the_others_alone(model, images):
    predictor = Predictor(model)
    expected = predictor.predict(*images)
    image, time = (a.copy() for a in images)
    image[3], image[5], time[6] = np.nan, np.inf, np.nan
    image[8, 4], time[9, :20] = np.nan, np.nan  # a few missing values are filled in
    ours = predictor.predict(image, time)
    bad, changed = [3, 5, 6], [8, 9]
    assert not ours.is_valid[bad].any()
    assert np.isnan(ours.energy[bad]).all()
    rest = np.setdiff1d(np.arange(len(image)), bad + changed)
    np.testing.assert_allclose(ours.energy[rest], expected.energy[rest], rtol=1e-6)
    assert ours.is_valid[changed].all()


def test_no_images_give_no_rows(model, hexagonal_camera):
    nothing = np.empty((0, hexagonal_camera.n_pixels))
    result = Predictor(model).predict(nothing, nothing)
    assert len(result) == 0
    assert result.direction.shape == (0, 2)


@pytest.mark.parametrize("options", [{"device": "tpu"}, {"device": "cuda:99"}, {"engine": "x"},
                                     {"precision": "int8"}])  # fmt: skip
def test_impossible_options_are_refused_at_construction(model, options):
    with pytest.raises(DeviceError):
        Predictor(model, **options)


def test_out_of_memory_halves_the_batch(model, images, monkeypatch):
    expected = Predictor(model).predict(*images)
    predictor = Predictor(model, batch_size=16)
    limit_memory(monkeypatch, predictor, 3)
    assert_same(predictor.predict(*images), expected)
    assert predictor.batch_size == 2


def test_out_of_memory_for_one_image_is_an_error(model, images, monkeypatch):
    predictor = Predictor(model)
    limit_memory(monkeypatch, predictor, 0)
    with pytest.raises(OutOfMemory) as error:
        predictor.predict(*images)
    assert error.value.exit_code == 71


def limit_memory(monkeypatch, predictor, n_images):
    """Let the network fail like torch does when more images come at once."""
    forward = predictor._network.forward

    def limited(x):
        if len(x) > n_images:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return forward(x)

    monkeypatch.setattr(predictor._network, "forward", limited)


def test_other_errors_pass(model, images, monkeypatch):
    predictor = Predictor(model)

    def broken(x):
        raise RuntimeError("something else")

    monkeypatch.setattr(predictor._network, "forward", broken)
    with pytest.raises(RuntimeError, match="something else"):
        predictor.predict(*images)


def test_thread_count_is_put_back(model, images):
    before = torch.get_num_threads()
    Predictor(model, n_threads=before + 1).predict(*images)
    assert torch.get_num_threads() == before
