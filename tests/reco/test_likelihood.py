"""Models with an input stage and likelihood outputs in the reconstructor."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, SkyCoord
from ctapipe.coordinates import TelescopeFrame
from ctapipe.io import EventSource

from ctapipe_gammalearn.inference import Predictor
from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.reco import GammaPhysNetReconstructor
from ctapipe_gammalearn.weights import trained_model, write_model
from tests.helpers import shower_network


@pytest.fixture(scope="module", params=["modes", "axis", "cartesian"])
def likelihood_model(request, subarray, tmp_path_factory):
    """Path of a model with random weights, all tasks, for LSTs, in each variant."""
    geometry = subarray.tel[1].camera.geometry
    x, y = (values.to_value(u.m) for values in (geometry.pix_x, geometry.pix_y))
    lattice = CameraLattice.from_positions(x, y)
    size = (28, 28) if request.param == "cartesian" else None
    network = shower_network(lattice, 29.3, 7 if request.param == "axis" else 24, size)
    path = tmp_path_factory.mktemp("likelihood") / "model.safetensors"
    write_model(path, trained_model(network, lattice, "LSTCam"))
    return path


def test_telescopes_have_the_values_and_uncertainties_of_the_predictor(
    likelihood_model, subarray, stereo_dl1
):
    reconstructor = GammaPhysNetReconstructor(
        subarray, model_path=str(likelihood_model), device="cpu"
    )
    reconstructor.quality_query = type(reconstructor.quality_query)(
        parent=reconstructor, quality_criteria=[]
    )
    predictor = Predictor(likelihood_model, device="cpu")
    with EventSource(stereo_dl1, max_events=3) as source:
        for event in source:
            reconstructor(event)
            for tel_id in event.trigger.tels_with_trigger:
                dl1, dl2 = event.dl1.tel[tel_id], event.dl2.tel[tel_id]
                expected = predictor.predict(dl1.image, dl1.peak_time)
                energy = dl2.energy["GammaPhysNetEnergy"]
                geometry = dl2.geometry["GammaPhysNetGeometry"]
                assert energy.is_valid
                assert energy.energy.to_value(u.TeV) == pytest.approx(expected.energy[0])
                assert energy.energy_uncert.to_value(u.TeV) == pytest.approx(
                    expected.energy_uncert[0]
                )
                assert geometry.ang_distance_uncert.to_value(u.deg) == pytest.approx(
                    expected.direction_uncert[0]
                )
                offset = sky_offset(event, tel_id, geometry)
                np.testing.assert_allclose(offset, expected.direction[0], atol=1e-4)
                assert np.isfinite([geometry.core_x.value, geometry.core_y.value]).all()


def sky_offset(event, tel_id, geometry):
    """fov_lon, fov_lat (deg) of a reconstructed direction, by astropy."""
    pointing = event.monitoring.tel[tel_id].pointing
    frame = TelescopeFrame(telescope_pointing=AltAz(alt=pointing.altitude, az=pointing.azimuth))
    sky = SkyCoord(alt=geometry.alt, az=geometry.az, frame=AltAz()).transform_to(frame)
    return sky.fov_lon.to_value(u.deg), sky.fov_lat.to_value(u.deg)
