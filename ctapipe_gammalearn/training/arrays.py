"""Images for training as flat arrays: written once, read as memory maps.

A folder holds ``image.npy`` and ``peak_time.npy`` (float16, one row per image),
``events.npy`` (`EVENT_DTYPE`), ``pixels.npy`` and ``meta.json``.  HDF5 files are slow to read
in random order; these arrays are not.
"""

import contextlib
import json
import logging
import os
import secrets
import shutil
from functools import cached_property
from pathlib import Path

import numpy as np

from ..exceptions import TrainingError
from ..lattice import CameraLattice

__all__ = [
    "EVENT_DTYPE",
    "MAX_BAD_FRACTION",
    "ImageArrays",
    "ImageSet",
    "finite_images",
    "join",
    "noise_range",
    "write_arrays",
]

log = logging.getLogger(__name__)

VERSION = 1
#: images with a larger fraction of non-finite charges are dropped (as at inference)
MAX_BAD_FRACTION = 0.1
LARGEST = 65504.0  # of float16
#: One row per image; see the field comments for units.
EVENT_DTYPE = np.dtype(
    [
        ("obs_id", "i8"),
        ("event_id", "i8"),
        ("tel_id", "i4"),
        ("shower", "u8"),  # hash of the simulated shower, see `split.shower_keys`
        ("particle", "i4"),  # true_shower_primary_id
        ("log10_energy", "f4"),  # of TeV
        ("direction", "f4", (2,)),  # camera-plane position of the source, deg
        ("impact", "f4", (2,)),  # core - telescope, tilted frame, 100 m
        ("intensity", "f4"),  # p.e. of the cleaned image
        ("n_pixels", "i4"),  # of the cleaned image
        ("leakage", "f4"),  # fraction of its charge in the outer two rings
    ]
)
META_KEYS = ("version", "camera", "focal_length_m", "shape", "sources")
COLUMNS = ("image", "peak_time", "events")
SHOWERS = "showers.npy"
N_NOISE = 10_000  # images behind the noise of a sample


def finite_images(image, peak_time):
    """Replace missing values; find the images with too many of them.

    Parameters
    ----------
    image : ndarray, shape (n, n_pixels), p.e.
    peak_time : ndarray, shape (n, n_pixels), ns

    Returns
    -------
    image, peak_time : ndarray, shape (n, n_pixels), float32
        Non-finite values are 0, all others within the range of float16.
    usable : ndarray, shape (n,), bool
        False where more than a tenth of the charges, or all times, are missing.
    """
    good, timed = np.isfinite(image), np.isfinite(peak_time)
    usable = (~good).sum(axis=1) <= MAX_BAD_FRACTION * image.shape[1]
    usable &= timed.any(axis=1)
    image = np.where(good, image, 0).astype(np.float32).clip(-LARGEST, LARGEST)
    peak_time = np.where(timed, peak_time, 0).astype(np.float32).clip(-LARGEST, LARGEST)
    return image, peak_time, usable


def noise_range(image):
    """Pixel noise of a sample, mostly night-sky background: what a network has seen of it.

    Parameters
    ----------
    image : ndarray, shape (n, n_pixels), p.e.
        With signal in a minority of the pixels.

    Returns
    -------
    list of float, p.e.
        5 % and 95 % quantiles over the images of half the width of the central 68 % of the
        charges: the standard deviation, were the noise normal.
    """
    some = np.asarray(image[:: -(-len(image) // N_NOISE)], dtype=np.float32)
    low, high = np.quantile(some, (0.1587, 0.8413), axis=1)
    return np.quantile((high - low) / 2, (0.05, 0.95)).round(3).tolist()


class _Column:
    """A ``.npy`` file that grows; its header is completed at the end."""

    def __init__(self, path, dtype, width=()):
        self.dtype, self.width, self.n = np.dtype(dtype), width, 0
        self.file = path.open("w+b")
        self._write_header()
        self.start = self.file.tell()

    def _write_header(self):
        """Header for the rows so far; NumPy leaves room for the number to grow."""
        header = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.n, *self.width),
        }
        np.lib.format.write_array_header_2_0(self.file, header)

    def append(self, rows):
        """Add rows."""
        rows = np.ascontiguousarray(rows, dtype=self.dtype)
        self.file.write(rows.data if rows.dtype.names is None else rows.tobytes())
        self.n += len(rows)

    def finish(self):
        """Complete the header and bring everything to the disk."""
        self.file.seek(0)
        self._write_header()
        assert self.file.tell() == self.start
        self.file.flush()
        os.fsync(self.file.fileno())


def write_arrays(folder, blocks, pixels, meta, showers=None):
    """Write an array folder: completely or not at all.

    Parameters
    ----------
    folder : path-like
        Must not exist.
    blocks : iterable of tuple
        ``(image, peak_time, events)``: shapes (n, n_pixels) p.e., (n, n_pixels) ns, and (n,)
        of `EVENT_DTYPE`.  Only one block is held in memory.
    pixels : ndarray, shape (n_pixels, 2), m
        Pixel centres in the CameraFrame.
    meta : dict
        JSON values: camera (name), focal_length_m, shape ("hexagonal", "square"), sources
        (list of dict, see ``io.training_files``).  A single source gets its ``n_images`` and
        ``noise_pe`` (`noise_range`) here.
    showers : callable, optional
        Called after the last block; fingerprints of all showers, rising: see
        `fingerprints.shower_prints`.

    Returns
    -------
    ImageArrays

    Raises
    ------
    TrainingError
        If the folder exists, or nothing was left to write.
    OSError
        If the disk is full.  Nothing is left behind then.
    """
    folder = Path(folder)
    if folder.exists():
        raise TrainingError(f"{folder}: exists; choose another folder or delete this one")
    part = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    part.mkdir(parents=True)
    try:
        n, n_dropped = _write_columns(part, blocks, len(pixels))
        if not n:
            raise TrainingError(f"{folder}: no usable image ({n_dropped} with missing pixels)")
        np.save(part / "pixels.npy", np.asarray(pixels, dtype="<f8"), allow_pickle=False)
        if showers is not None:
            np.save(part / SHOWERS, np.asarray(showers(), dtype="<u8"), allow_pickle=False)
        meta = {"version": VERSION, **meta, "n_images": n, "n_dropped": n_dropped}
        meta["sources"] = [dict(source) for source in meta["sources"]]
        if len(meta["sources"]) == 1:
            noise = noise_range(np.load(part / "image.npy", mmap_mode="r"))
            meta["sources"][0] |= {"n_images": n, "noise_pe": noise}
        (part / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    if n_dropped:
        log.warning("%s: %d images with many missing pixels dropped", folder, n_dropped)
    return ImageArrays(folder)


def _write_columns(part, blocks, n_pixels):
    """Write all blocks; returns the numbers of images written and dropped."""
    n_dropped = 0
    with contextlib.ExitStack() as stack:
        columns = [
            _Column(part / "image.npy", "<f2", (n_pixels,)),
            _Column(part / "peak_time.npy", "<f2", (n_pixels,)),
            _Column(part / "events.npy", EVENT_DTYPE.newbyteorder("<")),
        ]
        for column in columns:
            stack.callback(column.file.close)
        for image, peak_time, events in blocks:
            image, peak_time, usable = finite_images(image, peak_time)
            usable &= np.isfinite(events["log10_energy"])
            usable &= np.isfinite(events["direction"]).all(axis=1)
            usable &= np.isfinite(events["impact"]).all(axis=1)
            n_dropped += int((~usable).sum())
            for column, values in zip(columns, (image, peak_time, events), strict=True):
                column.append(values if usable.all() else values[usable])
        for column in columns:
            column.finish()
    return columns[0].n, n_dropped


class ImageArrays:
    """An array folder, opened read-only.

    Parameters
    ----------
    folder : path-like

    Attributes
    ----------
    image, peak_time : memmap, shape (n_images, n_pixels), float16, p.e. and ns
    events : ndarray, shape (n_images,), `EVENT_DTYPE`
    pix_x, pix_y : ndarray, shape (n_pixels,), float64, m
    meta : dict

    Raises
    ------
    TrainingError
        If a file is missing, damaged or does not fit the others.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        try:
            self.meta = json.loads((self.folder / "meta.json").read_text(encoding="utf-8"))
            arrays = {
                name: np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in (*COLUMNS, "pixels")
            }
        except FileNotFoundError as error:
            raise self._broken(f"{Path(error.filename).name} is missing") from None
        except (OSError, ValueError, EOFError) as error:
            raise self._broken(" ".join(str(error).split())[:150]) from None
        self.image, self.peak_time = arrays["image"], arrays["peak_time"]
        self.events, pixels = np.array(arrays["events"]), np.array(arrays["pixels"])
        self._check(pixels)
        self.pix_x, self.pix_y = pixels.T

    def _broken(self, what):
        """The error of a folder that cannot be used."""
        return TrainingError(f"{self.folder}: no complete array folder ({what}); convert again")

    def _check(self, pixels):
        """Shapes, types and keys."""
        if not isinstance(self.meta, dict) or set(META_KEYS) - set(self.meta):
            raise self._broken("meta.json lacks entries")
        if self.meta["version"] != VERSION:
            raise self._broken(f"version {self.meta['version']!r} instead of {VERSION}")
        shape = (len(self.events), len(pixels))
        found = {name: getattr(self, name) for name in ("image", "peak_time")}
        for name, array in found.items():
            if array.shape != shape or array.dtype != np.float16:
                raise self._broken(f"{name}.npy is {array.dtype} {array.shape}, not {shape}")
        if self.events.dtype != EVENT_DTYPE or self.events.ndim != 1 or not len(self.events):
            raise self._broken("events.npy has other fields, or no rows")
        if pixels.shape != (shape[1], 2) or pixels.dtype != np.float64:
            raise self._broken(f"pixels.npy is {pixels.dtype} {pixels.shape}")

    def __len__(self):
        """Number of images."""
        return len(self.events)

    @property
    def showers(self):
        """Fingerprints of the showers, rising; None if the folder was made without them."""
        path = self.folder / SHOWERS
        try:
            return np.load(path, allow_pickle=False) if path.exists() else None
        except (OSError, ValueError, EOFError):
            raise self._broken(f"{SHOWERS} is damaged") from None


def join(arrays):
    """Several array folders as one set of images, without copying them.

    Parameters
    ----------
    arrays : sequence of ImageArrays

    Returns
    -------
    ImageSet

    Raises
    ------
    TrainingError
        If there is none, or two cameras differ.
    """
    return ImageSet(arrays)


class ImageSet:
    """Images of one camera from several folders, numbered through.

    Attributes
    ----------
    events : ndarray, shape (n_images,), `EVENT_DTYPE`
    lattice : CameraLattice
        Pixels of the camera, in the order of the images.
    camera : str
    focal_length_m : float
    sources : list of dict
        Where the images come from.
    cleaning : dict or None
        Thresholds of ``intensity``, ``n_pixels`` and ``leakage``, as in
        `selection.Cleaning`; None if unknown, or not the same for all.
    """

    def __init__(self, arrays):
        self.arrays = tuple(arrays)
        if not self.arrays:
            raise TrainingError("no array folder given; convert DL1 files first")
        first = self.arrays[0]
        for other in self.arrays[1:]:
            _check_same_camera(first, other)
        self.camera, self.shape = first.meta["camera"], first.meta["shape"]
        self.focal_length_m = float(first.meta["focal_length_m"])
        self.pix_x, self.pix_y = first.pix_x, first.pix_y
        self.events = np.concatenate([part.events for part in self.arrays])
        self.sources = [source for part in self.arrays for source in part.meta["sources"]]
        self._starts = np.cumsum([0, *map(len, self.arrays)])
        cleanings = [part.meta.get("cleaning") for part in self.arrays]
        self.cleaning = cleanings[0] if cleanings.count(cleanings[0]) == len(cleanings) else None
        hashes = [source.get("sha256") for source in self.sources]
        if len(set(hashes)) < len(hashes):
            log.warning("the same file was given twice; its images count twice")

    @cached_property
    def lattice(self):
        """The camera's lattice."""
        return CameraLattice.from_positions(self.pix_x, self.pix_y, self.shape)

    @cached_property
    def showers(self):
        """Fingerprints of all showers, rising; None if one of the folders does not know its own."""
        parts = [part.showers for part in self.arrays]
        return None if any(p is None for p in parts) else np.unique(np.concatenate(parts))

    def __len__(self):
        """Number of images."""
        return len(self.events)

    def rows(self, index):
        """Read images.

        Parameters
        ----------
        index : ndarray, shape (n,), int
            In any order.

        Returns
        -------
        image, peak_time : ndarray, shape (n, n_pixels), float32, p.e. and ns
        """
        index = np.asarray(index)
        if len(index) and (index.min() < 0 or index.max() >= len(self)):
            raise IndexError(f"image numbers must be within 0 and {len(self) - 1}")
        image, peak_time = np.empty((2, len(index), len(self.pix_x)), np.float32)
        part = np.searchsorted(self._starts, index, side="right") - 1
        for number in np.unique(part):
            here = np.flatnonzero(part == number)
            here = here[np.argsort(index[here], kind="stable")]  # in the order of the file
            local = index[here] - self._starts[number]
            image[here] = self.arrays[number].image[local]
            peak_time[here] = self.arrays[number].peak_time[local]
        return image, peak_time


def _check_same_camera(first, other):
    """Raise unless two folders have the same pixels and focal length."""
    same = first.pix_x.shape == other.pix_x.shape and first.meta["shape"] == other.meta["shape"]
    same = same and np.allclose(first.pix_x, other.pix_x, rtol=0, atol=1e-4)
    same = same and np.allclose(first.pix_y, other.pix_y, rtol=0, atol=1e-4)
    focal = [arrays.meta["focal_length_m"] for arrays in (first, other)]
    if not same or abs(focal[0] / focal[1] - 1) > 1e-4:
        text = [
            f"{a.folder} ({a.meta['camera']}, {len(a.pix_x)} pixels, f = {f:.3f} m)"
            for a, f in zip((first, other), focal, strict=True)
        ]
        raise TrainingError(
            f"{text[1]}: not the camera of {text[0]}; train a model for each camera"
        )
