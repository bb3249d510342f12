"""Likelihood outputs in the predictor: rotations, calibration, frames."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.coordinates import SkyCoord, SkyOffsetFrame

from ctapipe_gammalearn.inference import Predictor
from ctapipe_gammalearn.inference.likelihood import (
    Decoded,
    apply_calibration,
    camera_to_telescope,
    decode,
    telescope_to_camera,
)
from ctapipe_gammalearn.lattice import CameraLattice, rotation_permutations
from ctapipe_gammalearn.nn import Architecture, GammaPhysNet, InputSettings
from ctapipe_gammalearn.weights import read_model, trained_model, write_model
from ctapipe_gammalearn.weights.synthetic import synthetic_images

CALIBRATION = {
    "log10_energy": [-1.0, 1.0],
    "energy_bias": [0.1, -0.1],
    "energy_scale": [1.0, 2.0],
    "direction_scale": [0.5, 1.5],
}


@pytest.fixture(scope="module")
def lattice():
    """91 hexagonal pixels around the origin."""
    i, j = np.mgrid[-5:6, -5:6].reshape(2, -1)
    z = 0.05 * (j + i * np.exp(-2j * np.pi / 3))[np.abs(i - j) <= 5] * np.exp(0.3j)
    return CameraLattice.from_positions(z.real, z.imag)


@pytest.fixture(scope="module")
def model(lattice):
    """Model with its own input stage, a likelihood for energy and direction, and impact."""
    shower = InputSettings(5.0, crop=8)
    architecture = Architecture(
        num_channels=5, num_layers=1, block_features=(4, 6), attention="none", reduced=(),
        fc_width=8, trunk=2, num_scalars=shower.num_scalars,
        outputs={"energy": 2, "direction": 12, "class": 2, "impact": 2},
    )  # fmt: skip
    network = GammaPhysNet(architecture, lattice, shower=shower)
    network.reset_parameters(torch.Generator().manual_seed(3))
    with torch.no_grad():  # outputs that differ from image to image
        for head in (network.energy, network.direction, network.impact, network.classifier):
            head.weight.mul_(100)
    return trained_model(network.eval(), lattice, "made-up", calibration=CALIBRATION)


@pytest.fixture(scope="module")
def images(lattice):
    """Charges and times of 30 images."""
    return synthetic_images(lattice, 30, 2, seed=8).transpose(1, 0, 2)


def test_model_file_keeps_input_stage_and_calibration(model, images, tmp_path):
    path = tmp_path / "model.safetensors"
    write_model(path, model)
    again = read_model(path)
    assert again.card.shower == model.card.shower
    assert again.card.calibration == CALIBRATION
    a, b = (Predictor(m).predict(*images) for m in (model, again))
    np.testing.assert_array_equal(a.energy, b.energy)
    np.testing.assert_array_equal(a.direction, b.direction)


def test_turned_images_have_turned_directions_and_equal_energies(model, images):
    predictor = Predictor(model)
    turn = rotation_permutations(model.lattice)[1]
    here, there = (predictor.predict(i, t) for i, t in (images, images[..., turn]))
    np.testing.assert_allclose(there.energy, here.energy, rtol=1e-4)
    np.testing.assert_allclose(there.energy_uncert, here.energy_uncert, rtol=1e-4)
    np.testing.assert_allclose(there.gammaness, here.gammaness, atol=1e-5)
    np.testing.assert_allclose(there.direction_uncert, here.direction_uncert, rtol=1e-3)
    a, b = (telescope_to_camera(p.direction) @ [1, 1j] for p in (here, there))
    np.testing.assert_allclose(b, a * np.exp(1j * np.pi / 3), atol=1e-3)
    c, d = (p.impact @ [1, 1j] for p in (here, there))
    np.testing.assert_allclose(d, c * np.exp(1j * np.pi / 3), atol=1e-2)


def test_without_rotations_one_forward_pass_remains(model, images):
    shower = {**model.card.shower, "rotations": 1}
    single = Predictor(replace(model, card=replace(model.card, shower=shower)))
    decoded, usable = single.decode(*images)
    assert usable.all()
    raw = model.network(torch.as_tensor(images.transpose(1, 0, 2).copy()))
    np.testing.assert_allclose(decoded.log10_energy, raw["energy"][:, 0].detach(), atol=1e-5)


def test_calibration_is_interpolated_and_constant_outside():
    decoded = Decoded(
        log10_energy=np.array([-3.0, 0.0, 1.0]),
        log10_energy_scale=np.full(3, 0.2),
        direction=np.zeros((3, 2)),
        direction_scale=np.full(3, 0.3),
    )
    result = apply_calibration(decoded, CALIBRATION)
    np.testing.assert_allclose(result.log10_energy, [-3.1, 0.0, 1.1])
    np.testing.assert_allclose(result.log10_energy_scale, [0.2, 0.3, 0.4])
    np.testing.assert_allclose(result.direction_scale, [0.15, 0.3, 0.45])


def test_interval_of_the_energy_holds_68_percent_of_a_laplace_distribution():
    rng = np.random.default_rng(5)
    raw = torch.tensor([[0.3, np.log(0.1)]], dtype=torch.float64)
    half = decode({"energy": raw}).log10_energy_scale[0]
    inside = np.abs(rng.laplace(0, 0.1, 200_000)) < half
    assert inside.mean() == pytest.approx(0.68, abs=0.004)


def test_camera_plane_is_the_projection_of_the_sky():
    rng = np.random.default_rng(6)
    direction = rng.uniform(-5, 5, (50, 2))
    pointing = SkyCoord(0 * u.deg, 0 * u.deg)
    frame = SkyOffsetFrame(origin=pointing)
    sky = SkyCoord(*direction.T * u.deg, frame=frame).cartesian.xyz.value
    expected = np.rad2deg(np.stack([sky[2] / sky[0], sky[1] / sky[0]], 1))
    np.testing.assert_allclose(telescope_to_camera(direction), expected, atol=1e-10)
    np.testing.assert_allclose(camera_to_telescope(expected), direction, atol=1e-10)
