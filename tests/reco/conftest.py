"""Fixtures of the reconstructor's tests."""

import pytest

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
    """DL1 file with images of four LSTs."""
    return shared / "data" / "sim" / "stereo_gamma_point.dl1.h5"
