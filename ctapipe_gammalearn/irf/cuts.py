"""Cuts in gammaness and theta by bins of reconstructed energy, and how they are chosen."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..exceptions import IRFError
from .samples import RECO_EDGES, solid_angle
from .sensitivity import ALPHA, excess_limit

__all__ = ["Cuts", "efficiency_cuts", "fixed_cuts", "optimised_cuts"]

SIGNAL = "gamma"
#: parts of the gammas that a trial cut in gammaness keeps, and of these one in theta
EFFICIENCIES = np.linspace(0.05, 0.95, 37)
CONTAINMENTS = np.linspace(0.4, 0.9, 11)
# fewer gammas give no quantile
MIN_GAMMAS = 10
# of edges and angles that are meant to be equal
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Cuts:
    """Cuts by bins of reconstructed energy.

    Attributes
    ----------
    edges : ndarray, shape (n_bins + 1,), TeV
    gammaness : ndarray, shape (n_bins,)
        Events at or above it pass; none where it is NaN.
    theta_deg : ndarray, shape (n_bins,), deg
        Events at or below it pass; none where it is NaN.
    gamma_efficiency : ndarray, shape (n_bins,)
        Part of the gammas at or above ``gammaness``; NaN where not asked for.
    theta_efficiency : ndarray, shape (n_bins,)
        Part of these at or below ``theta_deg``.
    n_bkg_mc : ndarray, shape (n_bins,), int
        Simulated protons of the ring that passed when the cut was chosen.
    evaluable : ndarray, shape (n_bins,), bool
        Enough events to choose the cut as asked. Other bins of optimised cuts hold those of
        `efficiency_cuts`: good for a response, not for a sensitivity.
    beyond : bool
        Whether energies beyond the edges meet the cut of the nearest bin: rejecting them biases
        the response near the edges. Else they fail, as in ctapipe.
    multiplicity : ndarray, shape (n_bins,), or None
        Events of fewer telescopes fail, all where it is NaN.
    """

    edges: np.ndarray
    gammaness: np.ndarray
    theta_deg: np.ndarray
    gamma_efficiency: np.ndarray
    theta_efficiency: np.ndarray
    n_bkg_mc: np.ndarray
    evaluable: np.ndarray
    beyond: bool = True
    multiplicity: np.ndarray | None = None

    def select(self, reconstruction, theta=True):
        """Events that pass.

        Parameters
        ----------
        reconstruction : Reconstruction
        theta : bool
            Cut in theta, too: not for background, which comes from all of the ring.

        Returns
        -------
        ndarray, shape (n,), bool
            Invalid events never pass.

        Raises
        ------
        IRFError
            Cuts in the number of telescopes, which the reconstruction does not tell.
        """
        place = np.searchsorted(self.edges, reconstruction.energy, "right") - 1
        nearest = np.clip(place, 0, len(self.gammaness) - 1)
        passes = reconstruction.valid & (reconstruction.gammaness >= self.gammaness[nearest])
        if not self.beyond:
            passes &= place == nearest
        if theta:
            # the cut is often the theta of an event, by ctapipe in other last digits
            passes &= reconstruction.theta <= self.theta_deg[nearest] * (1 + ROUNDING)
        if self.multiplicity is not None:
            if len(place) and not reconstruction.multiplicity.any():
                raise IRFError(
                    "cuts in the number of telescopes, but the reconstruction has no column"
                    " _telescopes; choose other cuts"
                )
            passes &= reconstruction.multiplicity >= self.multiplicity[nearest]
        return passes

    def evaluable_in(self, edges):
        """Whether bins of other edges (TeV) meet only `evaluable` cuts, shape (n_bins,)."""
        low, high = edges[:-1, None] * (1 + ROUNDING), edges[1:, None] * (1 - ROUNDING)
        meet = (self.edges[:-1] < high) & (self.edges[1:] > low)
        inside = (self.edges[0] <= low[:, 0]) & (self.edges[-1] >= high[:, 0])
        return inside & ~(meet & ~self.evaluable).any(axis=1)


def fixed_cuts(gammaness, theta_deg, edges=RECO_EDGES):
    """Return the same cuts at all energies."""
    n = len(edges) - 1
    return Cuts(
        edges=np.asarray(edges),
        gammaness=np.full(n, float(gammaness)),
        theta_deg=np.full(n, float(theta_deg)),
        gamma_efficiency=np.full(n, np.nan),
        theta_efficiency=np.full(n, np.nan),
        n_bkg_mc=np.zeros(n, dtype=np.int64),
        evaluable=np.ones(n, dtype=bool),
    )


def efficiency_cuts(samples, weights, name, efficiency=0.8, containment=0.68, edges=RECO_EDGES):
    """Cuts that keep the same part of the gammas at all energies.

    Parameters
    ----------
    samples : dict of str to Sample
        Of them ``gamma``.
    weights : dict of str to ndarray
        Gammas of weight 0 are left out, the others count alike, as in pyirf.
    name : str
        Of the reconstruction.
    efficiency : float
        Part of the gammas that the cut in gammaness keeps.
    containment : float
        Part of these that the cut in theta keeps.
    edges : array_like, shape (n_bins + 1,), TeV

    Returns
    -------
    Cuts
        NaN in bins of fewer than 10 gammas.

    Raises
    ------
    IRFError
        No such sample or reconstruction.
    """
    out = _nothing(edges)
    for i, (score, theta, _) in _by_bin(samples, weights, name, SIGNAL, edges):
        if len(score) < MIN_GAMMAS:
            continue
        out["gammaness"][i] = np.quantile(score, 1 - efficiency)
        above = score >= out["gammaness"][i]
        out["theta_deg"][i] = np.quantile(theta[above], containment)
        out["gamma_efficiency"][i], out["theta_efficiency"][i] = efficiency, containment
        out["evaluable"][i] = True
    return Cuts(np.asarray(edges), **out)


def optimised_cuts(samples, weights, name, ring, min_bkg_mc=10, alpha=ALPHA, edges=RECO_EDGES):
    """Cuts of the best sensitivity, among those that leave enough background to know it.

    Without a least number of simulated background events the search ends at cuts that happen to
    leave none, and reports sensitivities up to twenty times too good.  Evaluate the cuts on other
    showers than these.

    Parameters
    ----------
    samples : dict of str to Sample
        ``gamma``, ``proton`` and any more background.
    weights : dict of str to ndarray
        Expected events in the observation time: of half of the showers, twice their weights.
    name : str
        Of the reconstruction.
    ring : tuple of float, deg
        Offsets of the reconstructed direction between which background is taken.
    min_bkg_mc : int
        Protons of the ring that have to pass. Electrons do not count: a hundred of them say
        nothing about the protons that a cut leaves.
    alpha : float
    edges : array_like, shape (n_bins + 1,), TeV

    Returns
    -------
    Cuts

    Raises
    ------
    IRFError
        No gammas or protons, no such reconstruction, or a ring that is none.
    """
    if not 0 <= ring[0] < ring[1]:
        raise IRFError(f"background ring {ring[0]:g} to {ring[1]:g} deg is none; give rising edges")
    cuts = efficiency_cuts(samples, weights, name, edges=edges)
    cuts.evaluable[:] = False
    gammas = dict(_by_bin(samples, weights, name, SIGNAL, edges))
    protons = dict(_by_bin(samples, weights, name, "proton", edges, ring))
    others = [k for k in samples if k not in (SIGNAL, "gamma_diffuse", "proton")]
    others = [dict(_by_bin(samples, weights, name, k, edges, ring)) for k in others]
    for i in gammas:
        if len(gammas[i][0]) >= MIN_GAMMAS:
            background = [protons[i], *(o[i] for o in others)]
            _optimise_bin(cuts, i, gammas[i], background, solid_angle(*ring), min_bkg_mc, alpha)
    return cuts


def _optimise_bin(cuts, i, gammas, background, ring_sr, min_bkg_mc, alpha):
    """Put the best trial cut into bin ``i``, if one is admissible."""
    scores, radii, signal, n_gamma = _trials(*gammas)
    passing = [_passing(score, weight, scores) for score, _, weight in background]
    n_mc = passing[0][0]
    per_sr = sum(weight for _, weight in passing)[:, None] / ring_sr
    excess = excess_limit(per_sr * solid_angle(0.0, radii) / alpha, alpha)
    admissible = (n_mc[:, None] >= min_bkg_mc) & (n_gamma >= MIN_GAMMAS) & (signal > 0)
    if not admissible.any():
        return
    relative = np.divide(excess, signal, out=np.full(signal.shape, np.inf), where=admissible)
    row, column = np.unravel_index(np.argmin(relative), relative.shape)
    cuts.gammaness[i], cuts.theta_deg[i] = scores[row], radii[row, column]
    cuts.gamma_efficiency[i] = EFFICIENCIES[row]
    cuts.theta_efficiency[i] = CONTAINMENTS[column]
    cuts.n_bkg_mc[i] = n_mc[row]
    cuts.evaluable[i] = True


def _trials(score, theta, weight):
    """Trial cuts and the gammas that pass.

    Returns
    -------
    scores : ndarray, shape (n_efficiencies,)
    radii, signal, n : ndarray, shape (n_efficiencies, n_containments)
    """
    order = np.argsort(theta, kind="stable")
    score, theta, weight = score[order], theta[order], weight[order]
    scores = np.quantile(score, 1 - EFFICIENCIES)
    radii = np.empty((len(EFFICIENCIES), len(CONTAINMENTS)))
    signal, n = np.empty_like(radii), np.empty(radii.shape, dtype=np.int64)
    for row, cut in enumerate(scores):
        above = score >= cut
        left = theta[above]
        radii[row] = np.quantile(left, CONTAINMENTS)
        n[row] = np.searchsorted(left, radii[row], "right")
        signal[row] = np.append(0, np.cumsum(weight[above]))[n[row]]
    return scores, radii, signal, n


def _passing(score, weight, cuts):
    """Number and weight of the events at or above each cut."""
    order = np.argsort(score, kind="stable")
    first = np.searchsorted(score[order], cuts, "left")
    from_here = np.append(np.cumsum(weight[order][::-1])[::-1], 0)
    return len(score) - first, from_here[first]


def _by_bin(samples, weights, name, kind, edges, ring=None):
    """Yield (bin, (gammaness, theta, weight)) of the events of one kind, for all bins."""
    if kind not in samples:
        raise IRFError(f"cuts: no {kind} sample among {', '.join(samples)}; give one")
    sample = samples[kind]
    if name not in sample.reconstructions:
        known = ", ".join(sample.reconstructions)
        raise IRFError(f"{kind}: no reconstruction {name!r}; choose one of {known}")
    found = sample.reconstructions[name]
    use = found.valid & sample.quality & (weights[kind] > 0)
    if ring is not None:
        use &= (found.offset >= ring[0]) & (found.offset < ring[1])
    rows = np.flatnonzero(use)
    rows = rows[np.argsort(found.energy[rows], kind="stable")]
    starts = np.searchsorted(found.energy[rows], edges, "left")
    for i, (start, stop) in enumerate(pairwise(starts)):
        inside = rows[start:stop]
        yield i, (found.gammaness[inside], found.theta[inside], weights[kind][inside])


def _nothing(edges):
    """Columns of cuts that nothing passes."""
    n = len(edges) - 1
    names = ("gammaness", "theta_deg", "gamma_efficiency", "theta_efficiency")
    out = {k: np.full(n, np.nan) for k in names}
    return out | {"n_bkg_mc": np.zeros(n, np.int64), "evaluable": np.zeros(n, bool)}
