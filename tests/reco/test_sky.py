"""Direction conventions against golden vectors and against ctapipe's frames."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, SkyCoord
from ctapipe.coordinates import CameraFrame, GroundFrame, TelescopeFrame, TiltedGroundFrame

from ctapipe_gammalearn.reco.sky import tilted_to_ground, to_horizontal

pytestmark = pytest.mark.filterwarnings("ignore::ctapipe.coordinates.MissingFrameAttributeWarning")
TELESCOPE = {"frame": "telescope", "unit": "deg", "axes": ["fov_lon", "fov_lat"]}
CAMERA = {"frame": "camera", "unit": "m", "axes": ["x", "y"], "focal_length_m": 28.0}
OFFSET = {"frame": "altaz-offset", "unit": "rad", "axes": ["alt", "az"]}


@pytest.fixture(scope="module")
def vectors(golden):
    """Golden vectors: azimuth across 0/360 degrees, altitude 89 degrees, past the zenith."""
    return np.load(golden / "direction_conventions.npz")


@pytest.mark.parametrize(
    ("task", "column", "expected"),
    [(CAMERA, "camera_xy", "camera_expected"), (OFFSET, "offset_alt_az", "offset_expected")],
    ids=["camera", "altaz-offset"],
)
def test_golden_vectors(vectors, task, column, expected):
    alt, az = to_horizontal(vectors[column], task, vectors["tel_alt"], vectors["tel_az"])
    np.testing.assert_allclose(np.deg2rad(alt), vectors[f"{expected}_alt"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.deg2rad(az), vectors[f"{expected}_az"], rtol=0, atol=1e-12)


def test_source_positions_of_lst_events(vectors):
    """Camera positions that lstchain stored lead back to the true directions."""
    xy = np.column_stack([vectors["lst_src_x"], vectors["lst_src_y"]])
    alt, az = to_horizontal(xy, CAMERA, vectors["lst_tel_alt"], vectors["lst_tel_az"])
    true = AltAz(alt=vectors["lst_alt"] * u.rad, az=vectors["lst_az"] * u.rad)
    separation = true.separation(AltAz(alt=alt * u.deg, az=az * u.deg))
    assert separation.max() < 0.05 * u.arcsec


@pytest.fixture(scope="module")
def many():
    """Directions and pointings over the whole sky."""
    rng = np.random.default_rng(4)
    pointing = rng.uniform([0.2, 0.0], [np.pi / 2, 2 * np.pi], (200, 2))
    return rng.normal(0, 1.5, (200, 2)), *pointing.T


def assert_direction(alt, az, coordinate):
    """Same place on the sky as a coordinate."""
    place = AltAz(alt=alt * u.deg, az=az * u.deg)
    assert place.separation(coordinate).max() < 1e-6 * u.arcsec
    assert ((az >= 0) & (az < 360)).all()


def test_frames_are_those_of_ctapipe(many):
    raw, tel_alt, tel_az = many
    pointing = AltAz(alt=tel_alt * u.rad, az=tel_az * u.rad)
    frame = TelescopeFrame(telescope_pointing=pointing)
    sky = SkyCoord(fov_lon=raw[:, 0] * u.deg, fov_lat=raw[:, 1] * u.deg, frame=frame)
    assert_direction(*to_horizontal(raw, TELESCOPE, tel_alt, tel_az), sky.transform_to(AltAz()))
    frame = CameraFrame(telescope_pointing=pointing, focal_length=28 * u.m)
    sky = SkyCoord(x=raw[:, 0] * u.m, y=raw[:, 1] * u.m, frame=frame).transform_to(AltAz())
    assert_direction(*to_horizontal(raw, CAMERA, tel_alt, tel_az), sky)


@pytest.mark.parametrize("task", [TELESCOPE, CAMERA, OFFSET], ids=lambda task: task["frame"])
def test_rows_do_not_depend_on_the_batch(task, many):
    raw, *pointing = many
    raw = raw / 10
    whole = to_horizontal(raw, task, *pointing)
    for size in (1, 7):
        parts = [
            to_horizontal(raw[i : i + size], task, *(p[i : i + size] for p in pointing))
            for i in range(0, len(raw), size)
        ]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("task", [TELESCOPE, CAMERA, OFFSET], ids=lambda task: task["frame"])
def test_what_is_no_direction_is_nan(task):
    raw = np.array([[np.nan, 0], [0, np.inf], [1e30, 0], [95, 95], [0.1, 0.1], [0.1, 0.1]])
    pointing = np.array([[1, 1, 1, 1, np.nan, 1], [1, 1, 1, 1, 1, np.nan]])
    alt, az = to_horizontal(raw, task, *pointing)
    assert np.isnan(alt).all()
    assert np.isnan(az).all()


def test_no_rows():
    for task in (TELESCOPE, CAMERA, OFFSET):
        assert to_horizontal(np.zeros((0, 2)), task, np.zeros(0), np.zeros(0))[0].shape == (0,)


def test_position_at_the_edge_of_the_half_sky():
    """A distance of f times 90 degrees cannot be converted, a little less can."""
    edge = 28 * np.pi / 2
    raw = np.array([[edge, 0], [0, edge], [edge - 1e-6, 0]])
    alt, _ = to_horizontal(raw, CAMERA, np.full(3, 1.0), np.zeros(3))
    assert np.isnan(alt).tolist() == [True, True, False]


def test_zenith_pointing_in_single_precision():
    """The nearest float32 to 90 degrees lies above it."""
    alt, _ = to_horizontal(
        np.zeros((1, 2)), TELESCOPE, np.float64(np.float32([np.pi / 2])), np.zeros(1)
    )
    np.testing.assert_allclose(alt, 90, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("alt", "az"), [(70.0, 180.0), (50.0, 33.0), (90.0, 10.0)])
def test_impact_in_the_tilted_plane_is_projected_as_ctapipe_does(alt, az):
    ground = SkyCoord(x=[120, -30] * u.m, y=[-50, 200] * u.m, z=[0, 0] * u.m, frame=GroundFrame())
    pointing = AltAz(alt=alt * u.deg, az=az * u.deg)
    tilted = ground.transform_to(TiltedGroundFrame(pointing_direction=pointing))
    impact = np.stack([tilted.x.to_value(u.m), tilted.y.to_value(u.m)], axis=1)
    ours = tilted_to_ground(impact, *np.deg2rad([[alt] * 2, [az] * 2]))
    np.testing.assert_allclose(ours, [[120, -50], [-30, 200]], atol=1e-9)
