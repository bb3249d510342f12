"""One array in one direction, ready to be shone at: the physics kernels with our telescopes."""

import numpy as np

from .atmosphere import LA_PALMA
from .camera import pixel_lookup
from .optics import detection_efficiency, optics_row
from .sampling import telescope_axes
from .shower import Scene, simulate_shower

__all__ = ["ShowerModel"]


class ShowerModel:
    """Simulates showers of one run's primary above an array.

    Parameters
    ----------
    run : RunConfig
    array : ArrayModel
    site : atmosphere.Site
    """

    def __init__(self, run, array, site=LA_PALMA):
        self.primary_id = run.primary_id
        self.start_altitude = run.start_altitude
        kinds = {}
        for optics, camera in zip(array.optics, array.cameras, strict=True):
            kinds.setdefault((id(optics), id(camera)), (optics, camera))
        number = {key: i for i, key in enumerate(kinds)}
        pairs = zip(array.optics, array.cameras, strict=True)
        self.kind_of_tel = np.array([number[id(o), id(c)] for o, c in pairs], dtype=np.int64)
        rows, tables = [], []
        for optics, camera in kinds.values():
            table, cell, half_width = pixel_lookup(camera)
            reach = np.hypot(*camera.plane.T).max() + camera.pitch
            rows.append(optics_row(optics, cell, half_width, reach, run.data_like.psf_scale))
            tables.append(table)
        wavelength, efficiency = detection_efficiency()
        self.scene = Scene(
            site,
            telescope_axes(np.deg2rad(run.pointing_alt), np.deg2rad(run.pointing_az)),
            np.array(rows),
            tables,
            [(wavelength, efficiency * run.data_like.throughput)] * len(rows),
        )

    def __call__(self, energy, source, telescopes, tel, seed):
        """Simulate one shower.

        Parameters
        ----------
        energy : float
            TeV, of the whole nucleus.
        source : ndarray, shape (3,)
            Unit vector towards the direction of origin.
        telescopes : ndarray, shape (n, 3), m
            Relative to the core at the observation level.
        tel : ndarray, shape (n,), int
            Which telescope of the array stands there.
        seed : int

        Returns
        -------
        shower.ShowerResult
            Its hits are valid until the next call.
        """
        return simulate_shower(
            self.scene,
            self.primary_id,
            1e3 * energy,
            -source,
            telescopes,
            self.kind_of_tel[tel],
            int(seed),
            start_altitude=self.start_altitude,
        )
