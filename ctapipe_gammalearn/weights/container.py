"""One sealed .safetensors file: any changed byte is noticed, a failed write leaves nothing.

The metadata hold the model card and ``sha256``, the SHA-256 of all bytes of the file with
these 64 digits replaced by zeros.  safetensors itself accepts more than half of all
damaged files (it promises safety, not integrity).
"""

import hashlib
import json
import re
import stat

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from ..exceptions import ModelFileError, OutputError
from ..files import whole_file

__all__ = ["read_bytes", "seal", "unseal", "write_bytes"]

MAX_FILE = 512 * 2**20
MAX_HEADER = 2**20
CARD_KEY = "ctapipe_gammalearn"
DTYPES = {"<f8": "F64", "<f4": "F32", "<i4": "I32"}

_BLANK = b"0" * 64
_SEAL = re.compile(rb'(?<="sha256":")[0-9a-f]{64}(?=")')
_FRESH = "get a fresh copy of the file"
_FOREIGN = (
    "not a model file of ctapipe_gammalearn; checkpoints are converted with"
    " 'ctapipe-gammalearn-models convert'"
)


def seal(card_text, tensors):
    """File contents; the same input gives the same bytes.

    Parameters
    ----------
    card_text : str
    tensors : dict of str to ndarray
        float64, float32 or int32.

    Returns
    -------
    bytes
    """
    arrays = {k: np.ascontiguousarray(v, v.dtype.newbyteorder("<")) for k, v in tensors.items()}
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))  # keeps alignment
    header = {"__metadata__": {CARD_KEY: card_text, "sha256": _BLANK.decode()}}
    start = 0
    for name in names:
        array = arrays[name]
        header[name] = {
            "dtype": DTYPES[array.dtype.str],
            "shape": array.shape,
            "data_offsets": (start, start := start + array.nbytes),
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = b"".join(arrays[name].tobytes() for name in names)
    size = len(text).to_bytes(8, "little")
    digest = hashlib.sha256(size + text + data).hexdigest().encode()
    return size + _SEAL.sub(digest, text) + data


def unseal(raw):
    """Card text and tensors of file contents.

    Parameters
    ----------
    raw : bytes

    Returns
    -------
    card_text : str
    tensors : dict of str to ndarray
        Read-only.

    Raises
    ------
    ModelFileError
        If the contents are not exactly what `seal` made.
    """
    end = 8 + int.from_bytes(raw[:8], "little")
    header = raw[8:end] if end - 8 <= MAX_HEADER else b""
    if end > len(raw) or not header.startswith(b"{"):
        raise ModelFileError(f"damaged, or {_FOREIGN}")
    seals = _SEAL.findall(header)
    if len(seals) != 1:
        raise ModelFileError(_FOREIGN)
    digest = hashlib.sha256(raw[:8] + _SEAL.sub(_BLANK, header))
    digest.update(memoryview(raw)[end:])
    if digest.hexdigest().encode() != seals[0]:
        raise ModelFileError(f"damaged (checksum differs); {_FRESH}")
    try:
        metadata = json.loads(header)["__metadata__"]
        if set(metadata) != {CARD_KEY, "sha256"}:
            raise ModelFileError(_FOREIGN)
        return metadata[CARD_KEY], load(raw)
    except (SafetensorError, ValueError, LookupError, TypeError, RecursionError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"not readable ({error}); {_FRESH}") from None


def read_bytes(path):
    """Contents of a regular file of at most 512 MB, read once.

    Raises
    ------
    ModelFileError
        Without the path in its text.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError("not a regular file; give the .safetensors file itself")
        if status.st_size > MAX_FILE:
            raise ModelFileError("larger than 512 MB; no model file is that large")
        with path.open("rb") as file:
            return file.read(MAX_FILE)
    except FileNotFoundError:
        raise ModelFileError(
            "no such file; check the path, or see 'ctapipe-gammalearn-models list'"
        ) from None
    except OSError as error:
        raise ModelFileError(f"cannot be read ({error.strerror}); check the path") from None


def write_bytes(path, raw, overwrite=False):
    """Write a file completely or not at all.

    Parameters
    ----------
    path : Path
    raw : bytes
    overwrite : bool
        Without it an existing file is never touched, not even if it appears meanwhile.

    Raises
    ------
    ModelFileError
        If the file exists, or the folder does not.
    OSError
        If writing fails.
    """
    if path.is_dir() or not path.parent.is_dir():
        kind = "is a folder" if path.is_dir() else "its folder does not exist"
        raise ModelFileError(f"{path}: {kind}; choose another name")
    try:
        with whole_file(path, overwrite) as part:
            part.write_bytes(raw)
    except OutputError as error:
        raise ModelFileError(str(error)) from None
