"""Cameras by name or from any file that describes one."""

from importlib.resources import as_file, files
from pathlib import Path

import astropy.units as u
from astropy.table import Table
from ctapipe.instrument import CameraGeometry, PixelShape, SubarrayDescription
from ctapipe.io import EventSource

from ..exceptions import GammaLearnError

__all__ = ["BUILT_IN", "lattice_shape", "load_camera", "pixel_positions"]

#: cameras that come with the package
BUILT_IN = ("LSTCam",)

_SHAPES = {PixelShape.HEXAGON: "hexagonal", PixelShape.SQUARE: "square"}


def load_camera(path_or_name, tel_id=None):
    """Camera geometry from a name or a file.

    Parameters
    ----------
    path_or_name : path-like
        Name in `BUILT_IN`; or a file with a subarray (simtel, DL1 to DL3 of ctapipe); or a
        table as written by ``CameraGeometry.to_table`` (FITS, ECSV).
    tel_id : int, optional
        Telescope; needed if the file has several types of camera.

    Returns
    -------
    CameraGeometry

    Raises
    ------
    GammaLearnError
        One line that names the file.
    """
    if str(path_or_name) in BUILT_IN:
        resource = files("ctapipe_gammalearn") / f"resources/{path_or_name}.camgeom.fits.gz"
        with as_file(resource) as path:
            return _from_table(path)
    path = Path(path_or_name)
    if not path.is_file():
        kind = "not a file" if path.exists() else "no such file"
        raise GammaLearnError(f"{path}: {kind}; built-in cameras: {', '.join(BUILT_IN)}")
    try:
        if path.name.endswith((".fits", ".fits.gz", ".fits.fz", ".ecsv")):
            return _from_table(path)
        return _from_subarray(_read_subarray(path), tel_id)
    except GammaLearnError as error:
        raise GammaLearnError(f"{path}: {error}") from None
    except Exception as error:  # readers of foreign formats raise anything
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise GammaLearnError(
            f"{path}: no camera found in it ({reason}); give a simtel or DL1 file, or a table"
            " written by CameraGeometry.to_table"
        ) from None


def _from_table(path):
    """Geometry from a table."""
    return CameraGeometry.from_table(Table.read(path))


def _read_subarray(path):
    """Subarray of a file of any type that ctapipe reads."""
    if path.suffix in (".h5", ".hdf5"):
        return SubarrayDescription.from_hdf(path, focal_length_choice="EQUIVALENT")
    with EventSource(path, focal_length_choice="EQUIVALENT", max_events=0) as source:
        return source.subarray


def _from_subarray(subarray, tel_id):
    """Geometry of one telescope."""
    if tel_id is None:
        cameras = {tel.camera.geometry: i for i, tel in sorted(subarray.tel.items(), reverse=True)}
        if len(cameras) > 1:
            known = ", ".join(f"{i} ({c.name})" for c, i in sorted(cameras.items(), key=_second))
            raise GammaLearnError(f"several cameras; choose one by --tel-id: {known}")
        return next(iter(cameras))
    if tel_id not in subarray.tel:
        known = ", ".join(map(str, sorted(subarray.tel)))
        raise GammaLearnError(f"no telescope {tel_id}; known: {known}")
    return subarray.tel[tel_id].camera.geometry


def _second(item):
    """Sort key."""
    return item[1]


def lattice_shape(geometry):
    """Lattice of a camera, "hexagonal" or "square".

    Raises
    ------
    GammaLearnError
        For pixels of another shape.
    """
    if geometry.pix_type not in _SHAPES:
        raise GammaLearnError(f"camera {geometry.name}: pixels of shape {geometry.pix_type.name}")
    return _SHAPES[geometry.pix_type]


def pixel_positions(geometry):
    """Pixel centres (x, y) in metres, shape (2, n_pixels), float64."""
    return [v.to_value(u.m).astype(float) for v in (geometry.pix_x, geometry.pix_y)]
