"""The commands of ctapipe-gammalearn-models."""

import hashlib
import json
import os
import pickle
import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
from ctapipe.instrument import CameraGeometry, PixelShape

from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.nn import Architecture
from ctapipe_gammalearn.tools.models import COMMANDS, main
from ctapipe_gammalearn.weights import random_model, read_model, write_model

GOLDEN = ["layoutA_v0.8", "layoutB_v0.10", "layoutC_v0.16", "layoutC_dann_v0.16"]
VERSION = {"layoutA_v0.8": "0.8", "layoutB_v0.10": "0.10", "layoutC_v0.16": "0.15"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder, capfd):
    """Function that runs a command in the folder: exit code, output, error lines."""

    def call(*words):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return stop.value.code, out, err

    return call


def write_camera(path, lattice, shape=PixelShape.HEXAGON):
    """Table of a camera."""
    CameraGeometry(
        "Small",
        np.arange(lattice.n_pixels),
        lattice.pix_x * u.m,
        lattice.pix_y * u.m,
        np.full(lattice.n_pixels, lattice.pitch_m**2) * u.m**2,
        shape,
    ).to_table().write(path)


@pytest.fixture
def camera(folder, hexagonal_camera):
    """File with a hexagonal camera."""
    write_camera(folder / "camera.ecsv", hexagonal_camera)
    return folder / "camera.ecsv"


@pytest.fixture
def model_file(folder, hexagonal_camera):
    """Small model."""
    architecture = Architecture(num_layers=1, block_features=(4,), reduced=(1,), fc_width=4)
    model = random_model(hexagonal_camera, "Small", architecture)
    write_model(folder / "model.safetensors", model)
    return folder / "model.safetensors"


@pytest.fixture
def golden_camera(golden, folder):
    """Camera file of the golden checkpoints."""
    table = np.load(golden / "lattice_tiny.npz")
    lattice = CameraLattice.from_positions(table["pix_x"], table["pix_y"])
    write_camera(folder / "tiny.fits", lattice)
    return folder / "tiny.fits"


SMALL = ["--features", "4,6", "--layers", 1, "--fc-width", 8]


def test_help_of_all_commands(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(run, folder, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"ctapipe-gammalearn-models {command}" in out or "Options" in out
    assert not os.listdir(folder)


def test_init_writes_an_untrained_model_and_warns(run, camera):
    code, out, err = run("init", "--camera", camera, "-o", "a.safetensors", *SMALL)
    assert code == 0
    assert "untrained" in out
    assert "WARNING" in err
    model = read_model("a.safetensors")
    assert model.card.status == "untrained"
    assert model.card.architecture.block_features == (4, 6)
    assert sorted(os.listdir()) == ["a.safetensors", "camera.ecsv"]


def test_init_options(run, camera):
    words = ["--attention", "se", "--activation", "leaky_relu:0.1", "--norm", "none", "--ratio", 2]
    words += ["--tasks", "energy,class", "--class-ids", "101,0,1", "--channels", 1, "--seed", 4]
    assert run("init", "--camera", camera, "--output", "a.safetensors", *SMALL, *words)[0] == 0
    card = read_model("a.safetensors").card
    assert card.architecture == Architecture(
        num_channels=1,
        num_layers=1,
        block_features=(4, 6),
        activation="leaky_relu:0.1",
        norm="none",
        attention="se",
        reduced=(2, 3),
        fc_width=8,
        outputs={"energy": 1, "class": 3},
    )
    assert card.signal_class == 1


def test_init_of_a_square_camera_in_a_dl1_or_simtel_file(run, shared):
    path = shared / "data/simtel/gct_checs_muons.simtel.zst"
    assert run("init", "--camera", path, "-o", "a.safetensors", *SMALL)[0] == 0
    assert read_model("a.safetensors").lattice.shape == "square"
    path = shared / "data/simtel/gamma_prod6_tel_event_header_v4.simtel.zst"
    code, _, err = run("init", "--camera", path, "-o", "b.safetensors")
    assert code == 2
    assert "--tel-id" in err
    assert run("init", "--camera", path, "--tel-id", 5, "-o", "b.safetensors", *SMALL)[0] == 0


def test_init_of_the_cartesian_variant(run, golden):
    table = golden / "bilinear55_lstcam.npz"
    words = ["--camera", "LSTCam", "--mapping-table", table, "--output-size", 28]
    assert run("init", "-o", "a.safetensors", *words, *SMALL)[0] == 0
    assert read_model("a.safetensors").mapping.image_shape == (55, 55)


def test_info_prints_the_card(run, model_file):
    code, out, _ = run("info", model_file)
    assert code == 0
    sha256 = hashlib.sha256(model_file.read_bytes()).hexdigest()
    for word in ("untrained", "Small", "fov_lon", "log10", "gamma proton", sha256):
        assert word in out


def test_verify_checks_every_file(run, model_file):
    assert run("verify", model_file)[0] == 0
    bad = model_file.with_name("bad.safetensors")
    bad.write_bytes(model_file.read_bytes()[:-1])
    code, out, err = run("verify", bad, model_file, "nix.safetensors")
    assert code == 2
    assert f"{model_file}: ok" in out
    assert "damaged" in err
    assert "nix.safetensors: no such file" in err


@pytest.mark.parametrize("name", GOLDEN)
def test_convert_golden_checkpoints(run, golden, golden_camera, name):
    path = golden / f"checkpoint_{name}.ckpt"
    words = ["--activation", "relu", "--class-ids", "0,101"]
    words += ["--gammalearn-version", VERSION.get(name, "0.15")]
    code, out, err = run("convert", path, "-o", "a.safetensors", "--camera", golden_camera, *words)
    assert code == 0, err
    model = read_model("a.safetensors")
    assumed = model.card.provenance["assumed"]
    assert [line for line in out.splitlines() if line.startswith("assumed: ")] == [
        f"assumed: {line}" for line in assumed
    ]
    sha256 = "9d2c6c8a97683fa7665f10907354e75e3f114b0306df5f1933099a02a6f2810d"
    assert model.card.weights_sha256 == sha256
    assert sorted(os.listdir()) == ["a.safetensors", "tiny.fits"]


def test_convert_asks_for_missing_facts(run, golden, golden_camera):
    settings = golden / "checkpoint_layoutC_v0.16_settings.json"
    path = golden / "checkpoint_layoutC_v0.16.ckpt"
    words = ["--camera", golden_camera, "--settings-json", settings]
    code, _, err = run("convert", path, "-o", "a.safetensors", *words)
    assert code == 2
    for option in ("--activation", "--direction", "--class-ids", "--nan-time"):
        assert option in err
    assert "settings file says --activation relu" in err
    code, _, err = run("convert", path, "-o", "a.safetensors")
    assert code == 2
    assert "--camera" in err
    assert not os.path.exists("a.safetensors")


def test_convert_warns_where_the_settings_differ(run, golden, golden_camera):
    settings = golden / "checkpoint_layoutC_v0.16_settings.json"
    path = golden / "checkpoint_layoutC_v0.16.ckpt"
    words = ["--camera", golden_camera, "--settings-json", settings, "--activation", "gelu"]
    words += ["--gammalearn-version", "0.16", "--class-ids", "0,101", "--focal-length", "28"]
    code, _, err = run("convert", path, "-o", "a.safetensors", *words)
    assert code == 0
    assert "the settings file says relu, given is gelu" in err
    assert read_model("a.safetensors").card.tasks["direction"]["focal_length_m"] == 28


def registry(path, url, sha256="0" * 64):
    """Registry file with one model."""
    model = {"name": "small", "url": url, "sha256": sha256, "description": "a small one"}
    path.write_text(json.dumps({"models": [model]}))
    return path


def test_list_and_fetch(run, model_file, folder):
    sha256 = hashlib.sha256(model_file.read_bytes()).hexdigest()
    models = registry(folder / "models.json", model_file.as_uri(), sha256)
    assert run("list", "--registry", models)[1] == "small  a small one\n"
    (folder / "zoo").mkdir()
    code, out, _ = run("fetch", "small", "--registry", models, "-o", "zoo")
    assert code == 0
    assert out.strip().endswith("zoo/small.safetensors")
    assert (folder / "zoo/small.safetensors").read_bytes() == model_file.read_bytes()
    (folder / "zoo/small.safetensors").write_text("mine")
    assert run("fetch", "small", "--registry", models, "-o", "zoo")[0] == 2
    assert (folder / "zoo/small.safetensors").read_text() == "mine"
    assert run("fetch", "small", "--registry", models, "-o", "zoo", "--overwrite")[0] == 0


def test_fetch_offline_is_one_line(run, folder):
    models = registry(folder / "models.json", "https://127.0.0.1:9/small.safetensors")
    code, _, err = run("fetch", "small", "--registry", models, "-o", folder)
    assert code == 2
    assert "check the connection" in err
    assert os.listdir(folder) == ["models.json"]


def test_own_list_names_the_bundled_model(run):
    code, out, _ = run("list")
    assert code == 0
    assert "lst-patch" in out
    assert "lst-gammaphysnet" in out


WRONG = {
    "no command": [],
    "unknown command": ["bogus"],
    "info without a file": ["info"],
    "info of two files": ["info", "model.safetensors", "model.safetensors"],
    "verify without a file": ["verify"],
    "missing file": ["info", "nix.safetensors"],
    "folder": ["verify", "."],
    "pickle": ["info", "pickle.safetensors"],
    "truncated": ["info", "cut.safetensors"],
    "empty": ["verify", "empty.safetensors"],
    "unknown option": ["info", "--bogus", "model.safetensors"],
    "unknown option with value": ["verify", "--bogus=3", "model.safetensors"],
    "unknown trait": ["info", "--ModelInfo.bogus=3", "model.safetensors"],
    "missing configuration": ["info", "-c", "nix.yaml", "model.safetensors"],
    "bad configuration": ["info", "-c", "bad.yaml", "model.safetensors"],
    "unknown model": ["fetch", "nix"],
    "fetch of nothing": ["fetch"],
    "bad registry": ["list", "--registry", "bad.yaml"],
    "missing registry": ["list", "--registry", "nix.json"],
    "missing folder": ["fetch", "demo", "-o", "nix"],
    "init without output": ["init", "--camera", "camera.ecsv"],
    "init without camera": ["init", "-o", "a.safetensors"],
    "unknown camera": ["init", "--camera", "NoCam", "-o", "a.safetensors"],
    "no camera in the file": ["init", "--camera", "bad.yaml", "-o", "a.safetensors"],
    "other suffix": ["init", "--camera", "camera.ecsv", "-o", "a.pt"],
    "no such folder": ["init", "--camera", "camera.ecsv", "-o", "nix/a.safetensors"],
    "output exists": ["init", "--camera", "camera.ecsv", "-o", "model.safetensors"],
    "negative layers": ["init", "--camera", "camera.ecsv", "-o", "a.safetensors", "--layers=-1"],
    "odd layers": ["init", "--camera", "camera.ecsv", "-o", "a.safetensors", "--layers", "x"],
    "odd features": ["init", "--camera", "camera.ecsv", "-o", "a.safetensors", "--features", "a,b"],
    "no features": ["init", "--camera", "camera.ecsv", "-o", "a.safetensors", "--features", "0"],
    "odd activation": ["init", "--camera", "camera.ecsv", "-o", "a.safetensors", "--activation=x"],
    "odd tasks": ["init", "--camera", "camera.ecsv", "-o", "a.safetensors", "--tasks", "mass"],
    "one class": ["init", "--camera", "camera.ecsv", "-o", "a.safetensors", "--class-ids", "0"],
    "missing mapping": ["init", "--camera=camera.ecsv", "-o=a.safetensors", "--mapping-table=nix"],
    "bad mapping": [
        *("init", "--camera=camera.ecsv", "-o", "a.safetensors"),
        "--mapping-table=bad.yaml",
    ],
    "missing checkpoint": ["convert", "nix.ckpt", "-o", "a.safetensors", "--camera=camera.ecsv"],
    "foreign checkpoint": [
        *("convert", "model.safetensors", "-o", "a.safetensors"),
        "--camera=camera.ecsv",
    ],
    "convert without a file": ["convert", "-o", "a.safetensors", "--camera", "camera.ecsv"],
    "odd direction": ["convert", "x.ckpt", "-o", "a.safetensors", "--direction", "up"],
    "odd nan time": ["convert", "x.ckpt", "-o", "a.safetensors", "--nan-time", "soon"],
    "odd classes": [
        *("convert", "x.ckpt", "-o", "a.safetensors", "--camera=camera.ecsv"),
        "--class-ids=a",
    ],
    "missing settings": ["convert", "x.ckpt", "-o", "a.safetensors", "--settings-json", "nix"],
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_exit_2_and_writes_nothing(run, folder, camera, model_file, case):
    raw = model_file.read_bytes()
    (folder / "pickle.safetensors").write_bytes(pickle.dumps({"a": 1}))
    (folder / "cut.safetensors").write_bytes(raw[:5000])
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "bad.yaml").write_text("{[")
    before = sorted(os.listdir())
    code, out, err = run(*WRONG[case])
    assert code == 2
    assert out == ""
    lines = [x for x in err.splitlines() if "--help for more" not in x or x.count("usage")]
    lines = [line for line in lines if "Caught SystemExit" not in line]
    assert len(lines) == 1, err
    assert sorted(os.listdir()) == before
    assert model_file.read_bytes() == raw


def test_full_disk_is_exit_74(run, folder, camera, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = run("init", "--camera", camera, "-o", "a.safetensors", *SMALL)
    assert code == 74
    assert "No space left on device" in err
    assert os.listdir(folder) == ["camera.ecsv"]


def test_provenance_log_only_on_request(run, model_file):
    run("verify", model_file)
    assert os.listdir() == [model_file.name]
    run("verify", model_file, "--provenance-log", "log.json")
    assert os.path.exists("log.json")


SHELL = "from ctapipe_gammalearn.tools.models import main; main()"


@pytest.mark.parametrize(
    ("words", "code"), [(["verify", "model.safetensors"], 0), (["info", "nix"], 2), ([], 2)]
)
def test_real_command_line(model_file, words, code):
    done = subprocess.run(
        [sys.executable, "-c", SHELL, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert os.listdir() == [model_file.name]
