"""Telescope arrays: positions, reflectors and cameras of the built-in layouts.

Positions are x north, y west, z up, in metres, z above the observation level.
"""

from dataclasses import dataclass, field

import numpy as np

from .camera import CameraModel, lstcam, nectarcam
from .optics import LST, MST, OpticsModel

__all__ = ["ARRAYS", "ArrayModel", "built_in_array"]

# La Palma: LST-1 to LST-4 (prod-5), nine MSTs of the alpha layout (prod-6)
LST_POSITIONS = np.array(
    [[-70.93, -52.07, 43.0], [-35.27, 66.14, 32.0], [75.28, 50.49, 28.7], [30.91, -64.54, 32.0]]
)
MST_POSITIONS = np.array([
    [-211.62, 5.43, 48.5], [-153.29, 168.86, 28.7], [26.86, 208.54, 11.4], [175.66, 72.85, 9.5],
    [131.67, -194.83, 31.0], [-83.94, -194.98, 45.0], [-215.81, -167.68, 65.0],
    [20.2, -352.85, 62.0], [4.64, -0.71, 29.5],
])  # fmt: skip

#: Names of the built-in layouts.
ARRAYS = ("1LST", "4LST", "4LST+MST")


@dataclass(frozen=True, eq=False)
class ArrayModel:
    """An array of telescopes.

    Attributes
    ----------
    name : str
    tel_ids : tuple of int
    positions : ndarray, shape (n_tel, 3), m
    optics : tuple of OpticsModel, one per telescope
    cameras : tuple of CameraModel, one per telescope
        Telescopes with the same camera share the object.
    """

    name: str
    tel_ids: tuple
    positions: np.ndarray = field(repr=False)
    optics: tuple = field(repr=False)
    cameras: tuple = field(repr=False)

    @property
    def n_tel(self):
        """Number of telescopes."""
        return len(self.tel_ids)


def built_in_array(name):
    """One of `ARRAYS`; the single LST stands at the origin.

    Returns
    -------
    ArrayModel
    """
    lst_camera = lstcam()
    if name == "1LST":
        return ArrayModel(name, (1,), np.zeros((1, 3)), (LST,), (lst_camera,))
    n_mst = len(MST_POSITIONS) if name == "4LST+MST" else 0
    mst_camera = nectarcam() if n_mst else None
    positions = np.concatenate([LST_POSITIONS, MST_POSITIONS[:n_mst]])
    optics: tuple[OpticsModel, ...] = (LST,) * 4 + (MST,) * n_mst
    cameras: tuple[CameraModel, ...] = (lst_camera,) * 4 + (mst_camera,) * n_mst
    return ArrayModel(name, tuple(range(1, len(positions) + 1)), positions, optics, cameras)
