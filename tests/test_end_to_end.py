"""A GammaLearn checkpoint, converted by the command, in ctapipe-process: file to DL2 columns."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation
from astropy.time import Time
from ctapipe.containers import ArrayEventContainer, EventType, ObservationBlockContainer
from ctapipe.coordinates import CameraFrame
from ctapipe.core import run_tool
from ctapipe.instrument import (
    CameraDescription,
    CameraGeometry,
    CameraReadout,
    OpticsDescription,
    SizeType,
    SubarrayDescription,
    TelescopeDescription,
)
from ctapipe.io import DataLevel, EventSource, TableLoader
from ctapipe.tools.process import ProcessorTool

from ctapipe_gammalearn.tools.models import main as models_tool

LAYOUTS = ["layoutA_v0.8", "layoutB_v0.10", "layoutC_v0.16", "layoutC_dann_v0.16"]
POINTING_ALT, POINTING_AZ = 1.2, 0.1  # rad; some directions wrap around north
LOCATION = EarthLocation(lon=-17 * u.deg, lat=28 * u.deg, height=2200 * u.m)
POSITION = [100.0, -50.0, 0.0] * u.m


def tiny_geometry(golden, prefix):
    """The 61-pixel camera in the model's ("pix") or the shuffled file order ("file_pix")."""
    table = np.load(golden / "lattice_tiny.npz")
    x, y = (table[f"{prefix}_{axis}"] * u.m for axis in "xy")
    return CameraGeometry(
        name="Tiny",
        pix_id=np.arange(61),
        pix_x=x,
        pix_y=y,
        pix_area=np.full(61, 0.002) * u.m**2,
        pix_type="hexagon",
        pix_rotation=float(table["pix_rotation_deg"]) * u.deg,
        frame=CameraFrame(focal_length=28 * u.m),
    )


def tiny_subarray(geometry):
    """One telescope with that camera."""
    readout = CameraReadout(
        name="Tiny",
        sampling_rate=1 * u.GHz,
        reference_pulse_shape=np.ones((1, 3)),
        reference_pulse_sample_width=1 * u.ns,
        n_channels=1,
        n_pixels=61,
        n_samples=40,
    )
    optics = OpticsDescription(
        name="Tiny",
        size_type=SizeType.LST,
        n_mirrors=1,
        equivalent_focal_length=28 * u.m,
        effective_focal_length=29.3 * u.m,
        mirror_area=400 * u.m**2,
        n_mirror_tiles=198,
        reflector_shape="PARABOLIC",
    )
    telescope = TelescopeDescription("Tiny", optics, CameraDescription("Tiny", geometry, readout))
    return SubarrayDescription("Tiny", {1: POSITION}, {1: telescope}, reference_location=LOCATION)


class GoldenSource(EventSource):
    """Images of the golden checkpoints as DL1 events, pixels in shuffled order."""

    is_simulation = False
    datalevels = (DataLevel.DL1_IMAGES,)
    scheduling_blocks = {}

    @staticmethod
    def is_compatible(file_path):
        """Only the golden file."""
        return str(file_path).endswith("checkpoints_expected.npz")

    @property
    def subarray(self):
        """Camera in file order."""
        return tiny_subarray(tiny_geometry(self.input_url.parent, "file_pix"))

    @property
    def observation_blocks(self):
        """One run."""
        return {1: ObservationBlockContainer(obs_id=np.int32(1))}

    def _generator(self):
        order = np.load(self.input_url.parent / "lattice_tiny.npz")["file_to_model"]
        for i, (image, peak_time) in enumerate(np.load(self.input_url)["input"]):
            event = ArrayEventContainer(count=i)
            event.index.obs_id, event.index.event_id = 1, i
            event.trigger.event_type = EventType.SUBARRAY
            event.trigger.tels_with_trigger = [1]
            event.trigger.time = event.trigger.tel[1].time = Time.now()
            dl1 = event.dl1.tel[1]
            dl1.image, dl1.peak_time = np.empty((2, 61), dtype=np.float32)
            dl1.image[order], dl1.peak_time[order] = image, peak_time
            pointing = event.monitoring.tel[1].pointing
            pointing.altitude, pointing.azimuth = POINTING_ALT * u.rad, POINTING_AZ * u.rad
            yield event


@pytest.fixture(scope="module")
def camera_file(golden, tmp_path_factory):
    """Camera in the model's order, as ctapipe writes it."""
    path = tmp_path_factory.mktemp("camera") / "tiny.camgeom.fits.gz"
    tiny_geometry(golden, "pix").to_table().write(path)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dl2_columns_hold_what_the_original_network_gives(golden, camera_file, layout, tmp_path):
    model, output = tmp_path / "model.safetensors", tmp_path / "out.dl2.h5"
    with pytest.raises(SystemExit) as stop:
        models_tool(
            [
                *("convert", str(golden / f"checkpoint_{layout}.ckpt"), "-o", str(model)),
                *("--camera", str(camera_file), "--activation", "relu", "--class-ids", "0,101"),
                *("--direction", "altaz-offset-rad", "--nan-time", "-20"),
            ]
        )
    assert stop.value.code == 0
    config = tmp_path / "no_cuts.yaml"
    config.write_text("StereoQualityQuery: {quality_criteria: []}")
    argv = [
        *("--input", str(golden / "checkpoints_expected.npz"), "--output", str(output)),
        *("--write-showers", "--reconstructor", "GammaPhysNetReconstructor"),
        f"--GammaPhysNetReconstructor.model_path={model}",
        f"--config={config}",
        f"--provenance-log={tmp_path / 'log'}",
    ]
    run_tool(ProcessorTool(), argv, raises=True)
    with TableLoader(output) as loader:
        table = loader.read_telescope_events(dl2=True, simulated=False)
        array = loader.read_subarray_events(dl2=True, simulated=False)
    expected = np.load(golden / "checkpoints_expected.npz")
    # the second image gives 10^10.75 TeV, which is no reconstruction
    np.testing.assert_array_equal(table["GammaPhysNetEnergy_tel_is_valid"], [True, False, True])
    assert np.isnan(table["GammaPhysNetEnergy_tel_energy"][1])
    good = [0, 2]
    direction = expected["out_direction"][good].astype(float)
    core = 1000 * expected["out_impact"][good] + POSITION.to_value("m")[:2]
    values = {
        "GammaPhysNetEnergy_tel_energy": 10 ** expected["out_energy"][good, 0].astype(float),
        "GammaPhysNetGeometry_tel_alt": np.rad2deg(POINTING_ALT + direction[:, 0]),
        "GammaPhysNetGeometry_tel_az": np.rad2deg(POINTING_AZ + direction[:, 1]) % 360,
        "GammaPhysNetGeometry_tel_core_x": core[:, 0],
        "GammaPhysNetGeometry_tel_core_y": core[:, 1],
        "GammaPhysNetParticle_tel_prediction": np.exp(expected["class_log_softmax"][good, 0]),
    }
    for name, value in values.items():
        np.testing.assert_allclose(table[name][good], value, rtol=3e-4, atol=1e-4, err_msg=name)
        mono = name.replace("_tel_", "_")
        np.testing.assert_allclose(array[mono][good], value, rtol=3e-4, atol=1e-4, err_msg=mono)
