"""From the direction output of a network to the sky, in every convention of the model card."""

import astropy.units as u
import numpy as np
from ctapipe.reco.preprocessing import telescope_to_horizontal

__all__ = ["tilted_to_ground", "to_horizontal"]


def to_horizontal(direction, task, pointing_alt, pointing_az):
    """Sky directions of raw network outputs.

    Parameters
    ----------
    direction : ndarray, shape (n_images, 2)
        Network output, in the frame, unit and order of axes that ``task`` states.
    task : dict
        Direction task of a model card. Its ``frame`` is one of

        ``"telescope"``
            Offsets ``fov_lon``, ``fov_lat`` in ctapipe's ``TelescopeFrame``.
        ``"camera"``
            Position ``x``, ``y`` of the source in ctapipe's ``CameraFrame`` (x towards
            growing altitude, y towards growing azimuth), for ``focal_length_m``.
        ``"altaz-offset"``
            Plain differences ``alt``, ``az`` to the pointing.
    pointing_alt, pointing_az : ndarray, shape (n_images,), rad
        Pointing of the telescope of each image.

    Returns
    -------
    alt, az : ndarray, shape (n_images,), float64, deg
        Azimuth in [0, 360). NaN where a value is not finite, or where the output lies 90
        degrees or more from the pointing and can be no position in an image.
    """
    convert = {"telescope": _from_telescope, "camera": _from_camera, "altaz-offset": _from_offset}
    columns = dict(zip(task["axes"], np.asarray(direction, dtype=np.float64).T, strict=True))
    return convert[task["frame"]](columns, task, np.asarray(pointing_alt), np.asarray(pointing_az))


def _from_telescope(columns, task, pointing_alt, pointing_az):
    """Angles in the telescope frame."""
    scale = u.Unit(task["unit"]).to(u.rad)
    lon, lat = columns["fov_lon"] * scale, columns["fov_lat"] * scale
    return _from_angles(lon, lat, pointing_alt, pointing_az)


def _from_camera(columns, task, pointing_alt, pointing_az):
    """Metres in the camera frame, which is linear: x/f is the angle, not its tangent."""
    lon, lat = (columns[axis] / task["focal_length_m"] for axis in ("y", "x"))
    return _from_angles(lon, lat, pointing_alt, pointing_az)


def _from_angles(lon, lat, pointing_alt, pointing_az):
    """Offsets (rad) in the telescope frame to alt, az (deg)."""
    seen = np.hypot(lon, lat) < np.pi / 2
    # files keep the pointing in float32, where 90 degrees is a little more than 90 degrees
    pointing_alt = np.clip(pointing_alt, -np.pi / 2, np.pi / 2)
    # 90 degrees in single precision are more than 90 degrees
    pointing_alt = np.clip(pointing_alt, -np.pi / 2, np.pi / 2)
    alt, az = telescope_to_horizontal(
        lon=np.where(seen, lon, np.nan) * u.rad,
        lat=np.where(seen, lat, np.nan) * u.rad,
        pointing_alt=pointing_alt * u.rad,
        pointing_az=pointing_az * u.rad,
    )
    return alt.to_value(u.deg), az.to_value(u.deg)


def _from_offset(columns, task, pointing_alt, pointing_az):
    """Differences of coordinates; past the zenith the direction is on the other side."""
    scale = u.Unit(task["unit"]).to(u.deg)
    d_alt, d_az = columns["alt"] * scale, columns["az"] * scale
    d_alt = np.where(np.abs(d_alt) < 90, d_alt, np.nan)
    d_az = np.where(np.isfinite(d_az), d_az, np.nan)
    alt, az = np.rad2deg(pointing_alt) + d_alt, np.rad2deg(pointing_az) + d_az
    beyond = np.abs(alt) > 90
    az = np.where(beyond, az + 180, az) % 360
    az = np.where(az == 360, 0.0, az)  # remainder of a tiny negative number
    alt = np.where(beyond, np.copysign(180, alt) - alt, alt)
    bad = ~(np.isfinite(alt) & np.isfinite(az))
    return np.where(bad, np.nan, alt), np.where(bad, np.nan, az)


def tilted_to_ground(impact, pointing_alt, pointing_az):
    """Project impact points from the tilted plane to the horizontal one, along the pointing.

    Parameters
    ----------
    impact : ndarray, shape (n_images, 2), m
        Core minus telescope in ctapipe's ``TiltedGroundFrame``.
    pointing_alt, pointing_az : ndarray, shape (n_images,), rad

    Returns
    -------
    ndarray, shape (n_images, 2), m
        Core minus telescope in the ``GroundFrame``, at the height of the telescope.
    """
    x, y = np.asarray(impact, dtype=np.float64).T
    sin_alt, cos_alt = np.sin(pointing_alt), np.cos(pointing_alt)
    # in the vertical plane of the axis the shadow of x is longer by 1 / sin(alt)
    along = np.where(sin_alt > 0, x * (sin_alt + cos_alt**2 / np.maximum(sin_alt, 1e-9)), np.nan)
    cos_az, sin_az = np.cos(pointing_az), np.sin(pointing_az)
    return np.stack([along * cos_az + y * sin_az, y * cos_az - along * sin_az], axis=1)
