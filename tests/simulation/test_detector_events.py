"""Events: reproducible, from the right direction, with rings of the right size."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from ctapipe.coordinates import TelescopeFrame
from ctapipe.image import hillas_parameters, tailcuts_clean
from ctapipe.image.muon import MuonRingFitter

from ctapipe_gammalearn.io.shower_arrays import array_of_subarray, load_array
from ctapipe_gammalearn.simulation.atmosphere import Atmosphere
from ctapipe_gammalearn.simulation.data_like import DataLike
from ctapipe_gammalearn.simulation.events import Simulator
from ctapipe_gammalearn.simulation.run import RunConfig
from ctapipe_gammalearn.simulation.sampling import nsb_levels

GAMMAS = RunConfig(
    seed=4, n_showers=12, scatter_radius=300.0, energy_min=0.1, energy_max=2.0, reuse=4
)
MUONS = RunConfig(
    primary="muon", n_showers=50, reuse=1, energy_min=0.0999, energy_max=0.1001,
    scatter_radius=5.0, start_altitude=3500.0, source_offset=0.458,
)  # fmt: skip


@pytest.fixture(scope="module")
def geometry():
    """LST camera in the telescope frame."""
    _, subarray = load_array("1LST")
    return subarray.tel[1].camera.geometry.transform_to(TelescopeFrame())


@pytest.fixture(scope="module")
def gammas():
    return {e.event_id: e for e in Simulator(GAMMAS).events()}


def equal(a, b):
    """Whether two events are the same to the last bit."""
    if (a.event_id, a.energy, a.x_max) != (b.event_id, b.energy, b.x_max):
        return False
    return a.telescopes.keys() == b.telescopes.keys() and all(
        np.array_equal(getattr(a.telescopes[t], name), getattr(b.telescopes[t], name))
        for t in a.telescopes
        for name in ("image", "peak_time", "true_image")
    )


def test_same_description_same_events(gammas):
    again = {e.event_id: e for e in Simulator(GAMMAS).events()}
    assert len(gammas) > 10
    assert again.keys() == gammas.keys()
    assert all(equal(e, gammas[i]) for i, e in again.items())


def test_light_without_room_is_one_counted_warning_per_run():
    simulator = Simulator(replace(GAMMAS, obs_id=7))
    simulator.model.scene.hits = np.zeros((2000, 3), np.float32)
    with pytest.warns(UserWarning, match="found no room") as found:
        list(simulator.events())
    assert simulator.n_overfull > 1
    assert len(found) == 1
    numbers = f"{simulator.n_lost} photo-electrons or particles of {simulator.n_overfull} shower"
    assert str(found[0].message).startswith(f"run 7: {numbers}")


@pytest.mark.parametrize("above", [None, 0.5])
def test_nsb_level_of_an_event_follows_from_its_number(above):
    run = replace(GAMMAS, array="4LST", nsb=(0.5, 2.0), independent_above=above, n_showers=6)
    events = list(Simulator(run).events())
    levels = nsb_levels(run, [event.event_id for event in events])
    assert len(set(levels)) == len(events) > 5
    assert levels.tolist() == [event.nsb for event in events]
    assert nsb_levels(run, []).shape == (0,)


def test_other_seed_other_events(gammas):
    other = list(Simulator(replace(GAMMAS, seed=5)).events())
    assert not any(e.energy == g.energy for e in other for g in gammas.values())


def test_one_shower_alone_is_the_same_shower(gammas):
    shower = max(gammas) // 100
    alone = list(Simulator(replace(GAMMAS, first_shower=shower, n_showers=1, obs_id=77)).events())
    assert alone
    assert all(equal(e, gammas[e.event_id]) for e in alone)


def test_events_know_their_truth(gammas):
    for event in gammas.values():
        assert GAMMAS.energy_min <= event.energy <= GAMMAS.energy_max
        assert 5e3 < event.h_first_int < 1e5
        assert 50 < event.x_max < 900
        core = np.array([event.core_x, event.core_y, 0.0])
        source = [np.cos(event.alt) * np.cos(event.az), -np.cos(event.alt) * np.sin(event.az)]
        source = np.array([*source, np.sin(event.alt)])
        assert event.impact[1] == pytest.approx(np.linalg.norm(np.cross(core, source)))
        assert event.telescopes[1].true_image.sum() >= 24


@pytest.mark.parametrize(
    "offset, angle, az, alt", [(0.4, 0.0, 180.0, 70.0), (0.8, 60.0, 35.0, 55.0)]
)
def test_image_axes_point_to_the_source(geometry, offset, angle, az, alt):
    """A wrong sign or a mirrored frame would miss by the offset."""
    run = RunConfig(
        seed=2, n_showers=60, scatter_radius=250.0, energy_min=0.3, energy_max=2.0,
        source_offset=offset, source_angle=angle, pointing_az=az, pointing_alt=alt,
    )  # fmt: skip
    source = offset * np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
    miss = []
    for event in Simulator(run).events():
        image = event.telescopes[1].image
        mask = tailcuts_clean(geometry, image, 8, 4, min_number_picture_neighbors=2)
        if image[mask].sum() < 1000:
            continue
        hillas = hillas_parameters(geometry[mask], image[mask])
        centre = [hillas.fov_lon.to_value(u.deg), hillas.fov_lat.to_value(u.deg)]
        psi = hillas.psi.to_value(u.rad)
        miss.append(abs(np.dot(source - centre, [-np.sin(psi), np.cos(psi)])))
    assert len(miss) > 60
    assert np.quantile(miss, 0.68) < 0.08


def test_muon_rings_have_the_cherenkov_angle(geometry):
    """Coma makes them 1 to 3 % smaller; the centre is the muon's direction."""
    fit = MuonRingFitter(fit_method="kundu_chaudhuri")
    rings = []
    for event in Simulator(MUONS).events():
        image = event.telescopes[1].image
        mask = tailcuts_clean(geometry, image, 8, 4, min_number_picture_neighbors=2)
        ring = fit(geometry, image, mask)
        rings.append([
            v.to_value(u.deg) for v in (ring.center_fov_lon, ring.center_fov_lat, ring.radius)
        ])  # fmt: skip
    lon, lat, radius = np.median(rings, axis=0)
    assert len(rings) > 40
    assert np.hypot(lon - 0.458, lat) < 0.01
    # the light that reaches the mirror is made 300 m before it on average
    air = Atmosphere()
    refractivity = np.interp(2158 + 300 * np.sin(np.deg2rad(70)), air.altitude, air.grid[:, 2])
    theta = np.rad2deg(np.arccos(1 / (1 + refractivity)))
    assert 0.97 < radius / theta < 0.99


def test_light_yield_scales_with_the_throughput():
    muons = replace(MUONS, n_showers=25)
    dim = replace(muons, data_like=DataLike(throughput=0.5))
    light = [
        np.mean([e.telescopes[1].true_image.sum() for e in Simulator(run).events()])
        for run in (muons, dim)
    ]
    assert light[1] / light[0] == pytest.approx(0.5, rel=0.08)


@pytest.mark.parametrize(
    "array, names", [("4LST", {"LSTCam"}), ("4LST+MST", {"LSTCam", "NectarCam"})]
)
def test_stereo_arrays(array, names):
    run = replace(GAMMAS, array=array, min_tel=2, energy_min=0.3, energy_max=2.0, n_showers=8)
    simulator = Simulator(run)
    events = list(simulator.events())
    assert events
    assert all(len(e.telescopes) >= 2 for e in events)
    ids = simulator.array.tel_ids
    seen = {simulator.array.cameras[ids.index(t)].name for e in events for t in e.telescopes}
    assert seen == names


def test_cores_of_a_bright_shower_are_found_by_several_telescopes():
    """Image centres of telescopes on opposite sides lie on opposite sides of the source."""
    run = replace(
        GAMMAS, array="4LST", min_tel=4, energy_min=0.5, energy_max=1.0, scatter_radius=30.0
    )
    array, subarray = load_array("4LST")
    geometry = subarray.tel[1].camera.geometry.transform_to(TelescopeFrame())
    products = []
    for event in Simulator(run, array).events():
        for tel_id, image in event.telescopes.items():
            weight = np.where(image.image > 20, image.image, 0)
            lon, lat = (
                np.average(x.to_value(u.deg), weights=weight)
                for x in (geometry.pix_x, geometry.pix_y)
            )
            north, west = array.positions[tel_id - 1, :2] - [event.core_x, event.core_y]
            # pointing south at 70 deg: a telescope north of the core looks back to the south,
            # the light comes from lower altitudes; one west of it sees it in the east
            products.append([-lat * north, lon * west])
    products = np.array(products)
    assert len(products) > 20
    assert np.mean(products[:, 0] > 0) > 0.8 or np.mean(products[:, 0] < 0) > 0.8
    assert np.mean(products[:, 1] > 0) > 0.8 or np.mean(products[:, 1] < 0) > 0.8


def test_array_of_a_subarray_is_the_array():
    array, subarray = load_array("4LST+MST")
    again = array_of_subarray(subarray)
    assert again.tel_ids == array.tel_ids
    assert [o.name for o in again.optics] == [o.name for o in array.optics]
    np.testing.assert_allclose(again.positions, array.positions)
    for ours, theirs in zip(array.cameras, again.cameras, strict=True):
        np.testing.assert_allclose(theirs.plane, ours.plane, rtol=0, atol=1e-9)
        assert theirs.nsb == pytest.approx(ours.nsb, rel=0.03)
