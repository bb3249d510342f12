import json
from dataclasses import replace

import pytest

from ctapipe_gammalearn.exceptions import ModelFileError
from ctapipe_gammalearn.weights import ModelCard
from ctapipe_gammalearn.weights.card import class_task


def test_json_round_trip_is_canonical(model):
    text = model.card.to_json()
    card = ModelCard.from_json(text)
    assert card == model.card
    assert card.to_json() == text
    assert text.isascii()
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_attributes_of_a_new_card(model):
    card = model.card
    assert card.status == "untrained"
    assert card.channels == ("image", "peak_time")
    assert card.signal_class == 0
    assert card.tasks["direction"]["frame"] == "telescope"
    assert card.camera["n_pixels"] == 61


def path_of(values, key):
    """Innermost dict and last key of a dotted name."""
    *parents, last = key.split(".")
    for parent in parents:
        values = values[parent]
    return values, last


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format_version", 2),
        ("format_version", True),
        ("status", "perfect"),
        ("architecture.name", "resnet"),
        ("architecture.num_layers", "3"),
        ("architecture.num_layers", 0),
        ("architecture.activation", "sine"),
        ("architecture.attention.type", "triple"),
        ("architecture.output_size", [14]),
        ("channels", []),
        ("channels", [{"name": "image", "unit": "p.e."}]),
        ("channels", [{"name": "image", "unit": "ns"}, {"name": "peak_time", "unit": "ns"}]),
        ("preprocessing.nan_time", "-20"),
        ("preprocessing.dtype", "float16"),
        ("tasks.direction.frame", "galactic"),
        ("tasks.direction.unit", "m"),
        ("tasks.direction.axes", ["fov_lat", "fov_lon"]),
        ("tasks.impact.unit", "cm"),
        ("tasks.class.ids", [0, 0]),
        ("tasks.class.signal", 2),
        ("tasks.class.output", "softmax"),
        ("camera.n_pixels", 61.5),
        ("camera.shape", "round"),
        ("validity.zenith_deg", [20]),
        ("provenance.assumed", "nothing"),
        ("citation", [1]),
        ("licence", None),
    ],
)
def test_wrong_value_is_refused_by_name(model, key, value):
    values = model.card.to_dict()
    values = json.loads(json.dumps(values))
    inner, last = path_of(values, key)
    assert last in inner
    inner[last] = value
    with pytest.raises(ModelFileError) as error:
        ModelCard.from_dict(values)
    assert last in str(error.value) or key.split(".")[0] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "key", ["licence", "camera.pitch_m", "tasks.direction.unit", "architecture.attention.reduced"]
)
def test_missing_key_is_named(model, key):
    values = json.loads(model.card.to_json())
    inner, last = path_of(values, key)
    del inner[last]
    with pytest.raises(ModelFileError, match=f"missing key {key}"):
        ModelCard.from_dict(values)


@pytest.mark.parametrize("key", ["hello", "camera.hello", "tasks.height", "architecture.dropout"])
def test_unknown_key_is_named(model, key):
    values = json.loads(model.card.to_json())
    inner, last = path_of(values, key)
    inner[last] = 1
    with pytest.raises(ModelFileError, match=f"unknown key {key}"):
        ModelCard.from_dict(values)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "1e999", "[" * 10**5, '{"a": NaN}'])
def test_odd_json_is_refused(text):
    with pytest.raises(ModelFileError, match="model card"):
        ModelCard.from_json(text)


@pytest.mark.parametrize(
    "direction",
    [
        {"frame": "altaz-offset", "unit": "rad", "axes": ["alt", "az"]},
        {
            "frame": "camera",
            "unit": "m",
            "axes": ["x", "y"],
            "focal_length_m": 28.0,
            "focal_length": "equivalent",
        },
    ],
)
def test_every_direction_frame_has_its_keys(model, direction):
    card = replace(model.card, tasks=model.card.tasks | {"direction": direction})
    assert ModelCard.from_json(card.to_json()).tasks["direction"] == direction
    with pytest.raises(ModelFileError, match="axes"):
        replace(card, tasks=card.tasks | {"direction": direction | {"axes": ["y", "x"]}})


def test_non_finite_numbers_are_refused(model):
    with pytest.raises(ModelFileError, match="nan_time"):
        replace(model.card, preprocessing=model.card.preprocessing | {"nan_time": float("nan")})


@pytest.mark.parametrize("ids", [(), (0,), (101, 1), (0, 0)])
def test_classes_need_a_signal_and_a_background(ids):
    with pytest.raises(ModelFileError, match="class ids"):
        class_task(ids)


def test_signal_is_particle_zero_wherever_it_stands():
    assert class_task((101, 0, 1)) == {
        "ids": [101, 0, 1],
        "names": ["proton", "gamma", "electron"],
        "signal": 1,
        "output": "logits",
    }
