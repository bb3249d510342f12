"""Data sets: which runs, of how many showers, with which numbers.

Numbers: sample ``k`` of a data set has the seed ``100 * seed + k``; its showers are divided
into chunks, and chunk ``c`` is the run ``obs_id = 10000 * k + c + 1``.  Showers are numbered
through the whole sample, so that events depend neither on the chunks nor on the processes.
Training, calibration and test samples share no seed and no obs_id.
"""

from dataclasses import dataclass, replace

from ..exceptions import SimulationError
from .run import RunConfig

__all__ = ["PRESETS", "SAMPLES", "Sample", "plan_dataset"]

#: number of a sample and what it differs in from the default run
SAMPLES = {
    "train_gamma_diffuse": (1, dict(primary="gamma", viewcone=(0.0, 2.5))),
    "train_proton": (2, dict(primary="proton", viewcone=(0.0, 6.0))),
    "train_helium": (3, dict(primary="helium", viewcone=(0.0, 6.0))),
    "train_electron": (4, dict(primary="electron", viewcone=(0.0, 2.5))),
    "train_muon": (5, dict(primary="muon", viewcone=(0.0, 1.5))),
    "calibrate_gamma_diffuse": (6, dict(primary="gamma", viewcone=(0.0, 2.5))),
    "test_gamma_point": (11, dict(primary="gamma", source_offset=0.4)),
    "test_gamma_diffuse": (12, dict(primary="gamma", viewcone=(0.0, 2.5))),
    "test_proton": (13, dict(primary="proton", viewcone=(0.0, 10.0))),
    "test_helium": (14, dict(primary="helium", viewcone=(0.0, 6.0))),
    "test_electron": (15, dict(primary="electron", viewcone=(0.0, 2.5))),
    "test_muon": (16, dict(primary="muon", viewcone=(0.0, 1.5))),
}
ENERGIES = {  # TeV
    "gamma": (0.01, 50.0),
    "electron": (0.01, 10.0),
    "proton": (0.04, 50.0),
    "helium": (0.08, 100.0),
    "muon": (0.006, 1.0),
}
# full rings: muons through the mirror, from where their light still reaches it
MUON = dict(scatter_radius=10.0, start_altitude=4000.0, reuse=1, array="1LST", min_tel=1)
SCATTER_RADIUS = {"gamma": 600.0, "electron": 600.0, "proton": 700.0, "helium": 800.0}

#: showers of each sample
PRESETS = {
    "tiny": {
        "train_gamma_diffuse": 500,
        "train_proton": 1500,
        "test_gamma_point": 250,
        "test_gamma_diffuse": 250,
        "test_proton": 800,
        "test_helium": 200,
        "test_electron": 250,
        "test_muon": 60,
    },
    "small": {
        "train_gamma_diffuse": 5000,
        "train_proton": 16_000,
        "train_helium": 2000,
        "train_electron": 1000,
        "train_muon": 300,
        "test_gamma_point": 2000,
        "test_gamma_diffuse": 2000,
        "test_proton": 8000,
        "test_helium": 2000,
        "test_electron": 1500,
        "test_muon": 300,
    },
    "standard": {
        "train_gamma_diffuse": 300_000,
        "train_proton": 1_000_000,
        "train_helium": 50_000,
        "train_electron": 30_000,
        "train_muon": 10_000,
        "calibrate_gamma_diffuse": 40_000,
        "test_gamma_point": 100_000,
        "test_gamma_diffuse": 60_000,
        "test_proton": 600_000,
        "test_helium": 50_000,
        "test_electron": 60_000,
        "test_muon": 5000,
    },
}
# showers per chunk: a minute or so each in "standard"; independent of the machine
CHUNK = {"tiny": 800, "small": 2000, "standard": 10_000}


@dataclass(frozen=True)
class Sample:
    """A sample of a data set.

    Attributes
    ----------
    name : str
    run : RunConfig
        The whole sample as one run.
    chunks : tuple of RunConfig
        What is simulated in one go.
    """

    name: str
    run: RunConfig
    chunks: tuple


def plan_dataset(preset, array="1LST", seed=1, names=None, scale=1.0, options=None):
    """Runs of a data set.

    Parameters
    ----------
    preset : str
        One of `PRESETS`.
    array : str
        As in a run description.
    seed : int
    names : sequence of str, optional
        Samples to make; default: those of the preset.
    scale : float
        Factor on the number of showers.
    options : dict, optional
        Keys of a run description for all samples, such as ``nsb`` or ``pointing_alt``.

    Returns
    -------
    list of Sample

    Raises
    ------
    SimulationError
        Unknown names, or options that do not fit.
    """
    options = dict(options or {})
    for key in ("obs_id", "seed", "primary", "n_showers", "first_shower", "array"):
        if key in options:
            raise SimulationError(f"{key} cannot be an option of a data set: each run has its own")
    counts = PRESETS[preset]
    for name in names or ():
        if name not in SAMPLES:
            raise SimulationError(f"unknown sample {name}; known: {', '.join(SAMPLES)}")
    return [
        _sample(name, preset, array, seed, scale, options) for name in (names or counts)
    ]  # fmt: skip


def _sample(name, preset, array, seed, scale, options):
    """One sample and its chunks."""
    number, own = SAMPLES[name]
    primary = own["primary"]
    low, high = ENERGIES[primary]
    base = dict(
        seed=100 * seed + number,
        obs_id=10_000 * number + 1,
        n_showers=max(1, round(scale * PRESETS[preset].get(name, PRESETS[preset]["test_muon"]))),
        energy_min=low,
        energy_max=high,
        array=array,
        min_tel=1 if array == "1LST" else 2,
    )
    base |= MUON if primary == "muon" else dict(scatter_radius=SCATTER_RADIUS[primary])
    run = RunConfig.from_dict({**base, **_lists(own), **options})
    size = CHUNK[preset]
    chunks = []
    for first in range(0, run.n_showers, size):
        chunk = len(chunks)
        if chunk >= 10_000:
            raise SimulationError(f"{name}: more than 10000 runs; lower the scale")
        chunks.append(
            replace(
                run,
                obs_id=run.obs_id + chunk,
                first_shower=first,
                n_showers=min(size, run.n_showers - first),
            )
        )
    return Sample(name, run, tuple(chunks))


def _lists(values):
    """Tuples as the lists that YAML knows."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
