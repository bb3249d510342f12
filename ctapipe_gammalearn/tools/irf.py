"""``ctapipe-gammalearn-irf``: response functions, sensitivity, which reconstructor is better."""

from ctapipe.core import Provenance
from traitlets import default

from .base import progress_bar, say
from .irf_observation import observe, simulated_beside
from .irf_observation_output import print_numbers, report_alone
from .irf_options import IrfOptions

__all__ = ["IrfTool", "main"]


class IrfTool(IrfOptions):
    """Response functions and benchmarks of several reconstructors on the same events."""

    name = "ctapipe-gammalearn-irf"
    description = "Response functions, sensitivity and an honest comparison of reconstructors."
    examples = """
    ctapipe-gammalearn-irf --config irf.yaml --gamma gamma.dl2.h5 --proton proton.dl2.h5 -o irf
    """

    aliases = {
        "gamma": "IrfTool.gamma", "gamma-diffuse": "IrfTool.gamma_diffuse",
        "proton": "IrfTool.proton", "electron": "IrfTool.electron",
        ("o", "output"): "IrfTool.output", "cuts-mode": "IrfTool.cuts_mode",
        "cuts": "IrfTool.cuts", "allowed-tels": "IrfTool.allowed_tels",
        "obs-time": "IrfTool.obs_time", "n-replicas": "IrfTool.n_replicas",
        "seed": "IrfTool.seed", "level": "IrfTool.level", "timing": "IrfTool.timing",
        "observation": "IrfTool.observation", "source": "IrfTool.source",
    }  # fmt: skip
    flags = {
        "overwrite": ({"IrfTool": {"overwrite": True}}, "Replace earlier results."),
        "no-html": ({"IrfTool": {"html": False}}, "Neither figures nor report.html."),
        "allow-leakage": (
            {"IrfTool": {"allow_leakage": True}},
            "Give a verdict in spite of events that a reconstructor was trained on.",
        ),
    }

    @default("log_level")
    def _default_log_level(self):
        return 30

    def work(self):
        """Read, choose cuts, compare, write."""
        from ..irf.comparison import benchmarks, joined, select_across
        from ..irf.curves import Events, own_benchmarks
        from .irf_input import n_threads

        if self.observation_alone:
            report_alone(self)
            return
        self._leakage = self._trainings()
        data = self._read()
        observed = observe(self, simulated_beside(self, data)) if self.observation else None
        chosen = {
            name: select_across(
                data.samples, data.weights, name, self.choose(name), self.background_ring
            )
            for name in self.reconstructors
        }
        kinds = [kind for kind in data.samples if kind != "gamma"]
        background = joined([data.samples[k] for k in kinds], [data.weights[k] for k in kinds])
        events = Events(
            data.samples["gamma"], data.weights["gamma"], background, chosen, self.reference,
            self.background_ring, self.obs_time, self.n_replicas, self.seed,
            data.source_ring,
        )  # fmt: skip
        with progress_bar(self.n_replicas + 1, " replicas", self.quiet) as bar:
            found = benchmarks(
                events.gamma, events.weight, background, chosen, self.n_replicas, self.seed,
                n_threads(), bar.update,
            )  # fmt: skip
        found |= own_benchmarks(events)
        self._write(data, events, found, self._verdicts(found), observed)

    def _trainings(self):
        """Overlap of the events with trainings, by reconstructor; said at once."""
        from .irf_leakage import check_trainings

        leakage = check_trainings(self.files(), self.reconstructors, self._labels())
        for found in leakage.values():
            for sentence in found["sentences"]:
                say(f"WARNING: {sentence}" if found["overlap"] else sentence)
        return leakage

    def _read(self):
        """Read all simulated samples."""
        from .irf_input import read_all

        files = self.files()
        for kind, paths in files.items():
            for path in paths:
                Provenance().add_input_file(path, role=f"dl2-{kind}", add_meta=False)
        with progress_bar(sum(map(len, files.values())), " files", self.quiet) as bar:
            data = read_all(
                files, self.reconstructors, self.level, self.quality, self.spectra,
                self.obs_time, tuple(self.source_ring) or None, bar.update, self.allowed_tels,
                self.criteria,
            )  # fmt: skip
        say(", ".join(f"{len(s)} {kind}" for kind, s in data.samples.items()) + " events")
        return data

    def choose(self, name):
        """Cuts of a reconstructor from samples and weights."""
        from ..irf.cuts import efficiency_cuts, fixed_cuts, optimised_cuts

        def choose(samples, weights):
            if self.cuts_mode == "file":
                return self.cuts_of[name]
            if self.cuts_mode == "fixed":
                return fixed_cuts(self.gammaness_cut, self.theta_cut)
            if self.cuts_mode == "efficiency":
                return efficiency_cuts(samples, weights, name, self.efficiency)
            ring = self.background_ring
            return optimised_cuts(samples, weights, name, ring, self.min_bkg_mc)

        return choose

    def _labels(self):
        """Names to print."""
        return {name: p.get("label", name) for name, p in self.reconstructors.items()}

    def _verdicts(self, found):
        """Rows and headline for all but the reference."""
        from ..irf.comparison import endpoints
        from ..irf.leakage import disclosed, withheld
        from ..irf.verdict import verdict

        labels, out = self._labels(), {}
        for name in self.reconstructors:
            if name != self.reference:
                compared = endpoints(
                    found, name, self.reference, self.energy_range, self.endpoints,
                    self.min_bkg_verdict,
                )  # fmt: skip
                rows, headline = verdict(
                    compared, labels[name], labels[self.reference],
                    self.auc_margin, self.ratio_margin,
                )  # fmt: skip
                both = (name, self.reference)
                overlapping = [labels[n] for n in both if self._leakage[n]["overlap"]]
                if self.allow_leakage:
                    out[name] = rows, disclosed(headline, overlapping)
                else:
                    out[name] = withheld(rows, headline, overlapping)
        return out

    def _write(self, data, events, found, verdicts, observed):
        """Tables, response functions, summary; the verdict for the reader."""
        from ..irf.overlays import overlays
        from .irf_output import Outcome, print_verdict, write_all

        self.output.mkdir(exist_ok=True)
        settings = {
            key: getattr(self, key)
            for key in (
                "level", "allowed_tels", "quality", "cuts_mode", "gammaness_cut", "theta_cut",
                "efficiency", "min_bkg_mc", "min_bkg_verdict", "obs_time", "background_ring",
                "endpoints", "energy_range", "auc_margin", "ratio_margin", "n_replicas", "seed",
                "reference", "reconstructors", "spectra", "allow_leakage", "overlays",
                "off_regions", "excluded", "criteria",
            )
        }  # fmt: skip
        settings["source_ring"] = data.source_ring
        labels = self._labels()
        files = self.files() | {"cuts": self.cuts, "observation": self.observation}
        outcome = Outcome(
            data, events, found, verdicts, settings, files,
            {name: self.choose(name) for name in self.reconstructors}, labels, self._leakage,
            self._timing, overlays(self.overlays), *(observed or ({}, None)),
        )  # fmt: skip
        write_all(self.output, outcome, self.html)
        Provenance().add_output_file(
            str(self.output / "summary.json"), role="irf-summary", add_meta=False
        )
        for name, (rows, headline) in verdicts.items():
            print_verdict(rows, headline, labels[name], labels[self.reference])
        if observed:
            print_numbers(observed[1])
        page = ", report.html" if self.html else ""
        say(f"{self.output}: benchmarks/*.ecsv, irf_*.fits.gz, cuts_*.fits, summary.json{page}")


def main():
    """Entry point of the console script."""
    IrfTool().run()
