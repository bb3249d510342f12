"""Response functions and cuts of ``ctapipe-gammalearn-irf`` as files."""

import numpy as np

from ..io.dl2_tables import PARTS
from ..irf.cuts_file import cuts_hdus
from ..irf.fits import Grid, Responses, response_hdus, write_fits
from ..irf.samples import RECO_EDGES

__all__ = ["write_cuts", "write_responses"]

# beyond the reconstructed ones: gammas from there migrate into their first and last bin
TRUE_EDGES = 10.0 ** (-2.5 + 0.05 * np.arange(109))
MIGRATION = np.geomspace(0.2, 5, 61)
THETA_DEG = np.linspace(0, 1, 101)


def write_responses(folder, name, sources, background, cuts, rings, obs_time_h, header):
    """Write the point-like and the full-enclosure response functions of a reconstructor.

    Parameters
    ----------
    folder : Path
    name : str
    sources : dict of bool to Sample
        Gammas of the point-like (True) and of the full-enclosure file.
    background : list of (Sample, ndarray)
        Samples and weights.
    cuts : Cuts
    rings : dict of bool to ndarray, deg
        True offsets of the gammas; under None the offsets of the background.
    obs_time_h : float, h
    header : dict
    """
    found = {"energy": [], "offset": [], "weight": []}
    for sample, weight in background:
        reco = sample.reconstructions[name]
        above = cuts.select(reco, theta=False)
        columns = reco.energy, reco.offset, weight
        for column, values in zip(found.values(), columns, strict=True):
            column.append(values[above])
    found = {key: np.concatenate(parts) for key, parts in found.items()}
    for point_like, gamma in sources.items():
        reco = gamma.reconstructions[name]
        masks = (cuts.select(reco, theta=t) for t in (False, True))
        responses = Responses(gamma, name, *masks, found, cuts, obs_time_h)
        grid = Grid(TRUE_EDGES, RECO_EDGES, rings[point_like], rings[None], MIGRATION, THETA_DEG)
        kind = "point" if point_like else "full"
        hdus = response_hdus(responses, grid, point_like, header)
        write_fits(folder / f"irf_{name}_{kind}.fits.gz", hdus, overwrite=True)


def write_cuts(folder, name, cuts, prefixes, ring, others):
    """Write the cuts of a reconstructor for ``ctapipe-compute-irf --cuts``.

    Parameters
    ----------
    folder : Path
    name : str
    cuts : Cuts
    prefixes : dict of str to str
        Of energy, geometry and gammaness; ctapipe then asks that each be valid, as we do.
    ring : tuple of float, deg
        Offsets of the source.
    others : list of (str, str)
        Names and expressions of more criteria.
    """
    criteria = [(f"valid {part}", f"{prefixes[part]}_is_valid") for part in PARTS]
    criteria += others
    hdus = cuts_hdus(cuts, prefixes["gammaness"], criteria, ring)
    write_fits(folder / f"cuts_{name}.fits", hdus, overwrite=True, finite=False)
