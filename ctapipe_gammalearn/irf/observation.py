"""Analysis of an observation: cuts, tables and comparison of all reconstructors."""

from dataclasses import dataclass, replace

import numpy as np
from astropy.coordinates import angular_separation

from . import observed
from .agreement import GAMMANESS_EDGES, agreement, gammaness_of_excess
from .cuts import efficiency_cuts, fixed_cuts
from .on_off import ON_TO_OFF
from .samples import RECO_EDGES

__all__ = ["INTENSITY_EDGES", "Analysis", "Simulated"]

INTENSITY_EDGES = 10 ** np.arange(1.5, 5.01, 0.25)
#: parts of the simulated gammas that equal cuts keep
EFFICIENCIES = (0.8, 0.5)
CHECKS = {
    "gammaness": "part of the gammas above the cut in gammaness",
    "theta": "part of the gammas within the cut in θ",
    "rate": "rate of gammas per minute",
}


@dataclass(frozen=True, eq=False)
class Simulated:
    """Simulated gammas beside an observation.

    Attributes
    ----------
    samples, weights : dict
        As of `cuts.efficiency_cuts`.
    cuts : dict of str to Cuts
        Chosen on simulations, by reconstructor.
    obs_time_h : float, h, optional
        Of the weights, if they are those of the observed source.
    """

    samples: dict
    weights: dict
    cuts: dict
    obs_time_h: float | None = None


class Analysis:
    """Regions and cuts of all reconstructors, and the tables that follow.

    Parameters
    ----------
    observation : sky.Observation
    source : tuple of float, rad
    gammaness_cut, theta_cut : float
        The second in deg.
    fixed : bool
        Use these; else choose cuts on simulations or, without, gammaness on halves of the runs.
    simulated : Simulated, optional
    n_max, excluded
        As of `on_off.off_regions`.
    """

    def __init__(
        self, observation, source, gammaness_cut, theta_cut, fixed, simulated=None, n_max=0,
        excluded=(),
    ):  # fmt: skip
        self.observation, self.notes = observation, list(observation.notes)
        self.names = list(observation.reconstructions)
        known = simulated.cuts if simulated else {}
        self.simulated = simulated if set(self.names) <= set(known) else None
        if simulated and not self.simulated:
            self.notes.append("The simulations are of other reconstructors: they are not compared.")
        plain = fixed_cuts(gammaness_cut, theta_cut)
        self.cuts, self.how = dict.fromkeys(self.names, (plain, plain)), "fixed"
        if self.simulated and not fixed:
            self.how = "chosen on simulations"
            self.cuts = {n: (self._limited(known[n], source),) * 2 for n in self.names}
        radius = max(float(np.nanmax(c[0].theta_deg)) for c in self.cuts.values())
        self.field = observed.field_of(observation, source, radius, n_max, excluded)
        self.pairs = {n: observed.pairs_of(observation, n, self.field) for n in self.names}
        if not self.simulated and not fixed:
            self.how = "in gammaness chosen on one half of the runs and used on the other"
            self.cuts = {
                n: observed.best_cuts(p, self.field, theta_cut) for n, p in self.pairs.items()
            }

    def _limited(self, cuts, source):
        """Cuts whose regions fit beside each other."""
        offset = min(angular_separation(*r.pointing, *source) for r in self.observation.runs)
        # not beyond by a rounding error
        limit = np.rad2deg(offset) / (ON_TO_OFF / 2) * (1 - 1e-9)
        if np.nanmax(cuts.theta_deg) > limit:
            note = f"Cuts in θ end at {limit:.3f} deg: off regions must fit beside the source."
            self.notes += [note] if note not in self.notes else []
        return replace(cuts, theta_deg=np.minimum(cuts.theta_deg, limit))

    def passing(self, name, cuts=None, **which):
        """Pairs of a reconstructor after its own or other cuts: see `observed.selected`."""
        return observed.selected(self.pairs[name], cuts or self.cuts[name], **which)

    def tables(self):
        """Tables of each reconstructor: dict by table, of dict by reconstructor."""
        out = {}
        for name in self.names:
            passing, field = self.passing(name), self.field
            above = self.passing(name, theta=False)
            loose = self.passing(name, gammaness=False)
            mine = {
                "theta2": observed.theta2_table(above, field),
                "gammaness": observed.gammaness_table(loose, field),
                "energy": observed.binned_table(passing, field, "energy", RECO_EDGES),
                "intensity": observed.binned_table(passing, field, "intensity", INTENSITY_EDGES),
                "runs": observed.run_table(passing, field, self.observation),
            }
            if self.simulated:
                spectrum = observed.binned_table(loose, field, "gammaness", GAMMANESS_EDGES)
                gamma = self._gamma(name)
                cuts = self.cuts[name][0]
                mine["simulation"] = gammaness_of_excess(spectrum, *gamma, cuts)
            for table, columns in mine.items():
                out.setdefault(table, {})[name] = columns
        return out

    def _gamma(self, name):
        """Simulated gammas as a reconstructor sees them, and their weights."""
        gamma = self.simulated.samples["gamma"]
        return gamma.reconstructions[name], self.simulated.weights["gamma"]

    def numbers(self):
        """Counts and rates after cuts, by reconstructor."""
        return {
            n: observed.numbers(self.passing(n), self.field)
            | {"gammaness_cuts": self._cut_values(n)}
            for n in self.names
        }

    def _cut_values(self, name):
        """Cuts in gammaness of both halves of the runs; None where they depend on energy."""
        values = [np.unique(c.gammaness[np.isfinite(c.gammaness)]) for c in self.cuts[name]]
        return [float(v[0]) if len(v) == 1 else None for v in values]

    def compared(self, candidate, reference):
        """Paired comparisons: list of dict, each with its ``policy``."""
        mine, theirs = self.cuts[candidate], self.cuts[reference]
        background = observed.numbers(self.passing(reference), self.field)["background"]
        equal = observed.cuts_at_background(self.pairs[candidate], mine, self.field, background)
        pairs = {"own cuts": (mine, theirs), "equal background": (equal, theirs)}
        for part in EFFICIENCIES if self.simulated else ():
            both = (self._efficient(n, part) for n in (candidate, reference))
            pairs[f"{part:.0%} of simulated gammas"] = tuple(both)
        return [
            {"policy": policy}
            | observed.compare(
                self.passing(candidate, one), self.passing(reference, other), self.field
            )
            for policy, (one, other) in pairs.items()
        ]

    def _efficient(self, name, part):
        """Cuts in gammaness that keep the same part of simulated gammas; theta as it is."""
        sample = self.simulated.samples, self.simulated.weights, name, part
        return tuple(
            replace(efficiency_cuts(*sample, edges=own.edges), theta_deg=own.theta_deg)
            for own in self.cuts[name]
        )

    def equal_background(self, candidate, reference):
        """Table of excess at equal background."""
        both = (self.passing(n, gammaness=False) for n in (candidate, reference))
        return observed.equal_background_table(*both, self.field)

    def agreement(self, labels):
        """Checks of the simulation, by reconstructor; what differs is noted by its label."""
        out = {}
        for name in self.names if self.simulated else ():
            gamma, weight = self._gamma(name)
            hours = self.simulated.obs_time_h
            rows = agreement(self.pairs[name], self.field, self.cuts[name], gamma, weight, hours)
            out[name] = rows
            self.notes += [
                f"{labels[name]}: {CHECKS[row['check']]} is {row['data']:.3g} ±"
                f" {row['error']:.2g} in the data, {row['simulation']:.3g} in the simulation:"
                " more than 10 % apart."
                for row in rows if row["outcome"] == "differs"
            ]  # fmt: skip
        return out
