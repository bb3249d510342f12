"""Variants of the network: the Cartesian image, and the direction on the image's axis."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ctapipe_gammalearn.exceptions import ModelFileError, TrainingError
from ctapipe_gammalearn.inference import Predictor
from ctapipe_gammalearn.inference.likelihood import telescope_to_camera
from ctapipe_gammalearn.lattice import rotation_permutations
from ctapipe_gammalearn.nn.features import image_axis
from ctapipe_gammalearn.training.loader import BatchLoader
from ctapipe_gammalearn.training.module import TrainingModule
from ctapipe_gammalearn.training.outcome import finished_model
from ctapipe_gammalearn.training.preparation import divide, make_network
from ctapipe_gammalearn.training.settings import Recipe
from ctapipe_gammalearn.weights import read_model, write_model

from .toy import small_recipe

CARTESIAN = {
    "network": {"variant": "cartesian", "block_features": [4, 5, 6], "attention": "dual"},
    "shower": {"crop": None, "rotations": 6},
}
AXIS = {"loss": {"direction": "axis_sign"}, "shower": {"rotations": 6}}
VARIANTS = [CARTESIAN, AXIS, {**CARTESIAN, "loss": AXIS["loss"]}]


def batch_of(recipe, images):
    """First batch of the training."""
    parts = divide(recipe, images)
    return next(iter(BatchLoader(images, parts.gammas, parts.background, batch_size=16)))


def train(recipe, images, batch, steps):
    """Module after a few steps on one batch, and the losses of the direction."""
    module = TrainingModule(make_network(recipe, images), recipe, steps).train()
    optimizer, losses = module.configure_optimizers()["optimizer"], []
    for n in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 5e-3 * (1 - n / steps)
        optimizer.zero_grad()
        module.training_step(dict(batch), 0).backward()
        module.configure_gradient_clipping(optimizer)
        optimizer.step()
        module.update_average()
        losses.append(module.last_losses["direction"])
    return module, losses


@pytest.mark.parametrize("variant", VARIANTS)
def test_model_file_predicts_what_the_trained_network_does(images, tmp_path, variant):
    recipe = small_recipe(**variant)
    batch = batch_of(recipe, images)
    module, _ = train(recipe, images, batch, 3)
    record = {"epochs": 1, "metrics": {}}
    model = finished_model(module.average, recipe, images, divide(recipe, images), record)
    write_model(tmp_path / "model.safetensors", model)
    again = read_model(tmp_path / "model.safetensors")
    for task, output in again.network(batch["x"]).items():
        expected = module.average(batch["x"])[task]
        torch.testing.assert_close(output, expected, rtol=1e-6, atol=1e-6)
    image, time = batch["x"].numpy().transpose(1, 0, 2)
    here, there = (Predictor(m, device="cpu").predict(image, time) for m in (model, again))
    for name in ("energy", "direction", "direction_uncert", "gammaness"):
        np.testing.assert_allclose(getattr(there, name), getattr(here, name), atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_mean_over_rotations_turns_with_the_image(images, variant):
    recipe = small_recipe(**variant)
    batch = batch_of(recipe, images)
    module, _ = train(recipe, images, batch, 3)
    record = {"epochs": 1, "metrics": {}}
    model = finished_model(module.average, recipe, images, divide(recipe, images), record)
    turn = rotation_permutations(model.lattice)[1]
    image, time = batch["x"].numpy().transpose(1, 0, 2)
    predictor = Predictor(model, device="cpu", precision="float64")
    here, there = predictor.predict(image, time), predictor.predict(image[:, turn], time[:, turn])
    np.testing.assert_allclose(there.energy, here.energy, rtol=1e-5)
    a, b = (telescope_to_camera(p.direction) @ [1, 1j] for p in (here, there))
    np.testing.assert_allclose(b, a * np.exp(1j * np.pi / 3), atol=1e-4)


def test_fixed_outputs_give_two_places_on_the_axis_that_turn_with_the_image(images):
    recipe = small_recipe(**AXIS)
    network = make_network(recipe, images).eval()
    with torch.no_grad():
        network.direction.weight.zero_()  # side, distance, offset, shape
        network.direction.bias.copy_(torch.tensor([50.0, 0, 1.0, 0.02, -3, -3, 0]))
    x = batch_of(recipe, images)["x"]
    for turn in (slice(None), *rotation_permutations(images.lattice)[:3]):
        _, scalars, _ = network.shower(x[..., turn])
        centroid, axis = scalars[:, :2], image_axis(scalars[:, 2:])
        across = torch.stack([-axis[:, 1], axis[:, 0]], 1)
        step = np.log(1 + np.e) * axis + 0.02 * across
        modes = network(x[..., turn])["direction"].detach().unflatten(1, (2, 6))
        torch.testing.assert_close(modes[:, 0, 1:3], centroid + step)
        torch.testing.assert_close(modes[:, 1, 1:3], centroid - step)
        # the side (1, 0) is wherever x is greater
        assert (modes[:, 0, 0] >= 0).all()
        assert (step[:, 0] > -0.02).all()


def test_axis_and_side_of_few_images_are_learnt_by_heart(images):
    sections = {
        "network": {"dropout": 0.0, "fc_width": 64, "block_features": [8, 12]},
        "optimiser": {"weight_decay": 0.0},
        "loss": AXIS["loss"],
    }
    recipe = small_recipe(**sections)
    batch = batch_of(recipe, images)
    module, losses = train(recipe, images, batch, 160)
    assert losses[-1] < losses[0] - 3  # nearer by a factor of 4 in each coordinate
    module.average, module.log = module.network.eval(), lambda *args, **kwargs: None
    with torch.no_grad():
        module.validation_step(batch, 160)
        module.on_validation_epoch_end()
    assert module.validation["psi68"] < 0.1


def test_cartesian_network_learns_few_images(images):
    sections = {"network": {"variant": "cartesian", "dropout": 0.0}, "shower": {"crop": None}}
    recipe = small_recipe(**sections)
    _, losses = train(recipe, images, batch_of(recipe, images), 25)
    assert losses[-1] < losses[0] - 1


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"network": {"variant": "square"}}, r"network\.variant"),
        ({"network": {"variant": "cartesian"}}, r"set shower\.crop: null"),
        ({**AXIS, "shower": {"features": False}}, r"shower\.features: true"),
        ({**AXIS, "network": {"trunk": 0}}, r"network\.trunk"),
        ({**AXIS, "balance": {"method": "gradnorm"}}, "never negative"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(sections, message):
    values = {"loss": {"energy": "l1"}, **sections}
    with pytest.raises(TrainingError, match=message) as error:
        Recipe.from_dict(values)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("variant", "key", "value"), [(CARTESIAN, "crop", 8), (AXIS, "features", False)]
)
def test_card_that_does_not_fit_the_variant_is_refused(images, variant, key, value):
    recipe = small_recipe(**variant)
    network = make_network(recipe, images)
    record = {"epochs": 1, "metrics": {}}
    card = finished_model(network, recipe, images, divide(recipe, images), record).card
    with pytest.raises(ModelFileError, match=rf"shower\.{key} must be"):
        replace(card, shower={**card.shower, key: value})
