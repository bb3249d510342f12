"""One step: what is averaged, decayed, clipped and refused."""

import math

import pytest
import torch

from ctapipe_gammalearn.exceptions import TrainingError
from ctapipe_gammalearn.training.loader import BatchLoader
from ctapipe_gammalearn.training.module import TrainingModule, smoothness
from ctapipe_gammalearn.training.preparation import divide, make_network
from ctapipe_gammalearn.training.schedule import average_decay

from .toy import small_recipe, toy_images


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Few images of a small camera."""
    return toy_images(tmp_path_factory.mktemp("arrays"), 300, rings=4)


@pytest.fixture
def batch(images):
    """A batch of training."""
    recipe = small_recipe()
    parts = divide(recipe, images)
    return next(iter(BatchLoader(images, parts.gammas, parts.background, batch_size=16)))


def module_of(images, **sections):
    """Module and optimiser without a trainer."""
    recipe = small_recipe(**sections)
    module = TrainingModule(make_network(recipe, images), recipe, 10).train()
    return module, module.configure_optimizers()["optimizer"]


def step(module, optimizer, batch):
    """A step as Lightning does it."""
    optimizer.zero_grad()
    loss = module.training_step(dict(batch), 0)
    loss.backward()
    module.configure_gradient_clipping(optimizer)
    optimizer.step()
    module.update_average()
    return loss


def test_only_kernels_and_matrices_decay(images):
    module, optimizer = module_of(images, optimiser={"weight_decay": 0.5})
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    for name, parameter in module.network.named_parameters():
        kernel = name.endswith("weight") and parameter.ndim > 1
        assert decay.pop(id(parameter)) == (0.5 if kernel else 0.0)
    assert not decay


def test_balance_has_its_own_rate_and_no_decay(images):
    module, optimizer = module_of(
        images,
        loss={"energy": "l1", "direction": "angular"},
        balance={"method": "uncertainty", "learning_rate": 0.05},
    )
    group = optimizer.param_groups[-1]
    assert group["params"] == [module.balance.log_variance]
    assert (group["initial_lr"], group["lr"], group["weight_decay"]) == (0.05, 0.05, 0)


def test_average_follows_weights_and_statistics(images, batch):
    module, optimizer = module_of(images)
    name, statistic = "cv0.weight", "block1_layer1.conv_block.bn1.running_var"
    expected = {key: module.average.backbone.state_dict()[key].clone() for key in (name, statistic)}
    for n in range(3):
        step(module, optimizer, batch)
        for key, value in expected.items():
            share = 1 - average_decay(n)
            value += share * (module.network.backbone.state_dict()[key] - value)
    for key, value in expected.items():
        torch.testing.assert_close(module.average.backbone.state_dict()[key], value)
    assert not module.average.training
    assert not torch.equal(expected[name], module.network.backbone.state_dict()[name])


def test_gradient_is_clipped(images, batch):
    module, optimizer = module_of(images, optimiser={"clip": 0.01})
    step(module, optimizer, batch)
    norms = [p.grad.norm() for p in module.network.parameters() if p.grad is not None]
    assert torch.stack(norms).norm() == pytest.approx(0.01, rel=1e-3)


def test_loss_that_is_no_number_stops_the_training_with_step_and_task(images, batch):
    module, _ = module_of(images)
    batch["log10_energy"][0] = math.nan
    with pytest.raises(TrainingError, match=r"step 0: the loss \(energy\) is not finite"):
        module.training_step(batch, 0)


def test_smoothness_is_the_mean_squared_gradient_of_the_charges():
    x = torch.tensor([[[1.0, 2], [5, 5]], [[3, 0], [5, 5]]], requires_grad=True)
    loss = x.square().sum((1, 2)).mean()  # gradient of an image: 2 x
    assert smoothness(loss, x).item() == pytest.approx((4 * 5 + 4 * 9) / 2)


@pytest.mark.parametrize(
    "sections",
    [
        {"loss": {"gradient_penalty": 0.1}},
        {"network": {"tasks": ["energy", "direction", "class", "impact"], "attention": "dual"}},
        {"network": {"trunk": 0, "tasks": ["energy", "class"]}, "loss": {"energy": "l1"}},
        {"shower": {"crop": None, "features": False}},
        {"loss": {"energy": "smooth_l1", "direction": "l1"}, "balance": {"method": "gradnorm"}},
        {"loss": {"energy": "l1", "direction": "angular"}, "balance": {"method": "uncertainty"}},
    ],
)
def test_every_choice_gives_finite_gradients(images, batch, sections):
    module, optimizer = module_of(images, **sections)
    before = module.network.backbone.cv0.weight.detach().clone()
    for _ in range(2):
        assert torch.isfinite(step(module, optimizer, batch))
    assert set(module.last_losses) == {"sum", *module.network.architecture.outputs}
    after = module.network.backbone.cv0.weight
    assert torch.isfinite(after).all()
    assert not torch.equal(before, after)


def test_few_images_are_learnt_by_heart(images, batch):
    sections = {
        "network": {"dropout": 0.0, "fc_width": 64, "block_features": [8, 12]},
        "optimiser": {"average": 0.9, "weight_decay": 0.0, "learning_rate": 5e-3},
    }
    module, optimizer = module_of(images, **sections)
    for n in range(150):
        for group in optimizer.param_groups:
            group["lr"] = 5e-3 * (1 - n / 150)
        step(module, optimizer, batch)
    module.on_validation_epoch_start()
    module.network.eval()
    module.average = module.network
    module.log = lambda *args, **options: None
    with torch.no_grad():
        module.validation_step(batch, 0)
        module.on_validation_epoch_end()
    assert module.validation["auc"] == 1.0
    assert module.validation["psi68"] < 0.05
    assert module.validation["median_abs_ln"] < 0.05
