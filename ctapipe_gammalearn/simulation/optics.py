"""Reflectors and photon detection: from a Cherenkov photon to a photo-electron.

The numbers of the two telescope types are facts of the public prod-5 configuration (LST,
MST); the efficiency curves are smooth approximations.
"""

from dataclasses import dataclass

import numpy as np

from . import light

__all__ = ["LST", "MST", "NORMALISATION", "OpticsModel", "detection_efficiency", "optics_row"]

#: Overall factor of the efficiency curves.  Light of public LST images asks for 0.81 ± 0.10
#: (prod-5, one shower) and 0.64 ± 0.06 (prod-6, divided by 0.80 for its degraded mirrors): together
#: 0.69 ± 0.05, so it is good to about 8 % for these telescopes.  Those of prod-3 muons ask for
#: 0.92 ± 0.04: other mirrors, photo-sensors and window.  See ``reference.THROUGHPUT``.
NORMALISATION = 0.72

# wavelength nm: mirror reflectivity, quantum efficiency, transmission of the window
CURVES = np.array([
    [280, 0.60, 0.22, 0.02], [290, 0.74, 0.29, 0.25], [300, 0.82, 0.34, 0.62],
    [310, 0.86, 0.37, 0.80], [320, 0.885, 0.39, 0.87], [340, 0.91, 0.415, 0.905],
    [360, 0.925, 0.425, 0.915], [380, 0.93, 0.425, 0.92], [400, 0.93, 0.42, 0.92],
    [420, 0.93, 0.405, 0.92], [450, 0.925, 0.375, 0.92], [480, 0.92, 0.335, 0.92],
    [500, 0.915, 0.30, 0.92], [520, 0.91, 0.25, 0.92], [540, 0.905, 0.19, 0.92],
    [560, 0.90, 0.155, 0.92], [600, 0.89, 0.10, 0.92], [640, 0.88, 0.055, 0.92],
    [680, 0.87, 0.02, 0.92], [720, 0.86, 0.004, 0.92],
])  # fmt: skip


@dataclass(frozen=True)
class OpticsModel:
    """A reflector of hexagonal facets with a square camera in front of it.

    Attributes
    ----------
    name : str
    parabolic : bool
        Paraboloid, else Davies-Cotton: facets on a sphere of radius ``focal_length``, normals
        towards a point on the axis at twice that distance.
    focal_length, effective_focal_length : float
        m; the effective one is that of the light's centroid.
    dish_radius : float
        Circle around all facets, m.
    n_rings : int
        Rings of facets around the missing central one, without the six corners of the last
        and their neighbours.
    facet_pitch : float
        m.
    mirror_area : float
        m², projected.
    n_facets : int
    camera_half_width : float
        Half of the side of the camera body that shadows the dish, m.
    transmission : float
        Of the telescope structure.
    focus_offset : float
        Distance of the pixels behind the focal plane, m.
    sigma_deg, tail_fraction, tail_sigma_deg : float
        Random angle of the reflected rays per axis: core, and a wider part of them.
    """

    name: str
    parabolic: bool
    focal_length: float
    effective_focal_length: float
    dish_radius: float
    n_rings: int
    facet_pitch: float
    mirror_area: float
    n_facets: int
    camera_half_width: float
    transmission: float
    focus_offset: float
    sigma_deg: float
    tail_fraction: float
    tail_sigma_deg: float


#: Large-sized telescope: facet error 0.0075° with tail, twice the alignment error 0.0039°.
LST = OpticsModel(
    name="LST",
    parabolic=True,
    focal_length=28.0,
    effective_focal_length=29.26,
    dish_radius=12.4,
    n_rings=8,
    facet_pitch=1.53,
    mirror_area=386.73,
    n_facets=198,
    camera_half_width=1.74,
    transmission=0.969,
    focus_offset=0.0655,
    sigma_deg=0.0108,
    tail_fraction=0.125,
    tail_sigma_deg=0.0378,
)

#: Medium-sized telescope, focus at 10 km.  Its 86 facets of 1.2 m are replaced by 72 larger
#: ones in the pattern of the LST that cover the same area.
MST = OpticsModel(
    name="MST",
    parabolic=False,
    focal_length=16.0,
    effective_focal_length=16.445,
    dish_radius=6.5,
    n_rings=5,
    facet_pitch=1.307,
    mirror_area=106.24,
    n_facets=72,
    camera_half_width=1.459,
    transmission=0.9087,
    focus_offset=0.0255,
    sigma_deg=0.0076,
    tail_fraction=0.0,
    tail_sigma_deg=0.0,
)


def detection_efficiency(n=111):
    """Wavelength (nm) and photon-to-photo-electron efficiency, each shape (n,)."""
    wavelength = np.linspace(280, 720, n)
    efficiency = np.full(n, NORMALISATION)
    for column in (1, 2, 3):
        efficiency *= np.interp(wavelength, CURVES[:, 0], CURVES[:, column])
    return wavelength, efficiency


def optics_row(optics, cell, half_width, reach, psf_scale=1.0):
    """Numbers of a telescope for the ray-tracing kernel.

    Parameters
    ----------
    optics : OpticsModel
    cell, half_width : float
        Of the pixel lookup table, m.
    reach : float
        Distance of the outermost pixel border from the axis, m.
    psf_scale : float
        Factor on the random angles.

    Returns
    -------
    ndarray, shape (light.OPTICS_SIZE,)
    """
    row = np.zeros(light.OPTICS_SIZE)
    row[light.KIND] = light.PARABOLOID if optics.parabolic else light.DAVIES_COTTON
    row[light.RADIUS] = optics.dish_radius
    row[light.FOCAL] = optics.focal_length
    # the spot of a star is nowhere wider than 0.2 deg
    row[light.COS_FOV] = np.cos(reach / optics.focal_length + np.deg2rad(0.2))
    row[light.BODY] = optics.camera_half_width
    row[light.FOCUS] = optics.focus_offset
    row[light.SIGMA] = np.deg2rad(optics.sigma_deg) * psf_scale
    row[light.TAIL_FRACTION] = optics.tail_fraction
    row[light.TAIL_SIGMA] = np.deg2rad(optics.tail_sigma_deg) * psf_scale
    row[light.PITCH] = optics.facet_pitch
    hexagon = optics.facet_pitch**2 * np.sqrt(3) / 2
    row[light.FILL] = min(1.0, optics.mirror_area / (optics.n_facets * hexagon))
    row[light.N_RINGS] = optics.n_rings
    row[light.CELL], row[light.HALF] = cell, half_width
    row[light.TRANSMISSION] = optics.transmission
    return row
