"""Fixtures of the reconstructor's tests."""

import pytest
from ctapipe.io import EventSource

from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.nn import Architecture
from ctapipe_gammalearn.weights import random_model, write_model
from tests.reco import fakes


@pytest.fixture
def fake_model(monkeypatch, tmp_path):
    """Path of a "model" of 1855 pixels that the fake predictor runs, and no counts yet."""
    fakes.use_fake_predictor(monkeypatch.setattr)
    monkeypatch.setattr(fakes.FakePredictor, "batches", [])
    path = tmp_path / "fake.model"
    path.write_text("1855", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def simtel(shared):
    """Folder of sim_telarray files."""
    return shared / "data" / "simtel"


@pytest.fixture(scope="session")
def mono_simtel(simtel):
    """30 events of one LST."""
    return simtel / "lst_muons.simtel.zst"


@pytest.fixture(scope="session")
def multi_simtel(simtel):
    """4 events, 15 images, 13 telescopes of two types; the first event has one telescope."""
    return simtel / "proton_run000001_za20deg_azm180deg_North_alpha_6.0.2_test.simtel.zst"


@pytest.fixture(scope="session")
def stereo_dl1(shared):
    """DL1 file with images of four LSTs and the stereo results of HillasReconstructor."""
    return shared / "data" / "sim" / "stereo_gamma_point.dl1.h5"


@pytest.fixture(scope="session")
def mono_dl1(shared):
    """DL1 file with images of one LST."""
    return shared / "data" / "sim" / "test_gamma_point.dl1.h5"


@pytest.fixture(scope="session")
def subarray(stereo_dl1):
    """Four LSTs."""
    with EventSource(stereo_dl1) as source:
        return source.subarray


@pytest.fixture(scope="session")
def model_for(tmp_path_factory):
    """Function that gives the path of a small untrained model for a camera.

    One model for all cameras of the same number of pixels.
    """
    folder = tmp_path_factory.mktemp("models")

    def make(geometry, name="net", **options):
        path = folder / f"{name}_{geometry.n_pixels}.safetensors"
        if path.exists():
            return path
        shape = "square" if "SQUARE" in str(geometry.pix_type) else "hexagonal"
        x, y = (values.to_value("m") for values in (geometry.pix_x, geometry.pix_y))
        lattice = CameraLattice.from_positions(x, y, shape)
        architecture = Architecture(
            num_layers=1, block_features=(4, 6), reduced=(1, 1), fc_width=8, **options
        )
        write_model(path, random_model(lattice, geometry.name, architecture, seed=3))
        return path

    return make


@pytest.fixture(scope="session")
def lst_model(model_for, subarray):
    """Untrained model of the LST camera."""
    return model_for(subarray.tel[1].camera.geometry)


@pytest.fixture(autouse=True)
def quick_verification(request, monkeypatch):
    """Spare the many runs inside this process the reading back, which has its own tests."""
    if request.module.__name__.rpartition(".")[2] != "test_verify":
        monkeypatch.setattr("ctapipe_gammalearn.reco.verify.CHECK", "")
