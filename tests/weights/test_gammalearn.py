"""Conversion of GammaLearn checkpoints."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from ctapipe_gammalearn.exceptions import CheckpointError, ModelFileError
from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.nn import Architecture, GammaPhysNet
from ctapipe_gammalearn.weights import random_model, read_model, write_model
from ctapipe_gammalearn.weights.gammalearn_convert import convert_checkpoint
from ctapipe_gammalearn.weights.gammalearn_facts import Facts, parse_class_ids, read_hints
from ctapipe_gammalearn.weights.gammalearn_import import read_checkpoint
from ctapipe_gammalearn.weights.mapping_table import read_mapping_table
from tests.helpers import golden_tensor

GOLDEN = {
    "layoutA_v0.8": ("A", "log_softmax"),
    "layoutB_v0.10": ("B", "logits"),
    "layoutC_v0.16": ("C", "logits"),
    "layoutC_dann_v0.16": ("C", "logits"),
}
FACTS = Facts(activation="relu", direction="altaz-offset-rad", class_ids=(0, 101), nan_time=0.0)


@pytest.fixture
def camera(golden):
    """Camera of the golden checkpoints."""
    table = np.load(golden / "lattice_tiny.npz")
    return "TinyHex61", table["pix_x"], table["pix_y"]


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_checkpoints_reproduce_their_outputs(golden, camera, tmp_path, name):
    layout, class_output = GOLDEN[name]
    model = convert_checkpoint(golden / f"checkpoint_{name}.ckpt", camera, FACTS)
    write_model(tmp_path / "a.safetensors", model)
    model = read_model(tmp_path / "a.safetensors")
    expected = np.load(golden / "checkpoints_expected.npz")
    outputs = model.network(torch.tensor(expected["input"]))
    assert set(outputs) == {"energy", "impact", "direction", "class"}
    for task, output in outputs.items():
        np.testing.assert_allclose(output, expected[f"out_{task}"], rtol=1e-4, atol=5e-5)
    card = model.card
    assert card.architecture == Architecture(
        num_layers=2, block_features=(16, 24), reduced=(2, 3), fc_width=8
    )
    assert card.status == "trained"
    assert card.tasks["class"]["output"] == class_output
    assert card.camera["pix_rotation_deg"] == 100.893
    assert f"class_output={class_output} (key layout {layout})" in card.provenance["assumed"]
    assert "activation=relu (given)" in card.provenance["assumed"]


def test_golden_checkpoints_have_identical_weights(golden, camera, tmp_path):
    hashes = set()
    for name in GOLDEN:
        model = convert_checkpoint(golden / f"checkpoint_{name}.ckpt", camera, FACTS)
        hashes.add(write_model(tmp_path / f"{name}.safetensors", model).card.weights_sha256)
    assert len(hashes) == 1


# ------------------------------------------------- checkpoints made here, all layouts


def gammalearn_names(network, layout, dim=1):
    """State of a network as GammaLearn would have named it, without buffers."""
    norm = f"BatchNorm{dim}d"
    state = {}
    for name, value in network.state_dict().items():
        backbone = "feature." if layout == "A" else "feature.feature."
        name = name.replace("backbone.", backbone)
        if layout == "C":
            for kind in ("1", "2", "_shortcut"):
                name = name.replace(f".bn{kind}.", f".{norm}{kind}.")
        else:
            name = name.replace(".conv_block.", ".conv.")
        if ".spa_module." in name and value.ndim == 4:
            value = value[..., 0]
        state[name] = value.clone()
    return state


def buffers(lattice, architecture, layout):
    """Lattice buffers of all convolutions."""
    levels = lattice.levels(len(architecture.block_features))
    prefix = "feature." if layout == "A" else "feature.feature."
    block = "conv_block" if layout == "C" else "conv"
    tables = {f"{prefix}cv0": lattice.neighbours}
    for b, level in enumerate(levels):
        for n in range(1, architecture.num_layers + 1):
            name, first = f"{prefix}block{b}_layer{n}", level.neighbours()
            if b and n == 1:
                first = levels[b - 1].neighbours(2)
                tables[f"{name}.shortcut.cv_shortcut"] = first
            tables[f"{name}.{block}.cv1"] = first
            tables[f"{name}.{block}.cv2"] = level.neighbours()
    state = {}
    for name, table in tables.items():
        table = torch.tensor(table.astype(np.int64))
        state[f"{name}.indices_"] = table.clamp(min=0)
        state[f"{name}.mask_"] = (table >= 0).float()
    return state


@pytest.fixture
def make_checkpoint(model, tmp_path):
    """Function that writes the test model as a checkpoint, its state edited; gives its path."""

    def make(edit=lambda state: state, layout="C", prefix="net."):
        state = gammalearn_names(model.network, layout)
        state |= buffers(model.lattice, model.card.architecture, layout)
        state = {prefix + name: value for name, value in state.items()}
        path = tmp_path / "last.ckpt"
        torch.save({"epoch": 1, "state_dict": edit(state)}, path)
        return path

    return make


@pytest.fixture
def hex61(model):
    """Camera of the test model."""
    return "Hex61", model.lattice.pix_x, model.lattice.pix_y


@pytest.mark.parametrize("layout", "ABC")
@pytest.mark.parametrize(
    "prefix", ["net.", "module.net.", "net._orig_mod.", "_orig_mod.net.", "net.main_task_model."]
)
def test_layouts_and_wrappers(make_checkpoint, hex61, model, layout, prefix):
    path = make_checkpoint(layout=layout, prefix=prefix)
    converted = convert_checkpoint(path, hex61, FACTS)
    for name, value in model.network.state_dict().items():
        torch.testing.assert_close(converted.network.state_dict()[name], value, rtol=0, atol=0)
    np.testing.assert_array_equal(converted.lattice.neighbours, model.lattice.neighbours)


@pytest.mark.parametrize(
    "options",
    [
        {"attention": "none", "reduced": ()},
        {"attention": "se", "activation": "gelu"},
        {"outputs": {"energy": 1, "direction": 2}},
        {"num_channels": 1},
        {"attention": "none", "reduced": (), "norm": "none"},
    ],
    ids=str,
)
def test_hyper_parameters_are_read_off_the_shapes(lattice, hex61, tmp_path, options):
    small = {"num_layers": 2, "block_features": (4, 6, 5), "reduced": (1, 2, 1), "fc_width": 7}
    architecture = Architecture(**small | options)
    network = random_model(lattice, "Hex61", architecture).network
    state = gammalearn_names(network, "C") | buffers(lattice, architecture, "C")
    if architecture.attention == "se":
        state = {k.replace(".se_module.", "."): v for k, v in state.items()}
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {f"net.{k}": v for k, v in state.items()}}, path)
    facts = replace(FACTS, activation=architecture.activation)
    facts = facts if "class" in architecture.outputs else replace(facts, class_ids=None)
    facts = facts if architecture.num_channels == 2 else replace(facts, nan_time=None)
    assert convert_checkpoint(path, hex61, facts).card.architecture == architecture


# ---------------------------------------------------------------- facts


@pytest.mark.parametrize("fact", ["activation", "direction", "class_ids", "nan_time"])
def test_missing_fact_is_asked_for(make_checkpoint, hex61, fact):
    option = f"--{fact.replace('_', '-')} "
    with pytest.raises(CheckpointError, match=option) as error:
        convert_checkpoint(make_checkpoint(), hex61, replace(FACTS, **{fact: None}))
    assert str(error.value).count("--") == 1


def test_all_missing_facts_are_named_at_once_with_hints(make_checkpoint, hex61):
    with pytest.raises(CheckpointError) as error:
        convert_checkpoint(make_checkpoint(), hex61, hints={"activation": "gelu"})
    text = str(error.value)
    for option in ("--activation", "--direction", "--class-ids", "--nan-time"):
        assert option in text
    assert "settings file says --activation gelu" in text


def test_camera_positions_need_a_focal_length(make_checkpoint, hex61):
    facts = replace(FACTS, direction="camera-metre")
    with pytest.raises(CheckpointError, match="--focal-length"):
        convert_checkpoint(make_checkpoint(), hex61, facts)
    card = convert_checkpoint(make_checkpoint(), hex61, replace(facts, focal_length_m=28.0)).card
    assert card.tasks["direction"] == {
        "frame": "camera",
        "unit": "m",
        "axes": ["x", "y"],
        "focal_length_m": 28.0,
        "focal_length": "equivalent",
    }


@pytest.mark.parametrize(
    ("version", "layout", "direction", "nan_time"),
    [
        ("0.7.4", "A", "altaz-offset", 0.0),
        ("0.8", "A", "altaz-offset", 0.0),
        ("0.10.1", "B", "altaz-offset", 0.0),
        ("0.14", "C", "altaz-offset", 0.0),
        ("0.15.1", "C", "altaz-offset", -20.0),
        ("0.16.0", "C", "camera", -20.0),
    ],
)
def test_version_presets(make_checkpoint, hex61, version, layout, direction, nan_time):
    facts = Facts(activation="relu", class_ids=(0, 101), gammalearn=version, focal_length_m=28.0)
    card = convert_checkpoint(make_checkpoint(layout=layout), hex61, facts).card
    assert card.tasks["direction"]["frame"] == direction
    assert card.preprocessing["nan_time"] == nan_time
    assert card.provenance["gammalearn"] == version
    assert f"nan_time={nan_time} (GammaLearn {version})" in card.provenance["assumed"]


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"gammalearn": "0.8"}, "0.12 to 0.16"),
        ({"gammalearn": "0.17"}, "known are 0.7 to 0.16"),
        ({"gammalearn": "new"}, "known are 0.7 to 0.16"),
        ({"class_ids": (0, 101, 1)}, "3 classes, the network has 2"),
        ({"class_ids": (101, 1)}, "0 = gamma"),
        ({"activation": "sine"}, "sine"),
    ],
)
def test_wrong_facts(make_checkpoint, hex61, facts, text):
    with pytest.raises(CheckpointError, match=text) as error:
        convert_checkpoint(make_checkpoint(), hex61, replace(FACTS, **facts))
    assert "\n" not in str(error.value)


def without(part):
    """Drop tensors whose name contains a text."""
    return lambda state: {k: v for k, v in state.items() if part not in k}


@pytest.mark.parametrize(
    ("part", "text"), [("direction", "--direction given"), ("classifier", "--class-ids given")]
)
def test_facts_about_absent_heads_are_refused(make_checkpoint, hex61, part, text):
    with pytest.raises(CheckpointError, match=text):
        convert_checkpoint(make_checkpoint(without(part)), hex61, FACTS)


# ---------------------------------------------------------------- refused checkpoints


def put(name, new):
    """Replace a tensor, given its end of name."""

    def edit(state):
        key = next(k for k in state if k.endswith(name))
        return state | {key: new(state[key].clone())}

    return edit


def first(value):
    """Set the first element."""

    def new(tensor):
        tensor.view(-1)[0] = value
        return tensor

    return new


def renamed(old, new):
    """Rename tensors."""
    return lambda state: {k.replace(old, new): v for k, v in state.items()}


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (put("cv0.bias", first(float("nan"))), "non-finite"),
        (put("running_var", first(0.0)), "not positive"),
        (put("cv0.bias", lambda t: t.double()), "float64"),
        (put("cv0.bias", lambda t: t.half()), "float16"),
        (put("cv0.bias", lambda t: t[1:]), "shape"),
        (put("fusion.weight", lambda t: t[:, 1:]), "shape"),
        (without("en_layer1.bias"), "1 tensors missing"),
        (without("en_out"), "unexpected"),
        (without("cv1.bias"), "missing"),
        (lambda s: s | {"net.extra.weight": torch.zeros(3)}, "1 tensors unexpected"),
        (lambda s: {}, "state_dict"),
        (renamed("net.", "model."), "not a GammaLearn checkpoint"),
        (renamed("BatchNorm1d1", "GroupNorm1"), "GroupNorm"),
        (renamed("net.", "net.conditional_task_model."), "ConditionalGammaPhysNet"),
        (lambda s: s | {"net.main_task_model.encoder.enc_block_0": torch.zeros(1)}, "transformer"),
        (lambda s: s | {"net.pos_embedding": torch.zeros(1)}, "transformer"),
        (renamed("feature.feature.cv0", "feature.feature.cv7"), "cv0"),
        (without("indices_"), "incomplete"),
        (without("cv0.indices_"), "incomplete"),
        (lambda s: without("cv0.mask_")(without("cv0.indices_")(s)), "no lattice buffers"),
        (put("cv2.indices_", lambda t: t.roll(1, 1)), "cv2"),
        (put("cv0.indices_", lambda t: t.float()), "odd values"),
        (put("cv0.mask_", first(0.5)), "odd values"),
        (put("cv0.indices_", lambda t: t.flip(1)), "pixel order|lattice|table"),
        (put("cv0.indices_", lambda t: t.flip(0)), "table"),
    ],
)
def test_bad_checkpoints_are_refused(make_checkpoint, hex61, edit, text):
    path = make_checkpoint(edit)
    with pytest.raises(CheckpointError, match=text) as error:
        convert_checkpoint(path, hex61, FACTS)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_half_renamed_layout_is_refused(make_checkpoint, hex61):
    """What GammaLearn's own strict=False loader would fill with random numbers."""
    path = make_checkpoint(renamed(".conv_block.cv1", ".conv.conv1"))
    with pytest.raises(CheckpointError, match=r"missing .*unexpected"):
        convert_checkpoint(path, hex61, FACTS)


def test_rotation_is_that_of_the_buffers_not_of_the_camera(make_checkpoint, hex61, model):
    """Six rotations fit the same positions; each is another network."""
    lattice = model.lattice
    other = CameraLattice.from_positions(lattice.pix_x, lattice.pix_y, "hexagonal", 40.893)
    assert other.sha256 != lattice.sha256
    turned = {f"net.{k}": v for k, v in buffers(other, model.card.architecture, "C").items()}
    converted = convert_checkpoint(make_checkpoint(lambda s: s | turned), hex61, FACTS)
    assert converted.lattice.rotation_deg == pytest.approx(40.893, abs=1e-3)
    assert converted.lattice.sha256 == other.sha256


@pytest.mark.parametrize("change", ["shuffled", "mirrored", "fewer", "stretched"])
def test_other_cameras_are_refused(make_checkpoint, hex61, change):
    name, x, y = hex61
    x, y = {
        "shuffled": lambda: (np.roll(x, 1), np.roll(y, 1)),
        "mirrored": lambda: (-x, y),
        "fewer": lambda: (x[1:], y[1:]),
        "stretched": lambda: (x * 1.1, y),
    }[change]()
    with pytest.raises(CheckpointError, match="--camera"):
        convert_checkpoint(make_checkpoint(), (name, x, y), FACTS)


def test_rotated_camera_gives_the_rotation(make_checkpoint, hex61):
    name, x, y = hex61
    z = (x + 1j * y) * np.exp(1j * np.deg2rad(10.0))
    model = convert_checkpoint(make_checkpoint(), (name, z.real, z.imag), FACTS)
    assert model.card.camera["pix_rotation_deg"] == pytest.approx(110.893, abs=1e-3)


# ---------------------------------------------------------------- Cartesian networks


def test_cartesian_checkpoint(golden, tmp_path):
    """Golden Cartesian network, as a checkpoint with GammaLearn's names and shapes."""
    mapping = read_mapping_table(golden / "bilinear55_lstcam.npz")
    table = np.load(golden / "lattice_lstcam.npz")
    camera = "LSTCam", table["pix_x"], table["pix_y"]
    architecture = Architecture(variant="cartesian", output_size=(14, 14))
    network = GammaPhysNet(architecture, None, mapping)
    state = gammalearn_names(network, "C", dim=2)
    state = {k: golden_tensor(k, tuple(v.shape)) for k, v in state.items()}
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {f"net.{k}": v for k, v in state.items()}}, path)
    with pytest.raises(CheckpointError, match="--mapping-table"):
        convert_checkpoint(path, camera, FACTS)
    model = convert_checkpoint(path, camera, FACTS, mapping=mapping)
    assert model.card.architecture == architecture
    assert "output_size=14x14 (square)" in model.card.provenance["assumed"]
    vectors = np.load(golden / "physnet_da_cartesian55.npz")
    for task, output in model.network(torch.tensor(vectors["input"])).items():
        np.testing.assert_allclose(output, vectors[f"out_{task}"], rtol=1e-4, atol=5e-5)


def test_mapping_table_round_trip(tmp_path):
    columns = {"pixel": [0, 1], "cell": [3, 5], "weight": [1.0, 0.5]}
    np.savez(tmp_path / "m.npz", shape=(2, 6), image_shape=(2, 3), **columns)
    mapping = read_mapping_table(tmp_path / "m.npz")
    assert mapping.image_shape == (2, 3)
    assert mapping.n_pixels == 2


@pytest.mark.parametrize(
    "change", [{"cell": [3, 6]}, {"pixel": [0, 2]}, {"weight": [1.0]}, {"image_shape": (5, 1)}]
)
def test_bad_mapping_tables(tmp_path, change):
    columns = {"pixel": [0, 1], "cell": [3, 5], "weight": [1.0, 0.5], "image_shape": (2, 3)}
    np.savez(tmp_path / "m.npz", shape=(2, 6), **columns | change)
    with pytest.raises(ModelFileError, match=r"m\.npz"):
        read_mapping_table(tmp_path / "m.npz")


# ---------------------------------------------------------------- hints


def test_hints_of_the_golden_settings(golden):
    hints = read_hints(golden / "checkpoint_layoutC_v0.16_settings.json")
    assert hints == {"gammalearn": "0.16.0", "class_ids": "0,101", "activation": "relu"}


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"gammalearn": 1, "dataset_parameters": 3}'])
def test_odd_settings_files(tmp_path, text):
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match="settings"):
        read_hints(path)


def test_class_order_follows_the_outputs(tmp_path):
    path = tmp_path / "settings.json"
    settings = {"gammalearn": "0.15", "dataset_parameters": {"particle_dict": {"101": 0, "0": 1}}}
    path.write_text(json.dumps(settings))
    assert read_hints(path)["class_ids"] == "101,0"
    assert parse_class_ids("101,0") == (101, 0)


@pytest.mark.parametrize("text", ["", "gamma,proton", "0;101"])
def test_odd_class_ids(text):
    with pytest.raises(CheckpointError, match="--class-ids"):
        parse_class_ids(text)


@pytest.mark.parametrize("name", GOLDEN)
def test_reader_agrees_with_torch(golden, name):
    path = golden / f"checkpoint_{name}.ckpt"
    state = read_checkpoint(path)
    if name.startswith("layoutA"):
        assert "net.feature.cv0.weight" in state
        return
    for key, value in torch.load(path, weights_only=True)["state_dict"].items():
        np.testing.assert_array_equal(state[key], value.numpy())
