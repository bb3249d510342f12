"""Cameras of hexagonal pixels: positions, pulses and noise, generated from a few facts.

Positions are in metres in ctapipe's ``CameraFrame`` (x grows with the altitude, y with the
azimuth of the source, once the camera is rotated by ``cam_rotation_deg``).
"""

from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files

import numpy as np
from scipy.spatial import cKDTree

from ..exceptions import SimulationError

__all__ = ["CameraModel", "lstcam", "lstcam_positions", "nectarcam", "pixel_lookup"]

PITCH = 0.05  # m, centre to centre
ROTATION_DEG = 40.893  # of the prod-4 to prod-6 LST cameras and of NectarCam
MODULE_RINGS = 9  # rings of 7-pixel modules; the six corner modules are missing


@dataclass(frozen=True, eq=False)
class CameraModel:
    """Everything the electronics need to know about a camera.

    Attributes
    ----------
    name : str
    pix_x, pix_y : ndarray, shape (n_pixels,), m
        Pixel centres in the CameraFrame.
    pix_area : float
        m², of one pixel.
    pix_rotation_deg, cam_rotation_deg : float
    sampling_ghz : float
        Samples per ns.
    n_samples : int
        Length of the readout window.
    pulse : ndarray
        Single photo-electron pulse with maximum 1, every ``pulse_step_ns``.
    pulse_step_ns : float
    nsb : float
        Night-sky background of a dark sky, photo-electrons per ns and pixel.
    noise : float
        Electronic noise per sample, p.e. of peak amplitude.
    threshold : float or None
        Of the analog-sum trigger, p.e. of peak amplitude; None: by the noise (see `Trigger`).
    trigger_sample : int
        The readout window starts this many samples before the trigger.
    jitter_ns : float
        Transit-time jitter, rms.
    saturation : float
        Largest amplitude of a sample, p.e.
    """

    name: str
    pix_x: np.ndarray = field(repr=False)
    pix_y: np.ndarray = field(repr=False)
    pix_area: float
    pix_rotation_deg: float
    pulse: np.ndarray = field(repr=False)
    pulse_step_ns: float
    cam_rotation_deg: float = 0.0
    sampling_ghz: float = 1.024
    n_samples: int = 40
    nsb: float = 0.238
    noise: float = 0.268
    threshold: float | None = None
    trigger_sample: int = 11
    jitter_ns: float = 0.70
    saturation: float = 3300.0

    @property
    def n_pixels(self):
        """Number of pixels."""
        return len(self.pix_x)

    @cached_property
    def plane(self):
        """Focal-plane positions towards increasing altitude and azimuth, (n_pixels, 2), m."""
        c, s = np.cos(np.deg2rad(self.cam_rotation_deg)), np.sin(np.deg2rad(self.cam_rotation_deg))
        x, y = np.asarray(self.pix_x, float), np.asarray(self.pix_y, float)
        return np.column_stack([x * c - y * s, x * s + y * c])

    @cached_property
    def pitch(self):
        """Distance of neighbouring pixels (m)."""
        return float(np.median(cKDTree(self.plane).query(self.plane, 2)[0][:, 1]))


def _direction(angle_deg):
    """Unit vector."""
    return np.array([np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))])


def lstcam_positions():
    """Pixel centres of the LST camera in the order of prod-4 and later, shape (1855, 2), m.

    265 modules of 7 pixels, in nine rings around the central one, without the six corners of
    the last ring.  Pixels are numbered along hexagonal rings from the centre, clockwise.
    """
    start = ROTATION_DEG - 180.0
    lattice = [np.zeros((1, 2))]
    for ring in range(1, 3 * MODULE_RINGS + 3):
        for side in range(6):
            corner = ring * _direction(start - 60 * side)
            step = _direction(start - 60 * side - 120)
            lattice.append(corner + np.arange(ring)[:, None] * step)
    lattice = np.concatenate(lattice)
    centres = _module_centres()
    distance, _ = cKDTree(centres).query(lattice)
    return PITCH * lattice[distance < 1.1]


def _module_centres():
    """Centres of the modules in units of the pixel pitch: a lattice of pitch sqrt(7)."""
    # the centre of the neighbouring flower is two steps along one axis, one along the next
    towards = ROTATION_DEG + np.rad2deg(np.arctan2(np.sqrt(3) / 2, 2.5))
    a, b = (np.sqrt(7) * _direction(towards + turn) for turn in (0, 60))
    i, j = np.mgrid[-MODULE_RINGS : MODULE_RINGS + 1, -MODULE_RINGS : MODULE_RINGS + 1]
    ring = np.max([np.abs(i), np.abs(j), np.abs(i + j)], axis=0)
    corner = (ring == MODULE_RINGS) & ((i == 0) | (j == 0) | (i + j == 0))
    inside = (ring <= MODULE_RINGS) & ~corner
    return i[inside][:, None] * a + j[inside][:, None] * b


def _pulse(name):
    """Reference pulse from the table that comes with the package, and its step (ns)."""
    with (files("ctapipe_gammalearn") / "resources/camera_pulses.npz").open("rb") as file:
        table = np.load(file)
        return table[name].astype(float), float(table["step_ns"])


def _hexagonal_camera(name, **facts):
    """A camera with the positions of the LST camera."""
    x, y = lstcam_positions().T
    pulse, step = _pulse(name)
    return CameraModel(
        name=name,
        pix_x=x,
        pix_y=y,
        pix_area=0.049**2 * np.sqrt(3) / 2,
        pix_rotation_deg=ROTATION_DEG,
        pulse=pulse,
        pulse_step_ns=step,
        **facts,
    )


def lstcam():
    """LST camera of prod-5: NSB, noise and threshold of LST-1 at 20° zenith distance."""
    return _hexagonal_camera("LSTCam", threshold=41.5)


def nectarcam():
    """NectarCam of prod-5: the positions are those of the LST camera, also in its order.

    Its digital 3-pixel majority trigger is replaced by an analog sum as far above the noise
    as that of the LST.
    """
    return _hexagonal_camera(
        "NectarCam",
        sampling_ghz=1.0,
        n_samples=60,
        nsb=0.208,
        noise=3.6 / 19.56,
        trigger_sample=18,
        saturation=2000.0,
    )


def pixel_lookup(camera, cell=0.003):
    """Square table of pixel numbers over the focal plane.

    Parameters
    ----------
    camera : CameraModel
    cell : float
        Side of a table cell (m).

    Returns
    -------
    table : ndarray, shape (n, n), int16
        Pixel at (towards altitude, towards azimuth), -1 outside the camera.
    cell, half_width : float
        m; the first cell starts at minus ``half_width``.

    Raises
    ------
    SimulationError
        If the camera has more pixels than the table's type can number.
    """
    if camera.n_pixels > np.iinfo(np.int16).max:
        raise SimulationError(f"camera {camera.name}: {camera.n_pixels} pixels are too many")
    cell = min(cell, camera.pitch / 12)
    reach = np.abs(camera.plane).max() + camera.pitch
    n = 2 * int(np.ceil(reach / cell))
    half_width = n * cell / 2
    centre = (np.arange(n) + 0.5) * cell - half_width
    a, b = np.meshgrid(centre, centre, indexing="ij")
    distance, pixel = cKDTree(camera.plane).query(np.column_stack([a.ravel(), b.ravel()]))
    # nearest centre is exact inside; the outer border is a circle of equal area
    pixel[distance > np.sqrt(np.sqrt(3) / 2 / np.pi) * 1.08 * camera.pitch] = -1
    return pixel.reshape(n, n).astype(np.int16), cell, half_width
