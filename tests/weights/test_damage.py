"""RELIABILITY.md, acceptance tests 6, 7 and 8 for model files."""

import os
import pickle
import random
import struct
import tarfile
import time
import zipfile
from collections import Counter

import numpy as np
import pytest
import torch

from ctapipe_gammalearn.exceptions import CheckpointError, GammaLearnError, ModelFileError
from ctapipe_gammalearn.weights import ModelCard, read_model
from ctapipe_gammalearn.weights.gammalearn_import import read_checkpoint
from ctapipe_gammalearn.weights.mapping_table import read_mapping_table
from ctapipe_gammalearn.weights.store import network_tensors
from ctapipe_gammalearn.weights.zoo import read_registry


def flip(raw, position, bit=0):
    """One bit changed."""
    out = bytearray(raw)
    out[position] ^= 1 << bit
    return bytes(out)


def data_start(raw):
    """First byte behind the header."""
    return 8 + struct.unpack("<Q", raw[:8])[0]


def swapped(raw, i, j, size=512):
    """Two blocks exchanged."""
    out = bytearray(raw)
    out[i : i + size], out[j : j + size] = out[j : j + size], out[i : i + size]
    return bytes(out)


def zeroed(raw, i, size=4096):
    """One lost block."""
    return raw[:i] + bytes(len(raw[i : i + size])) + raw[i + size :]


def with_value(raw, value):
    """A weight replaced without renewing the checksum."""
    i = data_start(raw) + 4 * 2000
    return raw[:i] + struct.pack("<f", value) + raw[i + 4 :]


DAMAGE = {
    "empty": lambda raw: b"",
    "cut to 4 bytes": lambda raw: raw[:4],
    "cut in the header": lambda raw: raw[:300],
    "cut in the middle": lambda raw: raw[: len(raw) // 2],
    "cut at the end": lambda raw: raw[:-1],
    "bit of the size": lambda raw: flip(raw, 3, 6),
    "bit of the header": lambda raw: flip(raw, 40),
    "bit of a weight": lambda raw: flip(raw, len(raw) // 2, 3),
    "last bit": lambda raw: flip(raw, len(raw) - 1, 7),
    "blocks swapped": lambda raw: swapped(raw, data_start(raw), len(raw) - 600),
    "block zeroed": lambda raw: zeroed(raw, len(raw) - 5000),
    "NaN": lambda raw: with_value(raw, float("nan")),
    "inf": lambda raw: with_value(raw, float("inf")),
    "other names": lambda raw: raw.replace(b"fusion.bias", b"fusiom.bias", 1),
    "other shape": lambda raw: raw.replace(b'"shape":[8]', b'"shape":[9]', 1),
    "F32 called F16": lambda raw: raw.replace(b'"F32"', b'"F16"', 1),
    "F32 called I32": lambda raw: raw.replace(b'"F32"', b'"I32"', 1),
    "bytes appended": lambda raw: raw + b"\0" * 16,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_file_is_refused(model_file, kind):
    raw = model_file.read_bytes()
    damaged = DAMAGE[kind](raw)
    assert damaged != raw
    model_file.write_bytes(damaged)
    start = time.monotonic()
    with pytest.raises(ModelFileError) as error:
        read_model(model_file)
    assert time.monotonic() - start < 10
    assert str(error.value).startswith(f"{model_file}: ")
    assert "\n" not in str(error.value)


def mutate(rng, raw, kind):
    """One of six kinds of damage."""
    start = data_start(raw)
    if kind == "bit":
        return flip(raw, rng.randrange(len(raw)), rng.randrange(8))
    if kind == "header bit":
        return flip(raw, rng.randrange(start), rng.randrange(8))
    if kind == "truncate":
        return raw[: rng.randrange(len(raw))]
    if kind == "append":
        return raw + bytes(rng.randrange(1, 64))
    i, j = (rng.randrange(start, len(raw) - 4096) for _ in range(2))
    return swapped(raw, i, j) if kind == "swap" else zeroed(raw, i)


def test_3000_mutations_are_refused_or_identical(model_file):
    raw = model_file.read_bytes()
    weights = network_tensors(read_model(model_file).network)
    rng, verdicts = random.Random(7), Counter()
    kinds = ["bit", "header bit", "truncate", "append", "swap", "zero"]
    for i in range(3000):
        damaged = mutate(rng, raw, kinds[i % 6])
        model_file.write_bytes(damaged)
        try:
            model = read_model(model_file)
        except ModelFileError:
            verdicts["refused"] += 1
            continue
        same = network_tensors(model.network)
        assert all(np.array_equal(weights[k], same[k]) for k in weights)
        verdicts["identical" if damaged == raw else "ACCEPTED"] += 1
    assert verdicts["ACCEPTED"] == 0
    assert verdicts.total() == 3000
    assert verdicts["refused"] > 2900


# ---------------------------------------------------------------- malicious files


class Attack:
    """Creates a marker file when unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def attack_file(kind, folder):
    """A hostile file and the marker that its code would leave."""
    marker, path = folder / "MARKER", folder / f"{kind}.safetensors"
    attack = Attack(marker)
    if kind == "zip pickle":
        torch.save({"state_dict": {"net.x": attack}, "a": attack}, path)
    elif kind == "legacy pickle":
        torch.save({"state_dict": attack}, path, _use_new_zipfile_serialization=False)
    elif kind == "plain pickle":
        path.write_bytes(pickle.dumps({"state_dict": attack}))
    elif kind == "object array":
        with path.open("wb") as file:
            np.save(file, np.array([attack], dtype=object), allow_pickle=True)
    elif kind == "object arrays":
        with path.open("wb") as file:
            np.savez(file, pixel=np.array([attack], dtype=object))
    elif kind == "yaml tag":
        path.write_text(f"!!python/object/apply:os.mkdir ['{marker}']")
    elif kind == "zip with ..":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../MARKER", "x")
            archive.writestr("a/data.pkl", pickle.dumps(attack))
            archive.writestr("a/byteorder", "little")
    elif kind == "tar with ..":
        with tarfile.open(path, "w") as archive:
            info = tarfile.TarInfo("../MARKER")
            archive.addfile(info)
    elif kind == "link":
        target = folder / "secret"
        target.write_text("secret")
        path.symlink_to(target)
    return path, marker


KINDS = [
    "zip pickle",
    "legacy pickle",
    "plain pickle",
    "object array",
    "object arrays",
    "yaml tag",
    "zip with ..",
    "tar with ..",
    "link",
]
READERS = {
    "weights": read_model,
    "card": lambda path: ModelCard.from_json(path.read_bytes()),
    "import": read_checkpoint,
    "mapping": read_mapping_table,
    "registry": read_registry,
}


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_code_of_a_file_runs(tmp_path, monkeypatch, kind, reader, forced):
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    folder = tmp_path / "in"
    folder.mkdir()
    path, marker = attack_file(kind, folder)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(GammaLearnError) as error:
        READERS[reader](path)
    assert "\n" not in str(error.value)
    assert not marker.exists()
    assert set(tmp_path.rglob("*")) == before


def test_attack_files_do_work_when_unpickled(tmp_path):
    path, marker = attack_file("zip pickle", tmp_path)
    torch.load(path.rename(tmp_path / "a.ckpt"), weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cbuiltins\nexec\n(S'raise SystemExit'\ntR.",
        b"(dS'state_dict'\n(dS'a'\nI1\nss.",
        b"r\xff\xff\xff\xff.",
        b"",
        b"\x80\x02}.",
    ],
)
def test_odd_pickles_are_refused(tmp_path, code):
    path = tmp_path / "a.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", code)
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    assert str(error.value).startswith(f"{path}: ")


def test_damaged_checkpoints_never_crash(tmp_path):
    """Any change is refused with one line, or gives plain arrays."""
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {f"net.{i}": torch.randn(40) for i in range(5)}}, path)
    raw, rng = path.read_bytes(), random.Random(1)
    for i in range(600):
        kind = ("bit", "truncate", "append", "swap", "zero")[i % 5]
        position = rng.randrange(len(raw))
        damaged = {
            "bit": lambda p=position: flip(raw, p, rng.randrange(8)),
            "truncate": lambda p=position: raw[:p],
            "append": lambda: raw + b"x",
            "swap": lambda p=position: swapped(raw, p, rng.randrange(len(raw)), 64),
            "zero": lambda p=position: zeroed(raw, p, 100),
        }[kind]()
        path.write_bytes(damaged)
        message, state = "", {}
        try:
            state = read_checkpoint(path)
        except CheckpointError as error:
            message = str(error)
        assert "\n" not in message
        assert all(isinstance(array, np.ndarray) for array in state.values())


def test_compressed_checkpoint_is_refused(tmp_path):
    path = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\0" * 10**6)
    with pytest.raises(CheckpointError, match="compressed"):
        read_checkpoint(path)


@pytest.mark.parametrize("reader", [read_model, read_checkpoint])
def test_missing_file_and_folder(tmp_path, reader):
    with pytest.raises(GammaLearnError, match="no such file"):
        reader(tmp_path / "nix")
    with pytest.raises(GammaLearnError, match="regular"):
        reader(tmp_path)


def test_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="regular"):
        read_model(tmp_path / "pipe")


def test_file_over_the_limit(tmp_path):
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(2**29 + 1)
    with pytest.raises(ModelFileError, match="512 MB"):
        read_model(path)
