"""The processor, and machine code from LLVM IR through llvmlite, kept in the user's cache.

Machine code in a folder that others can write to would be foreign code: the folder must
belong to this user alone, otherwise nothing is read from or written to it.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ...files import whole_file

__all__ = ["Processor", "cache_folder", "machine_code", "machine_codes", "processor"]


@dataclass(frozen=True)
class Processor:
    """What the code is generated for.

    Attributes
    ----------
    name, features : str
        As LLVM calls them.
    lanes : int
        float32 values in a vector register.
    accumulators : int
        Registers that a tile may fill with sums.
    """

    name: str = field(default="", repr=False)
    features: str = field(default="", repr=False)
    lanes: int = 4
    accumulators: int = 12


@functools.cache
def processor():
    """The one of this machine.

    Raises
    ------
    ImportError
        Without llvmlite.
    """
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    name = llvm.get_host_cpu_name()
    many = features.get("avx512vl") or features.get("neon")  # 32 registers, otherwise 16
    lanes = 16 if features.get("avx512vl") else 8 if features.get("avx2") else 4
    return Processor(name, features.flatten(), lanes, 24 if many else 12)


#: engines of this process by the hash of what it was made from
_codes = {}


def machine_code(ir, host):
    """The function ``run`` of a module.

    Parameters
    ----------
    ir : str
    host : Processor

    Returns
    -------
    callable
        ``run(n, images, results, workspace, parameters)``: a number and four addresses.

    Raises
    ------
    ImportError, RuntimeError
        As `machine_codes`.
    """
    return machine_codes(ir, host, ["run"], 4)["run"]


def machine_codes(ir, host, names, n_addresses):
    """Functions of a module: known already, read from the cache, or compiled.

    Parameters
    ----------
    ir : str
    host : Processor
    names : iterable of str
    n_addresses : int
        Arguments of each function behind the first, which is an integer.

    Returns
    -------
    dict of str to callable
        They release the interpreter lock.

    Raises
    ------
    ImportError, RuntimeError
        No llvmlite, or it does not take the module.
    """
    import llvmlite.binding as llvm

    target = llvm.Target.from_default_triple()
    target = target.create_target_machine(cpu=host.name, features=host.features, opt=3)
    version = ".".join(map(str, llvm.llvm_version_info))
    key = "\n".join([version, target.triple, host.name, host.features, ir])
    key = hashlib.sha256(key.encode()).hexdigest()
    if key not in _codes:
        _codes[key] = _load(key, ir, target)
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * n_addresses)
    functions = {name: kind(_codes[key].get_function_address(name)) for name in names}
    for function in functions.values():
        function.owner = _codes[key]  # the code lives as long as the engine
    return functions


def _load(name, ir, target):
    """Engine that holds executable code, from the cache or from the text of a module."""
    import llvmlite.binding as llvm

    code = _read(name)
    if code is None:
        module = llvm.parse_assembly(ir)
        module.verify()
        code = target.emit_object(module)
        _write(name, code)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def cache_folder():
    """Folder of machine code, below ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "ctapipe_gammalearn" / "code"


def _is_private(folder):
    """Whether a folder is this user's, and nobody else may write to it."""
    status = os.lstat(folder)
    mine = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    return mine and not status.st_mode & 0o077


def _read(name):
    """Object code of that name, None if there is none or it is damaged."""
    try:
        folder = cache_folder()
        if not _is_private(folder):
            return None
        content = (folder / name).read_bytes()
    except (OSError, RuntimeError):  # RuntimeError: no home folder
        return None
    checksum, code = content[:32], content[32:]
    return code if hashlib.sha256(code).digest() == checksum else None


def _write(name, code):
    """Keep object code; what cannot be kept is compiled again next time."""
    with contextlib.suppress(OSError, RuntimeError):
        folder = cache_folder()
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if _is_private(folder):
            with whole_file(folder / name) as partial:
                partial.write_bytes(hashlib.sha256(code).digest() + code)
