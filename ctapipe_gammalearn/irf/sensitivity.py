"""Significance, and the faintest source seen with it."""

import astropy.units as u
import numpy as np
from scipy.special import kl_div

__all__ = [
    "ALPHA",
    "energy_flux",
    "excess_limit",
    "li_ma_significance",
    "sensitivity",
    "significance_limit",
]

#: size of the region of the source over that of the background: five such regions
ALPHA = 0.2
ENERGY_FLUX_UNIT = u.erg / (u.cm**2 * u.s)
#: events that make a detection, however few the background
MIN_EXCESS = 10.0
#: part of the background that an excess must be
SYSTEMATICS = 0.05
# halvings of the interval of the root: beyond the digits of a float
N_BISECTIONS = 80


def li_ma_significance(n_on, n_off, alpha=ALPHA):
    """Significance of an excess, negative for a deficit.

    Parameters
    ----------
    n_on, n_off : array_like, broadcast together
        Counts, also weighted ones; 0 is allowed, NaN gives NaN.
    alpha : float or array_like
        Exposure of the on over that of the off counts.

    Returns
    -------
    ndarray, standard deviations

    References
    ----------
    Li & Ma 1983, https://doi.org/10.1086/161295, equation 17.
    """
    n_on, n_off = np.asarray(n_on, dtype=np.float64), np.asarray(n_off, dtype=np.float64)
    expected_off = (n_on + n_off) / (1 + alpha)
    # kl_div(x, y) = x ln(x / y) - x + y: the linear terms of both cancel
    half = kl_div(n_on, alpha * expected_off) + kl_div(n_off, expected_off)
    return np.sign(n_on - alpha * n_off) * np.sqrt(2 * np.maximum(half, 0))


def significance_limit(n_off, alpha=ALPHA, n_sigma=5.0):
    """Excess that reaches a significance, by bisection.

    Parameters
    ----------
    n_off : array_like
        Counts of all off regions; any shape, 0 allowed, NaN gives NaN.
    alpha : float
    n_sigma : float

    Returns
    -------
    ndarray, shape of ``n_off``
    """
    n_off = np.asarray(n_off, dtype=np.float64)
    background = alpha * n_off
    low = np.zeros_like(n_off)
    # no background needs n²/2 / ln(1 + 1/α), much of it n √(B (1 + α)): both far below this
    high = 10 * n_sigma * np.sqrt(background * (1 + alpha)) + 8 * n_sigma**2 * (1 + alpha)
    for _ in range(N_BISECTIONS):
        middle = (low + high) / 2
        enough = li_ma_significance(middle + background, n_off, alpha) >= n_sigma
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high


def excess_limit(n_off, alpha=ALPHA, n_sigma=5.0, min_excess=MIN_EXCESS, syst=SYSTEMATICS):
    """Smallest excess that counts as a detection.

    Parameters
    ----------
    n_off : array_like
        Counts of all off regions; any shape, 0 allowed, NaN gives NaN.
    alpha : float
    n_sigma : float
    min_excess : float
        Events.
    syst : float
        Excess over background.

    Returns
    -------
    ndarray, shape of ``n_off``
        The largest of the three, CTAO's conditions.
    """
    limit = significance_limit(n_off, alpha, n_sigma)
    return np.maximum(limit, _least_events(n_off, alpha, min_excess, syst))


def sensitivity(signal, background, alpha=ALPHA, n_mc=None):
    """Faintest detectable source, in units of the one that gave ``signal``.

    Parameters
    ----------
    signal : array_like
        Events of the reference source in the observation time, after all cuts.
    background : array_like, shape of ``signal``
        Events in the region of the source: ``alpha`` times those of all off regions.
    alpha : float
    n_mc : array_like of int, broadcast to ``signal``, optional
        Simulated background events behind ``background``.

    Returns
    -------
    relative : ndarray
        Flux; infinite without signal, NaN where an input is.
    limited_by : ndarray of str
        ``significance``, ``events`` (10), ``systematics`` (5 % of the background), or
        ``no_mc_background`` where ``n_mc`` is 0: then the background is a guess; '' without
        a finite flux.
    """
    signal, background = np.asarray(signal, np.float64), np.asarray(background, np.float64)
    n_off = background / alpha
    significant, events = significance_limit(n_off, alpha), _least_events(n_off, alpha)
    excess = np.maximum(significant, events)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(signal > 0, excess / signal, np.where(np.isnan(signal), np.nan, np.inf))
    relative = np.where(np.isnan(excess), np.nan, relative)
    limited_by = np.select(
        [
            ~np.isfinite(relative),
            np.broadcast_to(False if n_mc is None else np.asarray(n_mc) == 0, relative.shape),
            significant >= events,
            excess > MIN_EXCESS,
        ],
        ["", "no_mc_background", "significance", "systematics"],
        "events",
    )
    return relative, limited_by


def _least_events(n_off, alpha, min_excess=MIN_EXCESS, syst=SYSTEMATICS):
    """Excess below which there is no detection, however significant."""
    return np.maximum(min_excess, syst * alpha * np.asarray(n_off, dtype=np.float64))


def energy_flux(spectrum, energy):
    """E² times a spectrum, by which a relative sensitivity becomes one in absolute units.

    Parameters
    ----------
    spectrum : callable
        Of a point source, from an energy (Quantity) to a flux.
    energy : ndarray, shape (n,), TeV

    Returns
    -------
    ndarray, shape (n,), erg / (cm2 s)
    """
    energy = np.asarray(energy) * u.TeV
    return (energy**2 * spectrum(energy)).to_value(ENERGY_FLUX_UNIT)
