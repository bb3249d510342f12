"""Scenes of built-in telescopes for the tests of the physics."""

import functools

import numpy as np

from ctapipe_gammalearn.simulation.array import built_in_array
from ctapipe_gammalearn.simulation.atmosphere import LA_PALMA
from ctapipe_gammalearn.simulation.camera import pixel_lookup
from ctapipe_gammalearn.simulation.optics import detection_efficiency, optics_row
from ctapipe_gammalearn.simulation.sampling import telescope_axes
from ctapipe_gammalearn.simulation.shower import Scene


@functools.cache
def telescope_scene(alt_deg=90.0, az_deg=0.0, site=LA_PALMA):
    """Scene with an LST (type 0) and an MST (type 1)."""
    array = built_in_array("4LST+MST")
    rows, tables = [], []
    for i in (0, -1):
        camera = array.cameras[i]
        table, cell, half = pixel_lookup(camera)
        reach = np.hypot(*camera.plane.T).max() + camera.pitch
        rows.append(optics_row(array.optics[i], cell, half, reach))
        tables.append(table)
    axes = telescope_axes(np.deg2rad(alt_deg), np.deg2rad(az_deg))
    return Scene(site, axes, np.array(rows), tables, [detection_efficiency()] * 2, max_hits=500_000)


def lst_plane():
    """Focal-plane positions of the LST's pixels, (n_pixels, 2), m."""
    return built_in_array("1LST").cameras[0].plane
