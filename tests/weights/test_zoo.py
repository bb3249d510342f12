import hashlib
import json

import pytest

from ctapipe_gammalearn.exceptions import ModelFileError
from ctapipe_gammalearn.weights import read_model
from ctapipe_gammalearn.weights.zoo import ZooModel, fetch_model, is_fetched, read_registry

SHA = "0" * 64


def entry(path):
    """Registry entry of a file."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return ZooModel("small", path.as_uri(), sha256, "a model")


def test_own_registry_can_be_fetched_without_network(tmp_path):
    for model in read_registry().values():
        if model.url.startswith("package:"):
            path = fetch_model(model, tmp_path)
            assert read_model(path).card.status == "trained"


def test_fetch_by_file_address(model_file, tmp_path):
    path = fetch_model(entry(model_file), tmp_path / "zoo")
    assert path.read_bytes() == model_file.read_bytes()
    assert is_fetched(entry(model_file), path)
    model_file.unlink()
    assert fetch_model(ZooModel("small", "file:///nix", read_model(path).sha256, ""), path.parent)


@pytest.mark.parametrize("url", ["file:///nix.safetensors", "https://127.0.0.1:9/a", "package:nix"])
def test_unreachable_model_is_one_line_and_leaves_nothing(tmp_path, url):
    with pytest.raises(ModelFileError, match="small: cannot be fetched from") as error:
        fetch_model(ZooModel("small", url, SHA, ""), tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_wrong_checksum_leaves_nothing(model_file, tmp_path):
    folder = tmp_path / "zoo"
    with pytest.raises(ModelFileError, match="hash"):
        fetch_model(ZooModel("small", model_file.as_uri(), SHA, ""), folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["", "../a", "a..b", "a/b", ".a", "-a", "a" * 65, "a\n", "ä"])
def test_names_cannot_leave_the_folder(name):
    with pytest.raises(ModelFileError, match="not a valid model name"):
        ZooModel(name, "https://x/y", SHA, "")


@pytest.mark.parametrize("url", ["http://x/y", "ftp://x/y", "/etc/passwd", "javascript:x", ""])
def test_only_safe_addresses(url):
    with pytest.raises(ModelFileError, match="https"):
        ZooModel("a", url, SHA, "")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"models": [{}]}', '{"models": 3}', '{"models": [{"name": 1}]}']
)
def test_odd_registries(tmp_path, text):
    path = tmp_path / "models.json"
    path.write_text(text)
    with pytest.raises(ModelFileError, match=r"models\.json: not a registry"):
        read_registry(path)


def test_registry_from_a_file(tmp_path):
    path = tmp_path / "models.json"
    model = {"name": "a", "url": "https://x/y", "sha256": SHA, "description": "d"}
    path.write_text(json.dumps({"models": [model]}))
    assert read_registry(path) == {"a": ZooModel(**model)}
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_registry(tmp_path / "nix.json")
