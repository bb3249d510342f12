"""The network's own input stage against ctapipe's cleaning and image parameters."""

import astropy.units as u
import numpy as np
import pytest
import torch
from ctapipe.image import hillas_parameters, leakage_parameters, tailcuts_clean

from ctapipe_gammalearn.exceptions import ModelFileError
from ctapipe_gammalearn.io.cameras import load_camera
from ctapipe_gammalearn.lattice import CameraLattice, rotation_permutations
from ctapipe_gammalearn.nn import Architecture, GammaPhysNet, InputSettings
from ctapipe_gammalearn.nn.features import image_axis
from ctapipe_gammalearn.nn.shower import ShowerInput
from ctapipe_gammalearn.weights.synthetic import synthetic_images

FOCAL_LENGTH = 29.3
N = 40


@pytest.fixture(scope="module")
def geometry():
    """LSTCam."""
    return load_camera("LSTCam")


@pytest.fixture(scope="module")
def lattice(geometry):
    """LSTCam as a lattice."""
    return CameraLattice.from_positions(geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m"))


@pytest.fixture(scope="module")
def images(lattice):
    """Charges and times of 40 images."""
    return synthetic_images(lattice, N, 2, seed=5)


def stage(lattice, **options):
    """Input stage with the settings given."""
    return ShowerInput(InputSettings(FOCAL_LENGTH, **options), lattice)


@pytest.mark.parametrize(("picture", "boundary", "neighbours"), [(8, 4, 2), (10, 5, 1), (5, 5, 3)])
def test_cleaning_is_that_of_ctapipe(geometry, lattice, images, picture, boundary, neighbours):
    options = dict(picture_pe=picture, boundary_pe=boundary, min_neighbours=neighbours)
    ours = stage(lattice, **options).clean(torch.as_tensor(images[:, 0])).bool().numpy()
    for image, mask in zip(images[:, 0], ours, strict=True):
        expected = tailcuts_clean(
            geometry, image, picture, boundary, min_number_picture_neighbors=neighbours
        )
        if expected.any():
            np.testing.assert_array_equal(mask, expected)


def test_features_are_hillas_and_leakage_parameters(geometry, lattice, images):
    _, scalars, _ = stage(lattice)(torch.as_tensor(images))
    scalars32, scalars = scalars, scalars.double().numpy()
    degrees = np.rad2deg(1 / FOCAL_LENGTH)
    feature = np.sign(scalars) * np.expm1(np.abs(scalars))
    for k, image in enumerate(images[:, 0]):
        mask = tailcuts_clean(geometry, image, 8, 4, min_number_picture_neighbors=2)
        if mask.sum() < 5:
            continue
        hillas = hillas_parameters(geometry[mask], image[mask])
        assert scalars[k, 0] == pytest.approx(hillas.x.to_value(u.m) * degrees, abs=1e-4)
        assert scalars[k, 1] == pytest.approx(hillas.y.to_value(u.m) * degrees, abs=1e-4)
        assert np.exp(feature[k, 2]) == pytest.approx(hillas.intensity, rel=1e-3)
        assert feature[k, 4] == pytest.approx(hillas.length.to_value(u.m) * degrees, rel=1e-3)
        assert feature[k, 5] == pytest.approx(hillas.width.to_value(u.m) * degrees, rel=1e-3)
        psi, axis = hillas.psi.to_value(u.rad), image_axis(scalars32[k : k + 1, 2:])[0].numpy()
        assert abs(axis @ [np.cos(psi), np.sin(psi)]) == pytest.approx(1, abs=1e-5)
        assert feature[k, 7] == pytest.approx(abs(hillas.skewness), rel=2e-3, abs=1e-3)
        assert feature[k, 12] == pytest.approx(mask.sum(), rel=1e-3)
        leakage = leakage_parameters(geometry, image, mask)
        assert feature[k, 13] == pytest.approx(leakage.intensity_width_1, abs=1e-3)
        assert feature[k, 14] == pytest.approx(leakage.intensity_width_2, abs=1e-3)


@pytest.mark.parametrize("crop", [24, None])
def test_a_turned_image_has_turned_vectors_and_equal_numbers(lattice, images, crop):
    table = torch.as_tensor(rotation_permutations(lattice))
    inputs, x = stage(lattice, crop=crop), torch.as_tensor(images)
    _, scalars, centre = inputs(x)
    _, turned, turned_centre = inputs(x[..., table[2]])
    cos, sin = np.cos(2 * np.pi / 3), np.sin(2 * np.pi / 3)
    turn = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float32)
    np.testing.assert_allclose(turned[:, 2:18], scalars[:, 2:18], atol=2e-3)
    for start, power in ((0, 1), (18, 1), (20, 1), (22, 2), (24, 1)):
        expected = scalars[:, start : start + 2] @ torch.linalg.matrix_power(turn, power)
        np.testing.assert_allclose(turned[:, start : start + 2], expected, atol=2e-3)
    np.testing.assert_allclose(turned_centre, centre @ turn, atol=1e-4)


def test_the_patch_shows_the_camera_around_the_centroid(lattice, images):
    x = torch.as_tensor(images)
    channels, scalars, centre = stage(lattice)(x)
    assert channels.shape == (N, 5, 24 * 24)
    pitch = np.rad2deg(lattice.pitch_m / FOCAL_LENGTH)
    assert (scalars[:, :2] - centre).norm(dim=1).max() <= pitch * 0.58
    whole, _, _ = stage(lattice, crop=None)(x)
    middle = 12 * 24 + 12
    degrees = np.rad2deg(np.stack([lattice.pix_x, lattice.pix_y], 1) / FOCAL_LENGTH)
    for k in range(N):
        pixel = np.hypot(*(degrees - centre[k].numpy()).T).argmin()
        np.testing.assert_array_equal(channels[k, :, middle], whole[k, :, pixel])
    assert set(channels[:, 4].unique().tolist()) == {0.0, 1.0}


def test_the_direction_on_the_whole_camera_is_relative_to_the_centroid(lattice, images):
    _, scalars, centre = stage(lattice, crop=None)(torch.as_tensor(images))
    assert (scalars[:, :2] == centre).all()
    assert centre.abs().max() > 0.1


def test_pixels_outside_the_mask_can_be_left_out(lattice, images):
    channels, _, _ = stage(lattice, all_pixels=False, crop=None)(torch.as_tensor(images))
    outside = channels[:, 1] == 0
    assert (channels[:, [0, 2, 3]].abs().sum(1)[outside] == 0).all()


@pytest.mark.parametrize("charge", [0.0, -3.0, 1e6])
def test_odd_images_stay_finite(lattice, charge):
    x = torch.full((2, 2, lattice.n_pixels), charge)
    for part in stage(lattice)(x):
        assert torch.isfinite(part).all()


def test_features_reach_the_outputs_and_gradients_the_weights(lattice, images):
    settings = InputSettings(FOCAL_LENGTH, crop=8)
    architecture = Architecture(
        num_channels=5, num_layers=1, block_features=(4, 6), attention="none", reduced=(),
        fc_width=8, trunk=2, num_scalars=settings.num_scalars,
        outputs={"energy": 2, "direction": 24, "class": 2, "impact": 2},
    )  # fmt: skip
    network = GammaPhysNet(architecture, lattice, shower=settings)
    network.dropout = 0.1
    out = network(torch.as_tensor(images))
    assert {task: tuple(v.shape) for task, v in out.items()} == {
        "energy": (N, 2), "direction": (N, 24), "class": (N, 2), "impact": (N, 2)
    }  # fmt: skip
    sum(v.square().sum() for v in out.values()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert network.trunk[0].weight.grad[:, -settings.num_scalars :].abs().sum() > 0


def test_frozen_network_gives_the_same(lattice, images):
    settings = InputSettings(FOCAL_LENGTH, crop=12)
    architecture = Architecture(
        num_channels=5, num_layers=1, block_features=(4, 6), reduced=(1, 1), fc_width=8,
        trunk=1, num_scalars=settings.num_scalars, outputs={"energy": 1, "direction": 2},
    )  # fmt: skip
    network = GammaPhysNet(architecture, lattice, shower=settings)
    x = torch.as_tensor(images)
    network(x)  # statistics
    expected = network.eval()(x)
    for task, value in network.frozen()(x).items():
        np.testing.assert_allclose(value, expected[task].detach(), atol=1e-4)


@pytest.mark.parametrize(
    "wrong", [dict(picture_pe=2.0), dict(crop=3), dict(rotations=5), dict(focal_length_m=0.0)]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ModelFileError, match=next(iter(wrong))):
        InputSettings(**{"focal_length_m": FOCAL_LENGTH, **wrong})
