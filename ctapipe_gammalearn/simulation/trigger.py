"""Analog-sum trigger: the camera tiled by 7-pixel modules, summed over three of them."""

import numpy as np
from scipy.spatial import cKDTree

from ..exceptions import SimulationError

__all__ = ["module_groups", "tile_modules"]


def tile_modules(plane, pitch):
    """Divide a hexagonal lattice into 7-pixel modules (a pixel and its six neighbours).

    One of the 14 regular tilings is exact for cameras built of such modules (LSTCam,
    NectarCam).  For others the tiling with the most complete modules is taken and the pixels
    that are left over at the border join the nearest module.

    Parameters
    ----------
    plane : ndarray, shape (n_pixels, 2), m
    pitch : float
        m

    Returns
    -------
    ndarray, shape (n_pixels,), int32
        Module of each pixel, numbered from 0.

    Raises
    ------
    SimulationError
        If the pixels form no hexagonal lattice.
    """
    tree = cKDTree(plane)
    near = tree.query_ball_point(plane, 1.2 * pitch)
    complete = np.array([len(n) == 7 for n in near])
    if not complete.any():
        raise SimulationError("trigger: no pixel has six neighbours: not a hexagonal camera")
    axial = _axial(plane, near, complete)
    best = None
    for sign in (3, 5):
        colour = (axial[:, 0] + sign * axial[:, 1]) % 7
        for offset in range(7):
            centres = np.flatnonzero((colour == offset) & complete)
            if best is None or len(centres) > len(best):
                best = centres
    return cKDTree(plane[best]).query(plane)[1].astype(np.int32)


def _axial(plane, near, complete):
    """Integer coordinates along two lattice axes at 60°."""
    full = np.flatnonzero(complete)
    first = full[np.argmin(np.hypot(*(plane[full] - plane.mean(axis=0)).T))]
    around = np.array([i for i in near[first] if i != first])
    step = plane[around] - plane[first]
    step = step[np.argsort(np.arctan2(step[:, 1], step[:, 0]))]
    exact = (plane - plane[first]) @ np.linalg.inv(step[:2])
    axial = np.rint(exact).astype(int)
    if np.abs(exact - axial).max() > 0.3:
        raise SimulationError("trigger: pixel positions form no hexagonal lattice")
    return axial


def module_groups(plane, module):
    """All triples of mutually adjacent modules.

    Returns
    -------
    ndarray, shape (n_groups, 3), int32
        A single module stands three times if it has no neighbours.
    """
    n = module.max() + 1
    size = np.bincount(module, minlength=n)
    centre = np.column_stack([np.bincount(module, plane[:, i], n) / size for i in (0, 1)])
    if n < 3:
        return np.zeros((1, 3), np.int32)
    tree = cKDTree(centre)
    reach = 1.25 * np.median(tree.query(centre, 2)[0][:, 1])
    near = [set(row) for row in tree.query_ball_point(centre, reach)]
    groups = [
        (i, j, k)
        for i in range(n)
        for j in near[i] if j > i
        for k in near[i] & near[j] if k > j
    ]  # fmt: skip
    return np.array(sorted(groups), dtype=np.int32).reshape(-1, 3)
