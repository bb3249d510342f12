"""Numbers of other programs and of theory that the simulation is measured against."""

import numpy as np
from scipy.integrate import trapezoid

__all__ = [
    "CORSIKA_LIGHT",
    "CRITICAL_ENERGY",
    "MUON_LIGHT",
    "NUCLEAR_PRODUCTION",
    "PROD_3",
    "SIBYLL",
    "SIBYLL_COLUMNS",
    "THROUGHPUT",
    "tamm_belenky",
]

#: Meaning of the columns of `SIBYLL`: energies in GeV, cross sections in mb; the others as in
#: `validation.collision_statistics`.
SIBYLL_COLUMNS = (
    "projectile", "energy", "sigma", "leading", "nucleons", "pions", "kaons", "em", "charged", "pt",
)  # fmt: skip

#: Collisions with nitrogen of SIBYLL 2.3d (chromo 0.11.0, 4000 for each row, seed 1).
SIBYLL = (
    ("proton", 100, 289.5, 0.387, 0.425, 0.29, 0.057, 0.203, 4.74, 0.379),
    ("proton", 1000, 297.6, 0.377, 0.407, 0.274, 0.078, 0.192, 10.86, 0.367),
    ("proton", 10000, 318.5, 0.369, 0.405, 0.272, 0.084, 0.188, 19.29, 0.368),
    ("pi+", 100, 214.8, 0.338, 0.06, 0.605, 0.08, 0.256, 6.11, 0.363),
    ("pi+", 1000, 224.6, 0.346, 0.06, 0.583, 0.095, 0.248, 11.55, 0.36),
    ("pi+", 10000, 245.8, 0.335, 0.067, 0.564, 0.103, 0.246, 19.05, 0.371),
    ("K+", 100, 186.5, 0.308, 0.055, 0.374, 0.357, 0.208, 5.84, 0.371),
    ("K+", 1000, 204.2, 0.298, 0.055, 0.357, 0.356, 0.211, 11.51, 0.362),
    ("K+", 10000, 226.1, 0.287, 0.059, 0.348, 0.348, 0.214, 18.88, 0.372),
)

#: Production cross sections (mb) of nuclei on nitrogen at 1 TeV per nucleon, SIBYLL 2.3d; that
#: of protons is 277 where the inelastic one, which is simulated, is 298.
NUCLEAR_PRODUCTION = {1: 277.2, 4: 490.8, 12: 874.5, 14: 924.6, 16: 1024.9, 28: 1329.1, 56: 1788.2}

#: All Cherenkov photons of gamma-ray showers in public CORSIKA files (the "profile" blocks of
#: sim_telarray): energy (GeV), zenith distance (deg), depth of maximum (g/cm²), photons per GeV
#: between 240 and 900 nm, charged particles above 20 MeV that are no electrons (fraction).  The
#: sixth lost energy to a collision of a photon with a nucleus, as its last number tells.
CORSIKA_LIGHT = (
    (200.0, 20.0, 205, 8.405e4, 0.0),
    (194.6, 22.8, 279, 8.682e4, 0.0),
    (803.2, 21.3, 343, 9.130e4, 0.003),
    (75.0, 20.0, 154, 7.809e4, 0.0),
    (100.0, 40.0, 280, 8.344e4, 0.0),
    (1296.4, 20.2, 282, 7.791e4, 0.067),
    (1368.6, 20.0, 421, 9.308e4, 0.001),
    (1000.0, 20.0, 395, 9.305e4, 0.0),
)

#: What public images ask of ``optics.NORMALISATION``, value and error, as printed by
#: ``examples/measure_light_yield.py --showers 200``.  The first is one shower, divided by 0.88: it
#: (the sixth of `CORSIKA_LIGHT`) shines 12 % less than its kind.  The second has mirrors degraded
#: to 0.80.  The third has other mirrors, photo-sensors, entrance window and air.
THROUGHPUT = {
    "prod-5, 1.3 TeV shower": (0.81, 0.10),
    "prod-6, three showers": (0.51, 0.05),
    "prod-3, 33 muons": (0.92, 0.04),
}

#: Vertical muons of 100 GeV beside an LST of prod-3: distance (m) and photo-electrons.
MUON_LIGHT = ((1.24, 3916), (4.32, 3976), (8.82, 3370))
PROD_3 = 0.93  # normalisation that they are compared at

CRITICAL_ENERGY = 0.086  # GeV, of electrons in air


def tamm_belenky(energy):
    """Path of electrons and positrons above an energy, in a shower of photons.

    Parameters
    ----------
    energy : float
        GeV, far below that of the primary.

    Returns
    -------
    float
        Radiation lengths per GeV of the primary.

    References
    ----------
    Tamm and Belenky 1939 (Approximation B); Rossi 1952, "High-Energy Particles".
    """
    x = 2.3 * energy / CRITICAL_ENERGY
    # the exponential integral E1(x) exp(x) as an integral over 1 / (x + t)
    t = np.linspace(0, 40, 400_001)
    return float((1 - x * trapezoid(np.exp(-t) / (x + t), t)) / CRITICAL_ENERGY)
