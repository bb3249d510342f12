"""Simulated DL1 files as arrays: true values against ctapipe's frames, and bad files."""

import hashlib
import json
import shutil
from importlib.resources import files
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
import tables
from astropy.coordinates import AltAz, SkyCoord
from ctapipe.coordinates import GroundFrame, TelescopeFrame, TiltedGroundFrame
from ctapipe.io import TableLoader, read_table

from ctapipe_gammalearn.exceptions import TrainingError
from ctapipe_gammalearn.io import training_files
from ctapipe_gammalearn.io.cameras import load_camera
from ctapipe_gammalearn.io.training_files import content_hash, convert
from ctapipe_gammalearn.training.arrays import join
from ctapipe_gammalearn.training.selection import Cleaning, summaries
from ctapipe_gammalearn.training.split import parts

IMAGES = "/dl1/event/telescope/images"


@pytest.fixture(scope="module")
def demo():
    """Small simulated file that comes with the package: diffuse gammas, four LSTs."""
    return files("ctapipe_gammalearn") / "resources/demo_events.dl1.h5"


@pytest.fixture(scope="module")
def converted(demo, tmp_path_factory):
    """Its arrays."""
    return convert(demo, tmp_path_factory.mktemp("arrays") / "demo")


@pytest.fixture(scope="module")
def table(demo, converted):
    """Its events as ctapipe reads them, in the order of the arrays."""
    with TableLoader(demo) as loader:
        table = loader.read_telescope_events(dl1_parameters=True, simulated=True)
        table.meta["subarray"] = loader.subarray
    names = ("obs_id", "event_id", "tel_id")
    rows = {key: i for i, key in enumerate(zip(*(table[n].tolist() for n in names), strict=True))}
    events = converted.events
    return table[[rows[key] for key in zip(*(events[n].tolist() for n in names), strict=True)]]


@pytest.fixture
def copy(demo, tmp_path):
    """A copy of the file that may be changed."""
    return shutil.copy(demo, tmp_path / "copy.dl1.h5")


def test_every_image_is_there_once(converted, table):
    assert len(converted) == len(table) == 171
    keys = converted.events[["obs_id", "event_id", "tel_id"]]
    assert len(np.unique(keys)) == 171


def test_charges_and_times_are_decoded(demo, converted):
    """Files hold integers; arrays hold p.e. and ns."""
    for tel_id in (1, 4):
        one = read_table(demo, f"{IMAGES}/tel_{tel_id:03d}")
        here = converted.events["tel_id"] == tel_id
        image, peak_time = converted.image[here], converted.peak_time[here]
        np.testing.assert_allclose(image, one["image"], rtol=5e-4, atol=0)
        np.testing.assert_allclose(peak_time, one["peak_time"], rtol=5e-4, atol=0)
    assert -10 < converted.image.min() < 0
    assert abs(np.median(converted.image)) < 5


def test_truth_is_that_of_ctapipe(converted, table):
    np.testing.assert_allclose(
        10.0 ** converted.events["log10_energy"], table["true_energy"], rtol=1e-6, atol=0
    )
    np.testing.assert_array_equal(converted.events["particle"], 0)


def test_direction_is_the_gnomonic_position_of_the_source(converted, table):
    pointing = AltAz(
        alt=table["telescope_pointing_altitude"].quantity,
        az=table["telescope_pointing_azimuth"].quantity,
    )
    source = SkyCoord(
        alt=table["true_alt"].quantity, az=table["true_az"].quantity, frame=AltAz()
    ).transform_to(TelescopeFrame(telescope_pointing=pointing))
    lon, lat = source.fov_lon.to_value(u.rad), source.fov_lat.to_value(u.rad)
    expected = np.rad2deg(np.column_stack([np.tan(lat) / np.cos(lon), np.tan(lon)]))
    np.testing.assert_allclose(converted.events["direction"], expected, rtol=0, atol=1e-5)
    assert np.abs(expected).max() > 1


def test_impact_is_that_of_the_tilted_frame(converted, table):
    subarray = table.meta["subarray"]
    for i in range(0, len(table), 17):
        pointing = AltAz(
            alt=table["telescope_pointing_altitude"].quantity[i],
            az=table["telescope_pointing_azimuth"].quantity[i],
        )
        tilted = TiltedGroundFrame(pointing_direction=pointing)
        core = GroundFrame(
            x=table["true_core_x"].quantity[i], y=table["true_core_y"].quantity[i], z=0 * u.m
        ).transform_to(tilted)
        position = GroundFrame(*subarray.positions[table["tel_id"][i]]).transform_to(tilted)
        expected = [(getattr(core, c) - getattr(position, c)).to_value(u.m) / 100 for c in "xy"]
        np.testing.assert_allclose(converted.events["impact"][i], expected, rtol=0, atol=1e-5)


def test_images_lie_opposite_to_the_impact(converted):
    """Signs and axes of all three frames at once, on simulated showers."""
    events = converted.events
    image = np.where(converted.image > 8, converted.image, 0).astype(float)
    bright = (events["intensity"] > 300) & (np.hypot(*events["impact"].T) > 0.5)
    total = image.sum(axis=1)[bright]
    focal_length = converted.meta["focal_length_m"]
    centroid = np.column_stack(
        [image[bright] @ pix / total for pix in (converted.pix_x, converted.pix_y)]
    )
    offset = np.rad2deg(centroid / focal_length) - events["direction"][bright]
    angle = np.arctan2(*offset.T[::-1]) - np.arctan2(*events["impact"][bright].T[::-1])
    cos = np.cos(angle)
    assert bright.sum() > 30
    assert np.median(cos) < -0.98


def test_sizes_are_those_of_the_stored_images(demo, converted, tmp_path):
    images = join([converted])
    image = read_table(demo, f"{IMAGES}/tel_002")["image"]
    here = converted.events["tel_id"] == 2
    names = ("intensity", "n_pixels", "leakage")
    for name, values in zip(names, summaries(image, images.lattice), strict=True):
        np.testing.assert_array_equal(converted.events[name][here], values)
    other = convert(demo, tmp_path / "a", tel_ids=[2], shower=Cleaning(6.0, 3.0, 1))
    expected = summaries(image, images.lattice, Cleaning(6.0, 3.0, 1))[0]
    np.testing.assert_array_equal(other.events["intensity"], expected)
    assert other.meta["cleaning"] == {"picture_pe": 6.0, "boundary_pe": 3.0, "min_neighbours": 1}


def test_images_of_a_shower_share_their_key(converted):
    events = converted.events
    shower = events["event_id"] // 100  # how our simulation numbers the uses of a shower
    pairs = set(zip(shower.tolist(), events["shower"].tolist(), strict=True))
    assert len(pairs) == len({s for s, _ in pairs}) == len({k for _, k in pairs}) > 20
    part = parts(events)
    assert len({(s, p) for s, p in zip(shower.tolist(), part.tolist(), strict=True)}) == len(pairs)


def test_record_says_what_was_simulated(demo, converted):
    assert converted.meta["camera"] == "LSTCam"
    assert converted.meta["shape"] == "hexagonal"
    assert converted.meta["focal_length_m"] == pytest.approx(29.26, abs=0.1)  # effective
    assert converted.meta["sources"] == [
        {
            "file": "demo_events.dl1.h5",
            "sha256": hashlib.sha256(demo.read_bytes()).hexdigest(),
            "obs_ids": [421],
            "tel_ids": [1, 2, 3, 4],
            "primary": "gamma",
            "spectral_index": -2.0,
            "energy_TeV": [0.01, 50.0],
            "viewcone_deg": [0.0, 2.5],
            "pointing_alt_az_deg": [70.0, 180.0],
            "n_images": 171,
            "noise_pe": [1.3, 1.5],
        }
    ]
    assert content_hash(demo) == converted.meta["sources"][0]["sha256"]
    assert json.loads(json.dumps(converted.meta)) == converted.meta


def test_noise_is_that_outside_of_the_cleaned_images(demo, converted):
    with TableLoader(demo) as loader:
        table = loader.read_telescope_events(dl1_images=True)
    noise = [i[~mask].std() for i, mask in zip(table["image"], table["image_mask"], strict=True)]
    expected = np.quantile(noise, (0.05, 0.95))
    np.testing.assert_allclose(converted.meta["sources"][0]["noise_pe"], expected, rtol=0.1)


def test_pixels_are_those_of_the_camera(converted):
    camera = load_camera("LSTCam")
    np.testing.assert_allclose(converted.pix_x, camera.pix_x.to_value(u.m), rtol=0, atol=1e-4)
    np.testing.assert_allclose(converted.pix_y, camera.pix_y.to_value(u.m), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "choice", [{"tel_type": "LST_LST_LSTCam"}, {"tel_type": "LSTCam"}, {"tel_ids": [1, 2, 3, 4]}]
)
def test_telescopes_can_be_chosen(demo, converted, tmp_path, choice):
    found = convert(demo, tmp_path / "a", **choice)
    assert found.events.tobytes() == converted.events.tobytes()


def test_small_chunks_give_the_same(demo, converted, tmp_path, monkeypatch):
    monkeypatch.setattr(training_files, "CHUNK", 10)
    done = []
    found = convert(demo, tmp_path / "a", progress=done.append)
    assert found.events.tobytes() == converted.events.tobytes()
    np.testing.assert_array_equal(found.image, converted.image)
    assert sum(done) == 171
    assert max(done) == 10


def remove(path, *nodes):
    """Delete nodes of a file."""
    with tables.open_file(path, "a") as file:
        for node in nodes:
            file.remove_node(node, recursive=True)


def test_broken_images_are_dropped(copy, tmp_path):
    with tables.open_file(copy, "a") as file:
        node = file.get_node(f"{IMAGES}/tel_001")
        rows = node.read()
        rows["image"][3] = 65534  # ctapipe's mark of NaN
        rows["image"][4, :20] = 65534
        node.modify_rows(0, len(rows), rows=rows)
    found = convert(copy, tmp_path / "a")
    assert len(found) == 170
    assert found.meta["n_dropped"] == 1
    assert (found.image[3, :20] == 0).all()


ERRORS = {
    "no DL1 images; run ctapipe-process with --write-images": [IMAGES],
    "no simulated showers": ["/simulation/event/subarray/shower"],
    "damaged or no DL1 file of ctapipe": ["/dl1/event/telescope/trigger"],
    "no pointing": ["/configuration/telescope/pointing"],
}


@pytest.mark.parametrize("message", ERRORS)
def test_files_without_what_is_needed_are_refused(copy, tmp_path, message):
    remove(copy, *ERRORS[message])
    with pytest.raises(TrainingError, match=message) as caught:
        convert(copy, tmp_path / "out" / "a")
    assert str(caught.value).startswith(str(copy))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out/*"))


def test_damaged_file_is_refused(copy, tmp_path):
    path = tmp_path / "half.dl1.h5"
    path.write_bytes(copy.read_bytes()[:100_000])
    with pytest.raises(TrainingError, match=r"half.dl1.h5: no complete HDF5 file"):
        convert(path, tmp_path / "a")
    with pytest.raises(TrainingError, match="no such file"):
        convert(tmp_path / "none.h5", tmp_path / "a")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"tel_ids": [2, 9]}, r"no images of telescope\(s\) 9"),
        ({"tel_type": "MST"}, "no telescope to take images from; the file has LST_LST_LSTCam"),
    ],
)
def test_unknown_telescopes_are_refused(demo, tmp_path, choice, message):
    with pytest.raises(TrainingError, match=message):
        convert(demo, tmp_path / "a", **choice)


def test_two_cameras_are_refused():
    class Telescope(SimpleNamespace):
        def __str__(self):
            return self.camera.name

    def telescope(name):
        return Telescope(camera=SimpleNamespace(name=name, geometry=name))

    kinds = {1: telescope("LSTCam"), 5: telescope("NectarCam"), 6: telescope("FlashCam")}
    loader = SimpleNamespace(
        subarray=SimpleNamespace(tel=kinds),
        h5file={f"{IMAGES}/tel_{i:03d}": None for i in (1, 5)},
    )
    with pytest.raises(TrainingError, match=r"several cameras \(LSTCam, NectarCam\)"):
        training_files._choose(loader, None, None)
    assert training_files._choose(loader, "NectarCam", None) == [5]
    assert training_files._choose(loader, None, {1}) == [1]
