"""Arrays of the shower simulation as ctapipe's subarrays, and the other way round."""

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from ctapipe.coordinates import CameraFrame
from ctapipe.instrument import (
    CameraDescription,
    CameraGeometry,
    CameraReadout,
    OpticsDescription,
    PixelShape,
    ReflectorShape,
    SizeType,
    SubarrayDescription,
    TelescopeDescription,
)
from ctapipe.io import EventSource

from ..exceptions import SimulationError
from ..simulation.array import ARRAYS, ArrayModel, built_in_array
from ..simulation.atmosphere import LA_PALMA
from ..simulation.camera import CameraModel
from ..simulation.optics import LST, MST

__all__ = ["array_of_subarray", "load_array", "subarray_of_array"]

LA_PALMA_LONGITUDE, LA_PALMA_LATITUDE = -17.89, 28.76  # deg
# LST-1 of prod-5: night-sky background, p.e. per ns and pixel, and trigger threshold, p.e.
LST_NSB, LST_THRESHOLD = 0.238, 41.5
LST_PIXEL_AREA = 2.0793e-3  # m²


def load_array(name, folder="."):
    """Built-in array, or the subarray of a file.

    Parameters
    ----------
    name : str
        One of `ARRAYS`, or a simtel or HDF5 file, relative to ``folder``.
    folder : path-like

    Returns
    -------
    ArrayModel, SubarrayDescription

    Raises
    ------
    SimulationError
        If the file cannot be read or holds telescopes that cannot be simulated.
    """
    if name in ARRAYS:
        array = built_in_array(name)
        return array, subarray_of_array(array)
    path = Path(folder) / name
    if not path.is_file():
        raise SimulationError(f"array {name!r}: no such file, and none of {', '.join(ARRAYS)}")
    try:
        subarray = _read_subarray(path)
    except Exception as error:  # readers of foreign formats raise anything
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise SimulationError(f"array {name!r}: no subarray found in it ({reason})") from None
    return array_of_subarray(subarray), subarray


def _read_subarray(path):
    """Subarray of a file, with effective focal lengths where it has them."""
    for choice in ("EFFECTIVE", "EQUIVALENT"):
        try:
            if path.suffix in (".h5", ".hdf5"):
                return SubarrayDescription.from_hdf(path, focal_length_choice=choice)
            with EventSource(path, focal_length_choice=choice, max_events=1) as source:
                return source.subarray
        except RuntimeError:
            if choice == "EQUIVALENT":
                raise
    raise AssertionError


def subarray_of_array(array):
    """Subarray of a built-in array.

    Parameters
    ----------
    array : ArrayModel

    Returns
    -------
    SubarrayDescription
    """
    known = {}
    telescopes, positions = {}, {}
    for tel_id, xyz, optics, camera in zip(
        array.tel_ids, array.positions, array.optics, array.cameras, strict=True
    ):
        telescopes[tel_id] = known.setdefault(optics.name, _telescope(optics, camera))
        positions[tel_id] = xyz * u.m
    level = LA_PALMA.observation_level * u.m
    return SubarrayDescription(
        name=f"open-{array.name}",
        tel_positions=positions,
        tel_descriptions=telescopes,
        reference_location=EarthLocation.from_geodetic(
            LA_PALMA_LONGITUDE * u.deg, LA_PALMA_LATITUDE * u.deg, level
        ),
    )


def _telescope(optics, camera):
    """Telescope of a model reflector and camera."""
    focal_length = optics.effective_focal_length * u.m
    n = camera.n_pixels
    geometry = CameraGeometry(
        name=camera.name,
        pix_id=np.arange(n),
        pix_x=u.Quantity(camera.pix_x, u.m),
        pix_y=u.Quantity(camera.pix_y, u.m),
        pix_area=u.Quantity(np.full(n, camera.pix_area), u.m**2),
        pix_type=PixelShape.HEXAGON,
        pix_rotation=camera.pix_rotation_deg * u.deg,
        cam_rotation=camera.cam_rotation_deg * u.deg,
        frame=CameraFrame(
            focal_length=focal_length, rotation=camera.cam_rotation_deg * u.deg
        ),
    )  # fmt: skip
    readout = CameraReadout(
        name=camera.name,
        sampling_rate=camera.sampling_ghz * u.GHz,
        reference_pulse_shape=camera.pulse[None, :],
        reference_pulse_sample_width=camera.pulse_step_ns * u.ns,
        n_channels=1,
        n_pixels=n,
        n_samples=camera.n_samples,
    )
    reflector = OpticsDescription(
        name=optics.name,
        size_type=SizeType(optics.name),
        reflector_shape=(
            ReflectorShape.PARABOLIC if optics.parabolic else ReflectorShape.DAVIES_COTTON
        ),
        n_mirrors=1,
        equivalent_focal_length=optics.focal_length * u.m,
        effective_focal_length=focal_length,
        mirror_area=optics.mirror_area * u.m**2,
        n_mirror_tiles=optics.n_facets,
    )
    camera = CameraDescription(name=camera.name, geometry=geometry, readout=readout)
    return TelescopeDescription(name=optics.name, optics=reflector, camera=camera)


def array_of_subarray(subarray):
    """Model of a given subarray: its positions and cameras, with our nearest reflectors.

    Parameters
    ----------
    subarray : SubarrayDescription
        Telescopes with one reflector like an LST or MST, and hexagonal pixels.

    Returns
    -------
    ArrayModel

    Raises
    ------
    SimulationError
        Names the first telescope that cannot be simulated.
    """
    optics, cameras, known = [], [], {}
    for tel_id, telescope in subarray.tel.items():
        model = _optics_model(tel_id, telescope.optics)
        key = (telescope.camera.geometry, telescope.camera.readout, model.name)
        if key not in known:
            known[key] = _camera_model(tel_id, telescope, model)
        optics.append(model)
        cameras.append(known[key])
    positions = np.array([p.to_value(u.m) for p in subarray.positions.values()])
    return ArrayModel(
        subarray.name, tuple(subarray.tel), positions, tuple(optics), tuple(cameras)
    )  # fmt: skip


def _optics_model(tel_id, optics):
    """LST or MST, whichever the focal length fits."""
    focal_length = optics.equivalent_focal_length.to_value(u.m)
    for model in (LST, MST):
        if optics.n_mirrors != 2 and abs(focal_length / model.focal_length - 1) < 0.02:
            return model
    raise SimulationError(
        f"telescope {tel_id}: {optics.name} with {optics.n_mirrors} mirror(s) and focal length"
        f" {focal_length:.2f} m cannot be simulated; LSTs (28 m) and MSTs (16 m) can"
    )


def _camera_model(tel_id, telescope, optics):
    """Camera with the pixels and pulses of a description."""
    geometry, readout = telescope.camera.geometry, telescope.camera.readout
    if geometry.pix_type != PixelShape.HEXAGON:
        raise SimulationError(f"telescope {tel_id}: camera {geometry.name} has no hexagonal pixels")
    pixel_area = float(np.median(geometry.pix_area.to_value(u.m**2)))
    # NSB of a pixel: mirror area times solid angle
    etendue = optics.mirror_area * pixel_area / optics.effective_focal_length**2
    lst = LST.mirror_area * LST_PIXEL_AREA / LST.effective_focal_length**2
    pulse = np.asarray(readout.reference_pulse_shape[0], float)
    return CameraModel(
        name=geometry.name,
        pix_x=geometry.pix_x.to_value(u.m),
        pix_y=geometry.pix_y.to_value(u.m),
        pix_area=pixel_area,
        pix_rotation_deg=geometry.pix_rotation.to_value(u.deg),
        cam_rotation_deg=geometry.cam_rotation.to_value(u.deg),
        pulse=pulse / pulse.max(),
        pulse_step_ns=readout.reference_pulse_sample_width.to_value(u.ns),
        sampling_ghz=readout.sampling_rate.to_value(u.GHz),
        n_samples=int(readout.n_samples),
        nsb=LST_NSB * etendue / lst,
        threshold=LST_THRESHOLD if optics is LST else None,
        trigger_sample=round(0.28 * int(readout.n_samples)),
    )
