"""The same numbers as ctapipe's own tools, from the same DL2 files and the same cuts."""

import astropy.units as u
import numpy as np
import pytest
import yaml
from astropy.table import Table
from ctapipe.core import run_tool
from ctapipe.irf.optimize import PointSourceSensitivityOptimizer
from ctapipe.tools.compute_irf import IrfTool
from ctapipe.tools.optimize_event_selection import EventSelectionOptimizer
from numpy.testing import assert_allclose
from pyirf.binning import create_bins_per_decade

from ctapipe_gammalearn.io.dl2_events import read_sample
from ctapipe_gammalearn.irf import metrics
from ctapipe_gammalearn.irf.comparison import joined, select_across
from ctapipe_gammalearn.irf.cuts_file import read_cuts
from ctapipe_gammalearn.irf.fits import Grid, Responses, response_hdus
from ctapipe_gammalearn.irf.samples import in_ring
from ctapipe_gammalearn.irf.sensitivity import ALPHA, energy_flux, sensitivity
from ctapipe_gammalearn.irf.weights import SPECTRA, event_weights

from . import toy
from .dl2 import PREFIXES, write_dl2

HOURS, RING = 50, (0.0, 5.0)
CRAB = SPECTRA["CRAB_HEGRA"]
BACKGROUND = {
    "proton": SPECTRA["IRFDOC_PROTON_SPECTRUM"],
    "electron": SPECTRA["IRFDOC_ELECTRON_SPECTRUM"],
}
TRUE = np.logspace(np.log10(0.015), np.log10(150), 41)
RECO = np.logspace(np.log10(0.015), np.log10(150), 21)
SENSITIVITY = create_bins_per_decade(0.015 * u.TeV, 150 * u.TeV, 5).to_value(u.TeV)
GRID = Grid(
    true_edges=TRUE, reco_edges=RECO, rings=np.array(RING), background_rings=np.array(RING),
    migration=np.geomspace(0.2, 5, 31), theta=np.linspace(0, 1, 101),
)  # fmt: skip
DL = PREFIXES["dl"]
CONFIG = {
    "DL2EventPreprocessor": {
        "energy_reconstructor": DL["energy"],
        "geometry_reconstructor": DL["geometry"],
        "gammaness_classifier": DL["gammaness"],
    },
    "DL2EventQualityQuery": {
        "quality_criteria": [[part, f"{prefix}_is_valid"] for part, prefix in DL.items()]
    },
}
# table and column of ctapipe's files
COLUMNS = {
    "area": ("EFFECTIVE AREA", "EFFAREA"),
    "dispersion": ("ENERGY DISPERSION", "MATRIX"),
    "spread": ("PSF", "RPSF"),
    "rad_max": ("RAD_MAX", "RAD_MAX"),
    "background rate": ("BACKGROUND", "BKG"),
    "bias": ("ENERGY BIAS RESOLUTION", "BIAS"),
    "resolution": ("ENERGY BIAS RESOLUTION", "RESOLUTION"),
    "theta68": ("ANGULAR RESOLUTION", "ANGULAR_RESOLUTION_68"),
    "signal": ("SENSITIVITY", "N_SIGNAL_WEIGHTED"),
    "background": ("SENSITIVITY", "N_BACKGROUND_WEIGHTED"),
    "relative sensitivity": ("SENSITIVITY", "RELATIVE_SENSITIVITY"),
    "sensitivity": ("SENSITIVITY", "ENERGY_FLUX_SENSITIVITY"),
}


def write_samples(folder, size):
    """DL2 files of all kinds; events have one to four telescopes."""
    numbers = {"gamma": 20_000, "gamma_diffuse": 20_000, "proton": 40_000, "electron": 10_000}
    rng = np.random.default_rng(4)
    for kind, n in numbers.items():
        sample = toy.sample(kind, n * size, rng, {"dl": 1.0})
        write_dl2(folder / f"{kind}.dl2.h5", sample, n_tels=1 + np.arange(len(sample)) % 4)


def run_ctapipe(folder, tool, kind, **options):
    """Run a tool on gammas of a kind and the background."""
    config = CONFIG
    if hasattr(PointSourceSensitivityOptimizer, "multiplicity_cuts"):
        config = CONFIG | {"PointSourceSensitivityOptimizer": {"multiplicity_cuts": [2, 3]}}
    path = folder / "ctapipe.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    argv = ["--config", path, "--gamma-file", folder / f"{kind}.dl2.h5", "--overwrite"]
    for name in BACKGROUND:
        argv += [f"--{name}-file", folder / f"{name}.dl2.h5"]
    for name, value in options.items():
        argv += [f"--{name.replace('_', '-')}"] + ([] if value is True else [value])
    run_tool(tool(), argv=[str(word) for word in argv], cwd=folder, raises=True)


@pytest.fixture(
    scope="module", params=[1, pytest.param(10, marks=pytest.mark.long)], ids=["quick", "full"]
)
def folder(request, tmp_path_factory):
    """Folder of DL2 files."""
    folder = tmp_path_factory.mktemp("dl2")
    write_samples(folder, request.param)
    return folder


@pytest.fixture(scope="module", params=["gamma", "gamma_diffuse"])
def found(request, folder):
    """Quantities by name: ours, and those of ctapipe."""
    cuts = folder / f"{request.param}.cuts.fits"
    run_ctapipe(folder, EventSelectionOptimizer, request.param, output=cuts)
    paths = [folder / f"{request.param}.{name}.fits" for name in ("irf", "benchmarks")]
    run_ctapipe(
        folder, IrfTool, request.param, cuts=cuts, spatial_selection_applied=True,
        output=paths[0], benchmark_output=paths[1],
    )  # fmt: skip
    theirs = {}
    for name, (table, column) in COLUMNS.items():
        path = paths[table in ("ENERGY BIAS RESOLUTION", "ANGULAR RESOLUTION", "SENSITIVITY")]
        theirs[name] = np.squeeze(np.asarray(Table.read(path, hdu=table)[column]))
    return ours(folder, request.param, read_cuts(cuts)[0]), theirs


def ours(folder, kind, cuts):
    """All quantities of `COLUMNS` by our functions."""
    read = lambda k: read_sample([folder / f"{k}.dl2.h5"], k, {"dl": DL})[0]  # noqa: E731
    samples = {"gamma": in_ring(read(kind), *RING)} | {k: read(k) for k in BACKGROUND}
    gamma = samples["gamma"]
    weights = {k: event_weights(samples[k], s, HOURS) for k, s in BACKGROUND.items()}
    weights["gamma"] = event_weights(gamma, CRAB, HOURS, None if gamma.thrown.is_point else RING)
    chosen = select_across(samples, weights, "dl", lambda *_: cuts, RING)
    background = joined([samples[k] for k in BACKGROUND], [weights[k] for k in BACKGROUND])
    return (
        responses(gamma, background, chosen)
        | resolutions(gamma, chosen)
        | sensitivities(gamma, weights["gamma"], background, chosen)
    )


def responses(gamma, background, chosen):
    """Columns of the point-like file of response functions."""
    reco, passing = background.reconstructions["dl"], chosen.background_above
    columns = {"energy": reco.energy, "offset": reco.offset, "weight": background.weight}
    columns = {name: column[passing] for name, column in columns.items()}
    events = Responses(gamma, "dl", chosen.above, chosen.inside, columns, chosen.cuts[0], HOURS)
    tables = {hdu.name: hdu.data for hdu in response_hdus(events, GRID, True, {})}
    out = {n: np.squeeze(tables[t][c]) for n, (t, c) in COLUMNS.items() if t in tables}
    # theirs is normalised to the events within 1 deg
    above = chosen.above
    place = metrics.bin_numbers(gamma.true_energy[above], TRUE)
    within = (gamma.reconstructions["dl"].theta[above] < 1).astype(float)
    out["spread"] /= np.nan_to_num(metrics.means_by_bin(within, place, 40), nan=1)
    return out


def resolutions(gamma, chosen):
    """Bias and resolution after all cuts, containment after that in gammaness."""
    reco, inside, above = gamma.reconstructions["dl"], chosen.inside, chosen.above
    errors = metrics.energy_resolution(reco.energy[inside], gamma.true_energy[inside], TRUE)
    place = metrics.bin_numbers(gamma.true_energy[above], TRUE)
    theta = metrics.quantiles_by_bin(reco.theta[above], place, 40, [0.68])[:, 0]
    return {"bias": errors["bias_mean"], "resolution": errors["resolution"], "theta68": theta}


def sensitivities(gamma, weight, background, chosen):
    """Counts and sensitivity at the arithmetic centres of the bins."""
    energies = gamma.reconstructions["dl"].energy, background.reconstructions["dl"].energy
    place, place_background = (metrics.bin_numbers(e, SENSITIVITY) for e in energies)
    signal = np.bincount(place[chosen.inside], weight[chosen.inside], 20)
    used = chosen.on > 0
    circle = np.bincount(place_background[used], chosen.on[used], 20)
    relative, _ = sensitivity(signal, circle)
    flux = energy_flux(CRAB, (SENSITIVITY[1:] + SENSITIVITY[:-1]) / 2)
    return {
        # theirs is that of a source at the limit
        "signal": np.multiply(signal, relative, out=np.full(20, np.nan), where=signal > 0),
        "background": circle / ALPHA,
        "relative sensitivity": relative,
        "sensitivity": relative * flux,
    }


@pytest.mark.parametrize("name", COLUMNS)
def test_numbers_agree_with_ctapipe(found, name):
    mine, theirs = found[0][name], found[1][name]
    if name in ("signal", "relative sensitivity", "sensitivity"):
        # pyirf finds no root for the best bins; those without signal are infinite
        mine = np.where(np.isnan(theirs), np.nan, mine)
    assert np.isfinite(theirs).sum() > 12
    assert_allclose(mine, theirs, rtol=1e-6)
