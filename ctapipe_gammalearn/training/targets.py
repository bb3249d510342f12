"""True direction and impact of showers in the frames in which networks are trained.

All three turn by the same angle when a shower is turned about the pointing: the image, the
direction in the camera plane, and the impact in the tilted plane.
"""

import numpy as np

__all__ = ["IMPACT_UNIT_M", "camera_direction", "tilted_impact"]

IMPACT_UNIT_M = 100.0


def camera_direction(alt, az, pointing_alt, pointing_az):
    """Position of a source in the camera plane, for a gnomonic image.

    Parameters
    ----------
    alt, az : ndarray, shape (n,), rad
        Direction of origin.
    pointing_alt, pointing_az : ndarray, shape (n,), rad

    Returns
    -------
    ndarray, shape (n, 2), float64, deg
        ``rad2deg(x / f)`` and ``rad2deg(y / f)`` of the CameraFrame, x towards growing
        altitude, y towards growing azimuth.  NaN 90 degrees and more off the axis.
    """
    difference = np.asarray(az) - pointing_az
    sin, cos = np.sin(alt), np.cos(alt)
    sin0, cos0 = np.sin(pointing_alt), np.cos(pointing_alt)
    # unit vector of the source along the axes of the telescope
    axis = sin * sin0 + cos * cos0 * np.cos(difference)
    up = sin * cos0 - cos * sin0 * np.cos(difference)
    side = cos * np.sin(difference)
    axis = np.where(axis > 0, axis, np.nan)
    return np.rad2deg(np.stack([up / axis, side / axis], axis=-1))


def tilted_impact(core_x, core_y, position, pointing_alt, pointing_az):
    """Core of a shower relative to a telescope, in ctapipe's TiltedGroundFrame.

    Parameters
    ----------
    core_x, core_y : ndarray, shape (n,), m
        Where the shower axis hits the plane z = 0 of the GroundFrame (x north, y west).
    position : ndarray, shape (3,) or (n, 3), m
        Of the telescope in the GroundFrame.
    pointing_alt, pointing_az : ndarray, shape (n,), rad

    Returns
    -------
    ndarray, shape (n, 2), float64, 100 m
    """
    position = np.asarray(position, dtype=float)
    x, y, z = core_x - position[..., 0], core_y - position[..., 1], -position[..., 2]
    sin0, cos0 = np.sin(pointing_alt), np.cos(pointing_alt)
    sin_az, cos_az = np.sin(pointing_az), np.cos(pointing_az)
    tilted_x = x * sin0 * cos_az - y * sin0 * sin_az - z * cos0
    tilted_y = x * sin_az + y * cos_az
    return np.stack([tilted_x, tilted_y], axis=-1) / IMPACT_UNIT_M
