"""Simulated files through every tool of ctapipe, unchanged, up to instrument responses."""

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import yaml
from astropy.io import fits
from ctapipe.core import run_tool
from ctapipe.io import TableLoader
from ctapipe.tools.apply_models import ApplyModels
from ctapipe.tools.compute_irf import IrfTool
from ctapipe.tools.merge import MergeTool
from ctapipe.tools.optimize_event_selection import EventSelectionOptimizer
from ctapipe.tools.process import ProcessorTool
from ctapipe.tools.train_disp_reconstructor import TrainDispReconstructor
from ctapipe.tools.train_energy_regressor import TrainEnergyRegressor
from ctapipe.tools.train_particle_classifier import TrainParticleClassifier

from ctapipe_gammalearn.tools.simulate import SimulateTool

pytestmark = pytest.mark.slow

SAMPLES = "train_gamma_diffuse,train_proton,test_gamma_point,test_proton,test_electron"
QUALITY = [
    ["enough light", "hillas_intensity > 50"],
    ["positive width", "hillas_width > 0"],
    ["enough pixels", "morphology_n_pixels > 3"],
]
FEATURES = ["hillas_intensity", "hillas_length", "hillas_width", "timing_slope", "hillas_r"]
FEATURES += ["hillas_skewness"]


def forest(name, n=10):
    """Settings of a small random forest."""
    return {f"{name}_config": dict(n_estimators=n, min_samples_leaf=4, random_state=0)}


def training(component, **more):
    """Configuration of a training tool."""
    values = dict(QualityQuery=dict(quality_criteria=QUALITY), features=FEATURES, **more)
    return {component: values, "CrossValidator": {"n_cross_validations": 2}}


TRAINING = {
    "energy": training(
        "EnergyRegressor", model_cls="RandomForestRegressor", log_target=True, **forest("model")
    ),
    "particle": training(
        "ParticleClassifier", model_cls="RandomForestClassifier", **forest("model")
    ),
    "disp": training(
        "DispReconstructor", norm_cls="RandomForestRegressor", sign_cls="RandomForestClassifier",
        log_target=True, **forest("norm"), **forest("sign"),
    ),
}  # fmt: skip
SPECTRA = dict(
    gamma_target_spectrum="CRAB_HEGRA",
    proton_target_spectrum="IRFDOC_PROTON_SPECTRUM",
    electron_target_spectrum="IRFDOC_ELECTRON_SPECTRUM",
    obs_time="50 hour",
)
IRF = {
    "EventSelectionOptimizer": SPECTRA | dict(optimization_algorithm="PercentileCuts"),
    "IrfTool": SPECTRA,
    "DL2EventPreprocessor": dict(
        energy_reconstructor="RandomForestRegressor",
        geometry_reconstructor="disp",
        gammaness_classifier="RandomForestClassifier",
        DL2EventQualityQuery=dict(
            quality_criteria=[
                ["valid energy", "RandomForestRegressor_is_valid"],
                ["valid direction", "disp_is_valid"],
            ]
        ),
    ),
    "DefaultRecoEnergyBins": dict(
        reco_energy_min="0.03 TeV", reco_energy_max="3 TeV", reco_energy_n_bins_per_decade=2
    ),
    "DefaultTrueEnergyBins": dict(
        true_energy_min="0.03 TeV", true_energy_max="3 TeV", true_energy_n_bins_per_decade=2
    ),
    "DefaultFoVOffsetBins": dict(
        fov_offset_min="0 deg", fov_offset_max="1 deg", fov_offset_n_bins=1
    ),
    "GhPercentileCutCalculator": dict(target_percentile=68, min_counts=5, smoothing=None),
    "ThetaPercentileCutCalculator": dict(
        theta_min_angle="-1 deg", theta_max_angle="1 deg", theta_fill_value="0.6 deg",
        target_percentile=68, min_counts=5, smoothing=None,
    ),
}  # fmt: skip


class Chain:
    """A folder in which tools run one after the other."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, tool, *argv, config=None):
        """Run a tool; it must end with 0."""
        argv = [str(a) for a in argv] + [f"--provenance-log={self.folder / 'log'}"]
        if config is not None:
            path = self.folder / f"{tool.__name__}.yaml"
            path.write_text(yaml.safe_dump(config))
            argv += ["-c", str(path)]
        assert run_tool(tool(), argv=argv, cwd=self.folder) == 0

    def __getitem__(self, name):
        return Path(self.folder / name)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Data set and DL2 files."""
    c = Chain(tmp_path_factory.mktemp("chain"))
    options = [f"--samples={SAMPLES}", "--scale=0.8", "--jobs=1"]
    assert run_tool(SimulateTool(), argv=["-o", str(c["data"]), *options], raises=False) == 0
    gammas, protons = (c["data"] / f"train_{n}.dl1.h5" for n in ("gamma_diffuse", "proton"))
    c.run(
        TrainEnergyRegressor, "-i", gammas, "-o", c["energy.pkl"], config=TRAINING["energy"]
    )  # fmt: skip
    c.run(
        TrainParticleClassifier, "--signal", gammas, "--background", protons,
        "-o", c["particle.pkl"], config=TRAINING["particle"],
    )  # fmt: skip
    c.run(
        TrainDispReconstructor, "-i", gammas, "-o", c["disp.pkl"], config=TRAINING["disp"]
    )  # fmt: skip
    for name in ("test_gamma_point", "test_proton", "test_electron"):
        models = [w for m in ("energy", "particle", "disp") for w in ("-r", c[f"{m}.pkl"])]
        c.run(
            ApplyModels, "-i", c["data"] / f"{name}.dl1.h5", "-o", c[f"{name}.dl2.h5"], *models
        )  # fmt: skip
    return c


def test_reconstruction_knows_something(chain):
    with TableLoader(chain["test_gamma_point.dl2.h5"]) as loader:
        events = loader.read_subarray_events(dl2=True, simulated=True)
    valid = events[events["RandomForestRegressor_is_valid"]]
    assert len(valid) > 50
    energies = [np.log10(valid[n]) for n in ("RandomForestRegressor_energy", "true_energy")]
    assert np.corrcoef(*energies)[0, 1] > 0.5


def test_responses_are_computed(chain):
    files = [
        *("--gamma-file", chain["test_gamma_point.dl2.h5"]),
        *("--proton-file", chain["test_proton.dl2.h5"]),
        *("--electron-file", chain["test_electron.dl2.h5"]),
    ]
    chain.run(EventSelectionOptimizer, *files, "-o", chain["cuts.fits"], config=IRF)
    chain.run(
        IrfTool, *files, "--cuts", chain["cuts.fits"], "--do-background",
        "--output", chain["irf.fits.gz"], config=IRF,
    )  # fmt: skip
    with fits.open(chain["irf.fits.gz"]) as irf:
        area = irf["EFFECTIVE AREA"].data["EFFAREA"][0] * u.Unit("m2")
    # thrown over a circle of 600 m: percent-level efficiencies, 1e3 to 1e6 m²
    assert 1e3 < area.max().value < 1e6


def test_samples_merge_and_are_processed_again(chain):
    inputs = [chain["data"] / f"test_{n}.dl1.h5" for n in ("gamma_point", "proton", "electron")]
    chain.run(MergeTool, *inputs, "-o", chain["merged.dl1.h5"])
    chain.run(
        ProcessorTool, "-i", chain["merged.dl1.h5"], "-o", chain["again.dl1.h5"],
        "--ProcessorTool.force_recompute_dl1=True", "--write-images",
    )  # fmt: skip
    tables = []
    for name in ("merged.dl1.h5", "again.dl1.h5"):
        with TableLoader(chain[name]) as loader:
            tables.append(loader.read_telescope_events(dl1_images=True, dl2=False))
    assert len(tables[0]) == len(tables[1])
    np.testing.assert_allclose(tables[0]["image"], tables[1]["image"], atol=1e-4)
