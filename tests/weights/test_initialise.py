import numpy as np
import pytest
import torch

from ctapipe_gammalearn.exceptions import ModelFileError
from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.nn import Architecture
from ctapipe_gammalearn.weights import random_model, write_model
from ctapipe_gammalearn.weights.initialise import default_tasks
from ctapipe_gammalearn.weights.synthetic import synthetic_images


def test_same_seed_same_model(lattice, architecture):
    one, two, other = (random_model(lattice, "x", architecture, seed=s) for s in (1, 1, 2))
    for name, value in one.network.state_dict().items():
        torch.testing.assert_close(value, two.network.state_dict()[name], rtol=0, atol=0)
    assert not torch.equal(one.network.fusion.weight, other.network.fusion.weight)


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("camera", ["hexagonal_camera", "square_camera"])
def test_outputs_are_of_order_one_for_unseen_showers(request, camera, norm):
    lattice = request.getfixturevalue(camera)
    architecture = Architecture(
        num_layers=2, block_features=(8, 12), reduced=(1, 1), fc_width=16, norm=norm
    )
    network = random_model(lattice, "x", architecture, seed=5).network
    with torch.inference_mode():
        outputs = network(torch.tensor(synthetic_images(lattice, 64, seed=99)))
    for task, output in outputs.items():
        assert output.isfinite().all(), task
        assert output.abs().median() < 3, task
        assert output.std() > 1e-3, task


def test_every_camera_of_the_simulations(cameras, tmp_path):
    from ctapipe_gammalearn.io.cameras import lattice_shape, pixel_positions

    architecture = Architecture(num_layers=1, block_features=(4,), reduced=(1,), fc_width=4)
    for i, geometry in enumerate(cameras.values()):
        positions, shape = pixel_positions(geometry), lattice_shape(geometry)
        camera = CameraLattice.from_positions(*positions, shape)
        model = random_model(camera, geometry.name, architecture)
        written = write_model(tmp_path / f"{i}.safetensors", model)
        assert written.lattice.n_pixels == geometry.n_pixels


def test_model_is_marked_and_frozen(model):
    assert model.card.status == "untrained"
    assert not model.network.training
    assert not any(p.requires_grad for p in model.network.parameters())
    assert model.card.provenance["assumed"] == ["random weights, seed 3"]


def test_tasks_of_new_models():
    assert list(default_tasks(["class", "energy"])) == ["class", "energy"]
    assert default_tasks(["class"], (0, 101, 1))["class"]["names"] == [
        "gamma",
        "proton",
        "electron",
    ]
    with pytest.raises(ModelFileError, match="class ids"):
        default_tasks(["class"], (101,))


def test_synthetic_images_look_like_showers(lattice):
    images = synthetic_images(lattice, 20, seed=4)
    assert images.shape == (20, 2, lattice.n_pixels)
    assert images.dtype == np.float32
    assert np.isfinite(images).all()
    assert (images[:, 0].max(axis=1) > 5).mean() > 0.7
    assert synthetic_images(lattice, 3, 1).shape == (3, 1, lattice.n_pixels)
    np.testing.assert_array_equal(images, synthetic_images(lattice, 20, seed=4))
