"""Electromagnetic cross sections of air, tabulated in ln(E / GeV).

Bethe-Heitler pair production and bremsstrahlung with Thomas-Fermi screening, normalised to
the radiation length at complete screening; Klein-Nishina; Møller and Bhabha as 1/T².

References
----------
Butcher and Messel 1960, doi:10.1016/0029-5582(60)90162-0 (screening functions as in EGS4).
Particle Data Group, "Passage of particles through matter" (radiation length).
"""

import numpy as np
from scipy.integrate import trapezoid

__all__ = ["BHABHA", "BREMS", "COMPTON", "MOLLER", "N_COLUMNS", "PAIR", "SOFT_LOSS", "tables"]

X0 = 36.66  # g/cm², radiation length of air
M_E = 0.51099895e-3  # GeV
Z_AIR = 7.37
SCREEN = 136.0 * Z_AIR ** (-1 / 3) * M_E  # GeV
COULOMB = 4 / 3 * np.log(Z_AIR) + 4 * 0.0035
F0 = 20.867 - COULOMB  # at complete screening
K_CUT = 0.020  # GeV: bremsstrahlung and knock-on electrons above are particles of their own
LOGE_MIN, LOGE_MAX, N_E = np.log(0.010), np.log(1e6), 741
KNOCK_ON = 0.1535e-3 * 0.499  # GeV cm²/g: 2 pi r_e² m_e N_A Z/A
THOMSON = 2 * np.pi * 7.9408e-26 * 6.022e23 * 0.499  # cm²/g: 2 pi r_e² N_A Z/A
#: Columns of the table.
PAIR, COMPTON, BREMS, MOLLER, BHABHA, SOFT_LOSS, N_COLUMNS = range(7)


def screening(delta):
    """Screening functions phi_1 and phi_2 less the Coulomb term, not below 0."""
    low, d = delta <= 1, np.minimum(delta, 1)
    high = 21.12 - 4.184 * np.log(np.maximum(delta, 1) + 0.952)
    f1 = np.where(low, 20.867 - 3.242 * d + 0.625 * d**2, high) - COULOMB
    f2 = np.where(low, 20.209 - 1.930 * d - 0.086 * d**2, high) - COULOMB
    return np.maximum(f1, 0), np.maximum(f2, 0)


def pair_production(energy):
    """Total pair production (cm²/g) of a photon (GeV)."""
    low = M_E / energy
    x = low + (1 - 2 * low) * np.linspace(0.5e-3, 1 - 0.5e-3, 1000)
    f1, f2 = screening(SCREEN / (energy * x * (1 - x)))
    return trapezoid((x**2 + (1 - x) ** 2) * f1 + 2 / 3 * x * (1 - x) * f2, x) / F0 / X0


def compton(energy):
    """Klein-Nishina cross section (cm²/g) of a photon (GeV)."""
    k = energy / M_E
    log = np.log(1 + 2 * k)
    total = (1 + k) / k**2 * (2 * (1 + k) / (1 + 2 * k) - log / k)
    return THOMSON * (total + log / (2 * k) - (1 + 3 * k) / (1 + 2 * k) ** 2)


def bremsstrahlung(y, energy):
    """Spectrum y dN/dy per radiation length of the energy fraction ``y`` lost to a photon."""
    f1, f2 = screening(SCREEN * y / (energy * np.maximum(1 - y, 1e-9)))
    return np.maximum((1 + (1 - y) ** 2) * f1 - 2 / 3 * (1 - y) * f2, 0) / F0


def hard_bremsstrahlung(energy):
    """Emission of photons above `K_CUT` (per g/cm²)."""
    if energy <= 1.02 * K_CUT:
        return 0.0
    log_y = np.linspace(np.log(K_CUT / energy), np.log(1 - M_E / energy), 1000)
    return trapezoid(bremsstrahlung(np.exp(log_y), energy), log_y) / X0


def soft_loss(energy):
    """Mean loss to photons below `K_CUT` (GeV cm²/g)."""
    top = min(K_CUT / energy, 1 - M_E / energy)
    log_y = np.linspace(np.log(1e-4 * K_CUT / energy), np.log(top), 300)
    y = np.exp(log_y)
    return trapezoid(bremsstrahlung(y, energy) * y, log_y) * energy / X0


def tables():
    """All cross sections.

    Returns
    -------
    ndarray, shape (741, 6)
        By ln(E/GeV) from ln(0.01) to ln(1e6): interactions per g/cm² (`PAIR`, `COMPTON`,
        `BREMS`, `MOLLER`, `BHABHA`) and GeV cm²/g (`SOFT_LOSS`).
    """
    out = np.zeros((N_E, N_COLUMNS))
    for row, energy in zip(out, np.exp(np.linspace(LOGE_MIN, LOGE_MAX, N_E)), strict=True):
        row[PAIR], row[COMPTON] = pair_production(energy), compton(energy)
        row[BREMS], row[SOFT_LOSS] = hard_bremsstrahlung(energy), soft_loss(energy)
        # electrons are alike: the softer one is called the knock-on
        row[MOLLER] = KNOCK_ON * (1 / K_CUT - 2 / energy) if energy > 2.05 * K_CUT else 0.0
        row[BHABHA] = KNOCK_ON * (1 / K_CUT - 1 / energy) if energy > 1.05 * K_CUT else 0.0
    return out
