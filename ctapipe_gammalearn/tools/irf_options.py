"""Options of ``ctapipe-gammalearn-irf``, and which of them are refused."""

from ctapipe.core.traits import (
    Bool,
    CaselessStrEnum,
    Dict,
    Float,
    Int,
    List,
    Path,
    Tuple,
    Unicode,
)
from traitlets import Union

from ..exceptions import IRFError
from .base import InputPath
from .irf_observation import ObservationOptions

__all__ = ["IrfOptions"]

SPECTRA = {
    "gamma": "CRAB_MAGIC_JHEAP2015",
    "proton": "IRFDOC_PROTON_SPECTRUM",
    "electron": "IRFDOC_ELECTRON_SPECTRUM",
}
ENDPOINTS = ["auc", "theta68", "eres", "aeff", "sensitivity"]


def sample_files(role):
    """Option for the files of a sample."""
    text = f"DL2 file of simulated {role}; repeat for more, whole runs of one production."
    return List(InputPath(), help=text).tag(config=True)


class IrfOptions(ObservationOptions):
    """Options of `IrfTool`."""

    gamma = sample_files("gammas of a point source or ring")
    gamma_diffuse = sample_files("gammas of a cone")
    proton = sample_files("protons")
    electron = sample_files("electrons")
    output = Path(
        default_value=None, allow_none=True, file_ok=False,
        help="Folder to write to; made if its parent exists.",
    ).tag(config=True)  # fmt: skip
    reconstructors = Dict(
        help="By name: prefixes of energy, geometry and gammaness, and a label to print; also"
        " model, its model file, and training, a list of the files that it was trained on."
    ).tag(config=True)
    reference = Unicode(
        "reference", help="Name of the reconstructor that the others are compared with."
    ).tag(config=True)
    level = CaselessStrEnum(
        ["subarray", "telescope"], "subarray", help="A row is an event, or an image."
    ).tag(config=True)
    allowed_tels = List(
        Union([Int(), Unicode()]), help="Numbers or types of telescopes, at their level only."
    ).tag(config=True)
    quality = List(
        Tuple(Unicode(), Unicode()),
        help="Name and expression of selections by columns that all reconstructors share.",
    ).tag(config=True)
    spectra = Dict(help="Names of spectra of gamma, proton and electron.").tag(config=True)
    cuts_mode = CaselessStrEnum(
        ["fixed", "efficiency", "optimised", "file"], "optimised", help="How cuts are chosen."
    ).tag(config=True)
    cuts = List(
        InputPath(),
        help="File of cuts, of ctapipe-optimize-event-selection or of this tool, for the"
        " reconstructors whose gammaness it names; repeat for others.",
    ).tag(config=True)
    gammaness_cut = Float(0.8, help="Gammaness of fixed cuts.").tag(config=True)
    theta_cut = Float(0.2, help="Theta of fixed cuts, deg.").tag(config=True)
    efficiency = Float(0.8, help="Gammas kept by the cuts of mode efficiency.").tag(config=True)
    min_bkg_mc = Int(
        10, min=1, help="Simulated background events that optimised cuts must leave in a bin."
    ).tag(config=True)
    min_bkg_verdict = Int(
        30, min=1, help="Simulated background events that a bin of the verdict needs."
    ).tag(config=True)
    obs_time = Float(50.0, min=1e-3, help="Time of observation, h.").tag(config=True)
    source_ring = List(
        Float(), help="True offsets of the gammas, deg; default: 0.1 around a point source."
    ).tag(config=True)
    background_ring = Tuple(
        Float(), Float(), default_value=(0.0, 1.0),
        help="Offsets between which background is counted, deg: wide for statistics, narrow"
        " enough that its rate is everywhere that at the source.",
    ).tag(config=True)  # fmt: skip
    endpoints = List(Unicode(), ENDPOINTS, help="Quantities of the verdict.").tag(config=True)
    energy_range = Tuple(Float(), Float(), default_value=(0.02, 20.0),
                         help="Energies of the verdict, TeV.").tag(config=True)  # fmt: skip
    auc_margin = Float(0.005, help="Difference of AUC that matters.").tag(config=True)
    ratio_margin = Float(0.05, help="Relative difference that matters.").tag(config=True)
    allow_leakage = Bool(
        False, help="Give a verdict in spite of events that a reconstructor was trained on."
    ).tag(config=True)
    overlays = List(Unicode(), help="Names of published curves to show beside.").tag(config=True)
    timing = InputPath(
        help="JSON file with machine and ms_per_event by reconstructor, for the record."
    ).tag(config=True)
    n_replicas = Int(200, min=20, help="Replicas of the bootstrap.").tag(config=True)
    html = Bool(True, help="Draw figures and write report.html.").tag(config=True)
    seed = Int(1, min=0, help="Seed of the bootstrap.").tag(config=True)

    def files(self):
        """Files by kind of sample."""
        from ..io.dl2_events import KINDS

        return {kind: getattr(self, kind) for kind in KINDS}

    @property
    def observation_alone(self):
        """No simulations are given: no verdict."""
        return bool(self.observation) and not any(self.files().values())

    def prepare(self):
        """Refuse what can be seen without reading events."""
        from ..irf.overlays import overlays
        from .irf_cuts import file_cuts
        from .irf_timing import read_timing

        self._check_files()
        self._check_reconstructors()
        self._check_values()
        self.cuts_of, self.criteria = file_cuts(
            self.cuts_mode, self.cuts, self.reconstructors, self.level
        )
        if self.criteria and self.observation:
            raise IRFError(
                f"{self.cuts[0]}: criteria of the cuts are not applied to observations; give cuts"
                " that only ask for valid reconstructions"
            )
        overlays(self.overlays)
        self._timing = read_timing(self.timing, self.reconstructors, self.reference)

    def _check_files(self):
        """Refuse missing samples, and a folder that holds results."""
        if self.observation:
            self.check_observation(self.observation_alone)
        if not self.observation_alone:
            if not self.gamma and not self.gamma_diffuse:
                raise IRFError(f"{self.name}: no gammas; give DL2 files with --gamma")
            if not self.proton:
                raise IRFError(f"{self.name}: no background; give DL2 files with --proton")
        if self.output is None or not self.output.parent.is_dir():
            raise IRFError(f"{self.name}: give a folder with -o; its parent must exist")
        if (self.output / "summary.json").exists() and not self.overwrite:
            raise IRFError(f"{self.output}: holds results; use --overwrite")

    def _check_reconstructors(self):
        """Refuse incomplete ones."""
        from ..io.dl2_tables import PARTS
        from .irf_leakage import KEYS, check_keys

        for name, prefixes in self.reconstructors.items():
            if not isinstance(prefixes, dict) or set(prefixes) - {"label", *KEYS} != set(PARTS):
                raise IRFError(
                    f"reconstructors: {name}: give {', '.join(PARTS)} and perhaps label,"
                    f" {' and '.join(KEYS)}"
                )
            check_keys(name, prefixes)
        if self.reference not in self.reconstructors and not self.observation_alone:
            raise IRFError(
                f"reconstructors: no {self.reference!r} among {list(self.reconstructors)}; name"
                " the reference with --IrfTool.reference"
            )

    def _check_values(self):
        """Refuse unknown names and impossible numbers."""
        from ..irf.weights import spectrum_named

        if unknown := set(self.spectra) - set(SPECTRA):
            raise IRFError(f"spectra: unknown particle {min(unknown)}; give {', '.join(SPECTRA)}")
        self.spectra = SPECTRA | self.spectra
        for spectrum in self.spectra.values():
            spectrum_named(spectrum)
        if self.allowed_tels and self.level != "telescope":
            raise IRFError("allowed_tels: choose telescopes with --level telescope")
        if not 0 <= self.background_ring[0] < self.background_ring[1]:
            raise IRFError(f"background_ring {self.background_ring}: give two rising offsets")
        if len(self.source_ring) not in (0, 2):
            raise IRFError(f"source_ring {self.source_ring}: give two offsets")
        if unknown := set(self.endpoints) - set(ENDPOINTS):
            raise IRFError(f"endpoints: unknown {min(unknown)}; choose of {', '.join(ENDPOINTS)}")
