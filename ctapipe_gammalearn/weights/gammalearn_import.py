"""Read the tensors of a `torch.save` checkpoint without running anything in it.

A checkpoint is a zip archive with a pickle.  Plain `torch.load` imports and calls whatever
the pickle names; its ``weights_only`` mode refuses older GammaLearn files, whose callbacks
are keyed by a Lightning class.  Here every name but the few that build tensors becomes an
inert object, whatever is done to it, and tensors are read with numpy.
"""

import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..exceptions import CheckpointError

__all__ = ["read_checkpoint"]

MAX_BYTES = 2 * 2**30
MAX_PICKLE = 64 * 2**20

_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class _Inert:
    """Stands for every object that is not a tensor; does nothing."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def _nothing(self, *args, **kwargs):
        """Ignore what the pickle wants done."""

    __init__ = __setstate__ = __setitem__ = append = extend = add = _nothing


@dataclass(frozen=True)
class _Storage:
    """One record of the archive, not read yet."""

    key: str
    dtype: str | None


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple
    stride: tuple

    @classmethod
    def rebuild(cls, storage, offset, shape, stride, *_):
        """Stand-in for `torch._utils._rebuild_tensor_v2`."""
        return cls(storage, offset, shape, stride)


def _rebuild_parameter(tensor, *_):
    """Stand-in for `torch._utils._rebuild_parameter`."""
    return tensor


_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor.rebuild,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


class _Unpickler(pickle.Unpickler):
    """Unpickler that knows tensors and nothing else."""

    def find_class(self, module, name):
        """Inert class for every name that is not on the list."""
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        return _ALLOWED.get((module, name), _Inert)

    def persistent_load(self, pid):
        """Handle of a storage record: ("storage", type, key, device, n_items)."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise pickle.UnpicklingError("unknown kind of record")
        _, dtype, key, _, _ = pid
        return _Storage(str(key), dtype if isinstance(dtype, str) else None)


def read_checkpoint(path):
    """Tensors of the ``state_dict`` of a Lightning checkpoint.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    CheckpointError
        One line that names the file.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise CheckpointError("no such file" if not path.exists() else "not a regular file")
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError("larger than 2 GB; no GammaLearn checkpoint is that large")
        with zipfile.ZipFile(path) as archive:
            return _state_dict(archive)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, struct.error):
        raise CheckpointError(
            f"{path}: damaged, or no checkpoint of torch.save (a zip archive); get a fresh copy"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None


def _state_dict(archive):
    """Tensors of an open archive."""
    records = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in records if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError("no data.pkl inside: not a checkpoint of torch.save")
    root = pickles[0].rpartition("/")[0]
    packed = any(info.compress_type != zipfile.ZIP_STORED for info in records.values())
    if packed or sum(info.file_size for info in records.values()) > MAX_BYTES:
        raise CheckpointError("compressed or oversized records: not written by torch.save")
    if f"{root}/byteorder" in records and archive.read(f"{root}/byteorder") != b"little":
        raise CheckpointError("written on a big-endian machine; not supported")
    if records[pickles[0]].file_size > MAX_PICKLE:
        raise CheckpointError("data.pkl is larger than 64 MB: no GammaLearn checkpoint")
    content = _unpickle(archive.read(pickles[0]))
    # methods of `dict` itself: a hostile pickle can put others on its objects
    state = dict.get(content, "state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        raise CheckpointError("no state_dict inside: not a Lightning checkpoint")
    arrays = {}
    for name, tensor in dict.items(state):
        if not (
            isinstance(name, str)
            and isinstance(tensor, _Tensor)
            and isinstance(tensor.storage, _Storage)
        ):
            raise CheckpointError(f"state_dict entry {name!r} is no tensor")
        arrays[name] = _read(archive, root, name, tensor)
    return arrays


def _unpickle(data):
    """Objects of a pickle, inert but for tensors."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            # the unpickler would allocate that much
            if opcode.name == "LONG_BINPUT" and argument > len(data):
                raise pickle.UnpicklingError("memo index out of range")
        return _Unpickler(io.BytesIO(data)).load()
    except Exception as error:  # a hostile pickle can raise anything here
        raise CheckpointError(
            f"data.pkl is damaged ({type(error).__name__}); get a fresh copy"
        ) from None


def _read(archive, root, name, tensor):
    """Array of one tensor."""
    dtype, shape, stride = tensor.storage.dtype, tensor.shape, tensor.stride
    if dtype is None:
        raise CheckpointError(f"tensor {name} has an unsupported data type")
    numbers = (tensor.offset, *shape, *stride) if type(shape) is type(stride) is tuple else (-1,)
    if not all(type(n) is int and n >= 0 for n in numbers) or len(shape) != len(stride):
        raise CheckpointError(f"tensor {name} has no valid shape")
    try:
        data = np.frombuffer(archive.read(f"{root}/data/{tensor.storage.key}"), dtype)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"tensor {name}: record is missing or damaged ({error})") from None
    n_items = math.prod(shape)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if n_items > len(data) or (n_items and last >= len(data)):
        raise CheckpointError(f"tensor {name} reaches beyond its record")
    steps = [step * data.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(data[tensor.offset :], shape, steps, writeable=False)
    return view.copy()
