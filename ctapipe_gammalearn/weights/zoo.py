"""Models to download: a registry of names, addresses and SHA-256 sums."""

import json
import logging
import re
import shutil
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pooch

from ..exceptions import ModelFileError

__all__ = ["ZooModel", "fetch_model", "is_fetched", "read_registry"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEYS = {"name", "url", "sha256", "description"}


@dataclass(frozen=True)
class ZooModel:
    """One line of the registry.

    Attributes
    ----------
    name : str
        Letters, digits, ``._-``; also the name of the file.
    url : str
        ``https:``, ``file:``, or ``package:`` for a file that comes with this package.
    sha256 : str
        Of the file.
    description : str
    """

    name: str
    url: str
    sha256: str
    description: str

    def __post_init__(self):
        """Refuse names that could leave the folder, and odd addresses."""
        if not NAME.fullmatch(self.name) or ".." in self.name:
            raise ModelFileError(f"registry: {self.name!r} is not a valid model name")
        if urlsplit(self.url).scheme not in ("https", "file", "package"):
            raise ModelFileError(f"registry: {self.name}: address must be https: or file:")
        if not _SHA256.fullmatch(self.sha256):
            raise ModelFileError(f"registry: {self.name}: sha256 must be 64 hexadecimal digits")


def read_registry(path=None):
    """Models by name.

    Parameters
    ----------
    path : path-like, optional
        JSON file ``{"models": [{"name", "url", "sha256", "description"}, …]}``; default:
        the registry of this package.

    Returns
    -------
    dict of str to ZooModel

    Raises
    ------
    ModelFileError
        Unreadable or not a registry.
    """
    source = files("ctapipe_gammalearn") / "resources/models.json" if path is None else Path(path)
    try:
        with source.open("rb") as file:
            entries = json.loads(file.read(2**20))["models"]
        if not all(
            set(e) == _KEYS and all(isinstance(v, str) for v in e.values()) for e in entries
        ):
            raise ValueError(f"each model needs exactly {', '.join(sorted(_KEYS))}")
        models = [ZooModel(**entry) for entry in entries]
    except OSError as error:
        raise ModelFileError(f"{source}: cannot be read ({error.strerror})") from None
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{source}: not a registry of models ({error})") from None
    return {model.name: model for model in models}


def fetch_model(model, folder=None):
    """Download a model, or find it downloaded already; the checksum decides.

    Parameters
    ----------
    model : ZooModel
    folder : path-like, optional
        Default: the user's cache folder.

    Returns
    -------
    Path

    Raises
    ------
    ModelFileError
        No connection, no such file, or another checksum; nothing is left behind.
    """
    folder = Path(folder or pooch.os_cache("ctapipe_gammalearn"))
    logging.getLogger("pooch").setLevel(logging.WARNING)
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        path = pooch.retrieve(
            model.url,
            known_hash=f"sha256:{model.sha256}",
            fname=f"{model.name}.safetensors",
            path=folder,
            downloader=_download,
        )
        return Path(path)
    except (OSError, ValueError) as error:  # connection errors of requests are OSErrors
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(
            f"{model.name}: cannot be fetched from {model.url} ({reason}); check the connection, or"
            " copy the file by hand"
        ) from None


def is_fetched(model, path):
    """Whether a file is this model."""
    return pooch.file_hash(str(path)) == model.sha256


def _download(url, output_file, pooch_object):
    """Downloader of `pooch` for the kinds of address in the registry."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        pooch.HTTPDownloader(timeout=20)(url, output_file, pooch_object)
    elif parts.scheme == "file":
        shutil.copyfile(unquote(parts.path), output_file)
    else:
        with as_file(files("ctapipe_gammalearn") / "resources" / Path(parts.path).name) as source:
            shutil.copyfile(source, output_file)
