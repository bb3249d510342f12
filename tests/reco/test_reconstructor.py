"""The component by itself: what it fills, odd images, tables, options."""

import copy
import logging

import astropy.units as u
import numpy as np
import pytest
from ctapipe.containers import (
    ArrayEventContainer,
    DL1CameraContainer,
)
from ctapipe.core import Provenance
from ctapipe.io import EventSource, TableLoader
from ctapipe.reco import ReconstructionProperty, Reconstructor
from traitlets import TraitError

from ctapipe_gammalearn.compat import PARTICLE_TYPE
from ctapipe_gammalearn.exceptions import ModelMismatch
from ctapipe_gammalearn.reco import GammaPhysNetReconstructor

PREFIX = {"energy": "GammaPhysNetEnergy", "geometry": "GammaPhysNetGeometry"}
PREFIX[PARTICLE_TYPE] = "GammaPhysNetParticle"


@pytest.fixture(scope="module")
def source_events(stereo_dl1):
    """Eight events of two to four telescopes."""
    with EventSource(stereo_dl1, max_events=8) as source:
        return [copy.deepcopy(event) for event in source]


@pytest.fixture
def events(source_events):
    """Private copies of the events."""
    return copy.deepcopy(source_events)


@pytest.fixture
def network(lst_model, subarray):
    """The reconstructor with an untrained network, all images accepted."""
    return make(subarray, lst_model)


def make(subarray, path, criteria=(), **options):
    """A reconstructor with quality criteria."""
    reconstructor = GammaPhysNetReconstructor(subarray, model_path=path, device="cpu", **options)
    reconstructor.quality_query = type(reconstructor.quality_query)(
        parent=reconstructor, quality_criteria=list(criteria)
    )
    return reconstructor


def run(reconstructor, events):
    """Process events in one batch."""
    reconstructor.process(events, [reconstructor.note(event) for event in events])


def column(events, kind, field):
    """Values of all telescopes with a trigger, in order."""
    containers = [
        getattr(event.dl2.tel[tel_id], kind)[PREFIX[kind]]
        for event in events
        for tel_id in event.trigger.tels_with_trigger
    ]
    return np.array([getattr(u.Quantity(getattr(c, field)), "value", None) for c in containers])


def test_every_telescope_and_the_array_get_all_containers(network, events):
    event = events[0]
    network(event)
    assert set(event.trigger.tels_with_trigger) == set(event.dl2.tel)
    for tel_id, dl2 in event.dl2.tel.items():
        energy = dl2.energy["GammaPhysNetEnergy"]
        geometry = dl2.geometry["GammaPhysNetGeometry"]
        particle = getattr(dl2, PARTICLE_TYPE)["GammaPhysNetParticle"]
        impact = dl2.impact["GammaPhysNetGeometry"]
        for container, name in ((energy, "Energy"), (geometry, "Geometry"), (particle, "Particle")):
            assert container.prefix == f"GammaPhysNet{name}_tel"
            assert container.is_valid is True
        assert impact.prefix == "GammaPhysNetGeometry_tel_impact"
        assert energy.energy.unit == u.TeV
        assert energy.energy > 0
        assert geometry.alt.unit == geometry.az.unit == u.deg
        assert geometry.core_x.unit == impact.distance.unit == u.m
        assert 0 <= particle.prediction <= 1
        core = [geometry.core_x.value, geometry.core_y.value]
        assert np.isfinite([*core, impact.distance.value]).all()
        pointing = event.monitoring.tel[tel_id].pointing
        assert abs(geometry.alt - pointing.altitude) < 5 * u.deg
    stereo = event.dl2.stereo
    for kind, prefix in PREFIX.items():
        container = getattr(stereo, kind)[prefix]
        assert container.is_valid
        assert container.prefix == prefix
        assert list(container.telescopes) == list(event.trigger.tels_with_trigger)
    cores = [t.geometry["GammaPhysNetGeometry"].core_x.value for t in event.dl2.tel.values()]
    np.testing.assert_allclose(
        stereo.geometry["GammaPhysNetGeometry"].core_x.to_value(u.m), np.mean(cores), rtol=1e-12
    )


def test_impact_distance_is_that_of_ctapipe(network, events, subarray):
    from ctapipe.coordinates import shower_impact_distance

    run(network, events)
    for event in events:
        for tel_id, dl2 in event.dl2.tel.items():
            distances = shower_impact_distance(dl2.geometry["GammaPhysNetGeometry"], subarray)
            np.testing.assert_allclose(
                dl2.impact["GammaPhysNetGeometry"].distance.to_value(u.m),
                distances[subarray.tel_indices[tel_id]].to_value(u.m),
                rtol=1e-9,
            )


def test_pixel_order_of_the_file_does_not_matter(network, events, subarray, lst_model):
    """The same camera with shuffled pixels gives the same results: matched by position."""
    shuffled, other = copy.deepcopy(subarray), copy.deepcopy(events)
    order = np.random.default_rng(1).permutation(1855)
    for telescope in {id(t.camera.geometry): t for t in shuffled.tel.values()}.values():
        geometry = telescope.camera.geometry
        for name in ("pix_id", "pix_x", "pix_y", "pix_area"):
            setattr(geometry, name, getattr(geometry, name)[order])
    for event in other:
        for dl1 in event.dl1.tel.values():
            dl1.image, dl1.peak_time = dl1.image[order], dl1.peak_time[order]
    run(network, events)
    run(make(shuffled, lst_model), other)
    for kind, field in (("energy", "energy"), ("geometry", "az"), (PARTICLE_TYPE, "prediction")):
        np.testing.assert_array_equal(column(other, kind, field), column(events, kind, field))


def test_one_telescope_is_combined_as_ctapipe_does(network, events):
    """Without the detour over unit vectors."""
    (combiner,) = (
        c for c in network.stereo_combiners if c.property is ReconstructionProperty.GEOMETRY
    )
    for n_telescopes, event in enumerate(events[:3]):
        event.trigger.tels_with_trigger = event.trigger.tels_with_trigger[:n_telescopes]
        event.dl2.tel.clear()
        network(event)
        ours = event.dl2.stereo.geometry["GammaPhysNetGeometry"]
        combiner(event)
        theirs = event.dl2.stereo.geometry["GammaPhysNetGeometry"]
        assert ours.is_valid == theirs.is_valid == (n_telescopes > 0)
        assert list(ours.telescopes) == list(theirs.telescopes)
        assert ours.prefix == theirs.prefix
        for name in ("alt", "az"):
            a, b = (getattr(c, name) for c in (ours, theirs))
            assert a.unit == b.unit
            np.testing.assert_allclose(a.value, b.value, rtol=1e-12)


def odd(name, dl1):
    """Make an image odd; returns whether there may be a prediction."""
    image = dl1.image = dl1.image.astype(np.float32)
    peak_time = dl1.peak_time = dl1.peak_time.astype(np.float32)
    if name == "all NaN":
        image[:] = np.nan
    elif name == "one NaN":
        image[100] = np.nan
    elif name == "infinite":
        image[[5, 7]] = np.inf, -np.inf
    elif name == "negative":
        image[:] = -abs(image)
    elif name == "huge":
        image[:] = 3e38
    elif name == "zero":
        image[:] = 0
    elif name == "peak time NaN":
        peak_time[:] = np.nan
    elif name == "no peak time":
        dl1.peak_time = None
    elif name == "one pixel short":
        dl1.image, dl1.peak_time = image[:-1], peak_time[:-1]
    elif name == "no image":
        dl1.image = None


@pytest.mark.parametrize(
    ("name", "usable"),
    [
        ("all NaN", False),
        ("one NaN", True),
        ("infinite", True),
        ("negative", True),
        ("huge", None),
        ("zero", True),
        ("peak time NaN", False),
        ("no peak time", False),
        ("one pixel short", False),
        ("no image", False),
    ],
)
def test_odd_images_are_valid_or_nan_and_spoil_nothing(network, events, name, usable):
    normal = copy.deepcopy(events)
    run(network, normal)
    tel_id = int(events[3].trigger.tels_with_trigger[0])
    odd(name, events[3].dl1.tel[tel_id])
    run(network, events)
    for kind, fields in (
        ("energy", ["energy"]),
        ("geometry", ["alt", "az", "core_x", "core_y"]),
        (PARTICLE_TYPE, ["prediction"]),
    ):
        container = getattr(events[3].dl2.tel[tel_id], kind)[PREFIX[kind]]
        values = np.array([u.Quantity(getattr(container, f)).value for f in fields])
        assert usable is None or container.is_valid == usable
        assert np.isfinite(values).all() if container.is_valid else np.isnan(values).all()
        for field in fields:
            ours, expected = (column(e, kind, field) for e in (events, normal))
            row = sum(len(e.trigger.tels_with_trigger) for e in events[:3])
            np.testing.assert_allclose(
                np.delete(ours, row), np.delete(expected, row), rtol=1e-5, atol=1e-6
            )
    impact = events[3].dl2.tel[tel_id].impact["GammaPhysNetGeometry"]
    valid = events[3].dl2.tel[tel_id].energy["GammaPhysNetEnergy"].is_valid
    assert np.isfinite(impact.distance) == valid


def test_events_without_telescopes_or_data_get_invalid_rows(network):
    empty, silent = ArrayEventContainer(), ArrayEventContainer()
    empty.trigger.tels_with_trigger = np.array([], dtype=np.int16)
    silent.trigger.tels_with_trigger = np.array([1, 99], dtype=np.int16)
    run(network, [empty, silent])
    assert not empty.dl2.tel
    assert set(silent.dl2.tel) == {1, 99}
    assert not silent.monitoring.tel
    for event in (empty, silent):
        for kind, prefix in PREFIX.items():
            stereo = getattr(event.dl2.stereo, kind)[prefix]
            assert not stereo.is_valid
            assert list(stereo.telescopes) == []
            assert stereo.prefix == prefix


def test_without_pointing_only_the_direction_is_missing(network, events):
    tel_id = int(events[0].trigger.tels_with_trigger[0])
    events[0].monitoring.tel[tel_id].pointing.altitude = np.nan * u.rad
    run(network, events)
    dl2 = events[0].dl2.tel[tel_id]
    assert dl2.energy["GammaPhysNetEnergy"].is_valid
    assert not dl2.geometry["GammaPhysNetGeometry"].is_valid
    assert network.tally.counts["no credible direction or no pointing"] == 1


def test_pointing_is_taken_when_the_event_comes_in(network, events):
    """A source may refill its monitoring containers before the batch is run."""
    expected = copy.deepcopy(events)
    run(network, expected)
    notes = [network.note(event) for event in events]
    for event in events:
        for monitoring in event.monitoring.tel.values():
            monitoring.pointing.azimuth += 90 * u.deg
    network.process(events, notes)
    np.testing.assert_array_equal(
        column(events, "geometry", "az"), column(expected, "geometry", "az")
    )


def test_quality_cut_is_counted_once_per_image(lst_model, subarray, events, caplog):
    reconstructor = make(subarray, lst_model, [("bright", "parameters.hillas.intensity > 200")])
    run(reconstructor, events)
    run_again = [reconstructor.note(event) for event in events]
    reconstructor.process(events, run_again)
    reconstructor.process(events, run_again)
    n_images = sum(len(event.trigger.tels_with_trigger) for event in events)
    assert reconstructor.quality_query.to_table()["counts"][0] == 2 * n_images
    for event in events:
        for tel_id, dl2 in event.dl2.tel.items():
            bright = event.dl1.tel[tel_id].parameters.hillas.intensity > 200
            assert dl2.energy["GammaPhysNetEnergy"].is_valid == bright


def test_without_image_parameters_the_default_cut_refuses(lst_model, subarray, events):
    event, dl1 = ArrayEventContainer(), next(iter(events[0].dl1.tel.values()))
    event.trigger.tels_with_trigger = np.array([1])
    event.dl1.tel[1] = DL1CameraContainer(image=dl1.image, peak_time=dl1.peak_time)
    for criteria, valid in (([("any", "parameters.hillas.intensity > 0")], False), ([], True)):
        reconstructor = make(subarray, lst_model, criteria)
        reconstructor(event)
        assert event.dl2.tel[1].energy["GammaPhysNetEnergy"].is_valid is valid


def table_of(path, tel_id, n_events):
    """Telescope events as `GammaPhysNetReconstructor.predict_table` wants them."""
    with TableLoader(path) as loader:
        return loader.read_telescope_events(
            [tel_id], stop=n_events, dl1_images=True, dl1_parameters=True, pointing=True
        )


@pytest.mark.parametrize("criteria", [[], [("bright", "parameters.hillas.intensity > 200")]])
def test_table_gives_the_numbers_of_the_event_loop(
    lst_model, subarray, events, stereo_dl1, criteria
):
    reconstructor = make(subarray, lst_model, criteria)
    run(reconstructor, events)
    for tel_id in (1, 3):
        table = table_of(stereo_dl1, tel_id, len(events))
        found = [e.dl2.tel[tel_id] for e in events if tel_id in e.trigger.tels_with_trigger]
        assert len(table) == len(found) > 0
        predictions = reconstructor.predict_table(subarray.tel[tel_id], table)
        for prop, kind in (
            (ReconstructionProperty.ENERGY, "energy"),
            (ReconstructionProperty.GEOMETRY, "geometry"),
            (ReconstructionProperty.PARTICLE_TYPE, PARTICLE_TYPE),
        ):
            prefix, columns = PREFIX[kind], predictions[prop]
            containers = [getattr(dl2, kind)[prefix] for dl2 in found]
            names = [n for n in containers[0].fields if n != "telescopes"]
            assert set(columns.colnames) == {f"{prefix}_tel_{name}" for name in names}
            for name in names:
                expected = u.Quantity([u.Quantity(c[name]) for c in containers])
                ours = columns[f"{prefix}_tel_{name}"]
                unit = ours.unit or u.one
                atol = 2e-3 if name.startswith("core") else 1e-5  # m: the network predicts km
                np.testing.assert_allclose(
                    np.asarray(ours, dtype=float), expected.to_value(unit), rtol=1e-5, atol=atol
                )
                assert ours.description == containers[0].fields[name].description


def test_a_table_without_tel_id_uses_the_key(network, subarray, stereo_dl1):
    table = table_of(stereo_dl1, 1, 5)
    expected = network.predict_table(1, table)[ReconstructionProperty.ENERGY]
    table.remove_column("tel_id")
    for key in (1, subarray.tel[1]):
        ours = network.predict_table(key, table)[ReconstructionProperty.ENERGY]
        name = "GammaPhysNetEnergy_tel_energy"
        np.testing.assert_array_equal(ours[name], expected[name])
    with pytest.raises(ModelMismatch, match="no telescope 77"):
        network.predict_table(77, table)


@pytest.mark.parametrize("name", ["image", "telescope_pointing_altitude"])
def test_a_table_that_lacks_a_column_is_refused(network, stereo_dl1, name):
    table = table_of(stereo_dl1, 1, 3)
    table.remove_column(name)
    with pytest.raises(ModelMismatch, match=f"no column {name}; read it with TableLoader"):
        network.predict_table(1, table)


def test_an_empty_table(network, stereo_dl1):
    table = table_of(stereo_dl1, 1, 3)[:0]
    predictions = network.predict_table(1, table)
    assert {len(columns) for columns in predictions.values()} == {0}


def test_prefix_and_combiner_options(lst_model, subarray, events):
    reconstructor = make(subarray, lst_model, prefix="Mine")
    reconstructor(events[0])
    assert "MineEnergy" in events[0].dl2.stereo.energy
    assert [c.prefix for c in reconstructor.stereo_combiners] == [
        "MineEnergy",
        "MineGeometry",
        "MineParticle",
    ]
    assert {type(c).__name__ for c in reconstructor.stereo_combiners} == {"StereoMeanCombiner"}


def test_a_model_without_all_tasks_fills_only_its_own(model_for, subarray, events):
    outputs = {"energy": 1, "class": 2}
    path = model_for(subarray.tel[1].camera.geometry, "two_tasks", outputs=outputs)
    make(subarray, path)(events[0])
    assert set(events[0].dl2.stereo.energy) >= {"GammaPhysNetEnergy"}
    assert "GammaPhysNetGeometry" not in events[0].dl2.stereo.geometry
    for dl2 in events[0].dl2.tel.values():
        assert set(dl2.energy) == {"GammaPhysNetEnergy"}
        assert "GammaPhysNetGeometry" not in dl2.impact


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"n_jobs": 0},
        {"device": "gpu"},
        {"engine": "fast"},
        {"precision": "float8"},
        {"prefix": "a/b"},
        {"stereo_combiner_cls": "Nonsense"},
        {"nonsense": 1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_out_of_bounds_are_refused(subarray, lst_model, options):
    with pytest.raises(TraitError):
        GammaPhysNetReconstructor(subarray, **{"model_path": lst_model, **options})


def test_name_is_known_and_untrained_models_warn(subarray, lst_model, caplog):
    assert "GammaPhysNetReconstructor" in Reconstructor.non_abstract_subclasses()
    assert "DeferredReconstructor" not in Reconstructor.non_abstract_subclasses()
    with caplog.at_level(logging.INFO):
        make(subarray, lst_model)
    assert "is untrained" in caplog.text
    assert "4 x LST" in caplog.text


def test_model_file_is_in_the_provenance(subarray, lst_model):
    Provenance().start_activity("test")
    try:
        make(subarray, lst_model)
        inputs = Provenance().current_activity.provenance["input"]
    finally:
        Provenance().finish_activity("test")
    assert [(i["role"], i["url"]) for i in inputs] == [("dl-model", str(lst_model))]


def test_suspicious_share_of_refused_images_is_a_warning(network, events, caplog):
    for event in events * 6:
        for dl1 in event.dl1.tel.values():
            dl1.image = None
        network.note(event)
    with caplog.at_level(logging.INFO):
        network.tally.report(network.log)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no image" in caplog.text
