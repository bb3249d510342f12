"""Small cameras and models."""

import numpy as np
import pytest

from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.nn import Architecture
from ctapipe_gammalearn.weights import random_model, write_model
from ctapipe_gammalearn.weights.container import seal, unseal

ROTATION = 100.893


def hexagon(radius=4, pitch=0.05):
    """Positions (x, y) of a hexagonal camera with ``radius`` rings, shuffled."""
    i, j = np.mgrid[-radius : radius + 1, -radius : radius + 1].reshape(2, -1)
    inside = np.abs(i - j) <= radius
    z = pitch * (j + i * np.exp(-2j * np.pi / 3)) * np.exp(1j * np.deg2rad(ROTATION))
    z = np.random.default_rng(1).permutation(z[inside])
    return z.real, z.imag


def edit(path, card=None, tensors=None):
    """Rewrite a model file with a changed card text or tensors, correctly sealed."""
    text, arrays = unseal(path.read_bytes())
    text = card(text) if card else text
    arrays = tensors(dict(arrays)) if tensors else arrays
    path.write_bytes(seal(text, arrays))


@pytest.fixture(scope="session")
def lattice():
    """61 hexagonal pixels."""
    return CameraLattice.from_positions(*hexagon(), "hexagonal", ROTATION)


@pytest.fixture(scope="session")
def architecture():
    """Two small blocks."""
    return Architecture(num_layers=1, block_features=(4, 6), reduced=(1, 2), fc_width=8)


@pytest.fixture(scope="session")
def model(lattice, architecture):
    """Untrained model."""
    return random_model(lattice, "Hex61", architecture, seed=3)


@pytest.fixture
def model_file(model, tmp_path):
    """The model in a file."""
    path = tmp_path / "model.safetensors"
    write_model(path, model)
    return path


@pytest.fixture
def edit_model(model_file):
    """Function that changes the model file but keeps its seal correct; gives its path."""

    def change(card=None, tensors=None):
        edit(model_file, card, tensors)
        return model_file

    return change
