"""Response functions of an instrument as FITS, in the format that gammapy reads.

References
----------
Data formats for gamma-ray astronomy 0.2, https://doi.org/10.5281/zenodo.1409831.
"""

from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from pyirf import io as gadf
from pyirf import irf

from ..exceptions import IRFError
from ..files import whole_file
from .metrics import effective_area
from .samples import in_ring

__all__ = ["Grid", "Responses", "response_hdus", "write_fits"]

FULL_CIRCLE = 180.0  # deg


@dataclass(frozen=True, eq=False)
class Grid:
    """Bins of response functions.

    Attributes
    ----------
    true_edges, reco_edges : ndarray, TeV
    rings : ndarray, deg
        Offset of the true direction: of a point source only the ring that it is in, lest the
        response be taken for one of all the field of view.
    background_rings : ndarray, deg
        Offset of the reconstructed direction.
    migration : ndarray
        Of E / E_true.
    theta : ndarray, deg
        Of the point spread function, from 0.
    """

    true_edges: np.ndarray
    reco_edges: np.ndarray
    rings: np.ndarray
    background_rings: np.ndarray
    migration: np.ndarray
    theta: np.ndarray


@dataclass(frozen=True, eq=False)
class Responses:
    """Events behind the response functions of one reconstructor.

    Attributes
    ----------
    gamma : Sample
    name : str
        Of the reconstruction.
    above, inside : ndarray, shape (n,), bool
        Gammas that pass the cut in gammaness, and also that in theta.
    background : dict of str to ndarray, shape (m,)
        ``energy`` (TeV), ``offset`` (deg), ``weight`` of the background above the cut.
    cuts : Cuts
        Of which those in theta become RAD_MAX, in their own bins: 0 where nothing passes.
    obs_time_h : float, h
        For which the weights are.
    """

    gamma: object
    name: str
    above: np.ndarray
    inside: np.ndarray
    background: dict
    cuts: object
    obs_time_h: float


def response_hdus(responses, grid, point_like, header):
    """Tables of a file of response functions.

    Parameters
    ----------
    responses : Responses
    grid : Grid
    point_like : bool
        Effective area and energy dispersion after the cut in theta, which comes along as
        RAD_MAX; else before it, with the point spread function.
    header : dict of str to value
        Further header cards of each table, such as TELESCOP.

    Returns
    -------
    list of astropy.io.fits.BinTableHDU
        EFFECTIVE AREA, ENERGY DISPERSION, PSF, BACKGROUND, and RAD_MAX of a point-like one.
    """
    selected = responses.inside if point_like else responses.above
    true_edges, rings = grid.true_edges * u.TeV, grid.rings * u.deg
    energies, reco_rings = grid.reco_edges * u.TeV, grid.background_rings * u.deg
    events = _gammas(responses, selected)
    area = _areas(responses.gamma.take(selected), grid) * u.m**2
    dispersion = irf.energy_dispersion(events, true_edges, rings, grid.migration)
    hdus = [
        gadf.create_aeff2d_hdu(area, true_edges, rings, point_like=point_like, **header),
        gadf.create_energy_dispersion_hdu(
            dispersion, true_edges, grid.migration, rings, point_like=point_like,
            extname="ENERGY DISPERSION", **header,
        ),
        gadf.create_psf_table_hdu(
            _psf(responses, grid), true_edges, grid.theta * u.deg, rings, **header
        ),
        gadf.create_background_2d_hdu(
            irf.background_2d(
                _background(responses), energies, reco_rings, responses.obs_time_h * u.h
            ),
            energies, reco_rings, **header,
        ),
    ]  # fmt: skip
    if point_like:
        cuts = responses.cuts
        radius = np.nan_to_num(cuts.theta_deg)
        radius = np.repeat(radius[:, None], len(grid.rings) - 1, axis=1) * u.deg
        hdus.append(gadf.create_rad_max_hdu(radius, cuts.edges * u.TeV, rings, **header))
    return hdus


def write_fits(path, hdus, overwrite=False, finite=True):
    """Write tables to a new file, entirely or not at all.

    Parameters
    ----------
    path : path-like
        Compressed if it ends in ``.gz``.
    hdus : list of BinTableHDU
    overwrite : bool
    finite : bool
        Whether every value has to be finite: of cuts it need not.

    Raises
    ------
    IRFError
        The file is there, or a value is not finite.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise IRFError(f"{path}: exists already; choose another name or overwrite it")
    for hdu in hdus if finite else ():
        for name in hdu.columns.names:
            values = hdu.data[name]
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise IRFError(f"{path}: {hdu.name} {name}: not finite; please report it")
    with whole_file(path) as partial:
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(partial)


def _gammas(responses, selected):
    """Table of selected gammas as pyirf wants it."""
    gamma = responses.gamma.take(selected)
    reco = gamma.reconstructions[responses.name]
    return QTable(
        {
            "true_energy": gamma.true_energy * u.TeV,
            "reco_energy": reco.energy * u.TeV,
            "theta": reco.theta * u.deg,
            "true_source_fov_offset": gamma.true_offset * u.deg,
        }
    )


def _background(responses):
    """Table of selected background as pyirf wants it."""
    found = responses.background
    return QTable(
        {
            "reco_energy": found["energy"] * u.TeV,
            "reco_source_fov_offset": found["offset"] * u.deg,
            "weight": found["weight"],
        }
    )


def _areas(gamma, grid):
    """Effective area in each ring, shape (n_energies, n_rings), m2."""
    rings = [
        in_ring(gamma, low, high) for low, high in zip(grid.rings[:-1], grid.rings[1:], strict=True)
    ]
    tables = [effective_area(r.true_energy, r.thrown, grid.true_edges) for r in rings]
    return np.stack([table["area"] for table in tables], axis=1)


def _psf(responses, grid):
    """Point spread, shape (n_energies, n_rings, n_thetas); its integral is the part contained."""
    edges = np.append(grid.theta, FULL_CIRCLE) * u.deg
    events = _gammas(responses, responses.above)
    table = irf.psf_table(events, grid.true_edges * u.TeV, edges, grid.rings * u.deg)
    # pyirf divides by the events within the last edge: those beyond theta count, too
    return table[..., :-1]
