"""Particles of the simulation: numbers, masses, charges and lifetimes."""

import numpy as np

__all__ = ["ALPHA_PARTICLE", "CHARGE", "CTAU", "MASS", "PRIMARIES"]

# numpy integers: compiled code then is not made anew for each value
(
    GAMMA, ELECTRON, POSITRON, MUON_M, MUON_P, PION_P, PION_M, PROTON, NEUTRON, PION_0,
    KAON_P, KAON_M, KAON_L, KAON_S, LAMBDA, NEUTRINO, RHO,
) = np.arange(17)  # fmt: skip

#: GeV
MASS = np.array([
    0, 0.00051099895, 0.00051099895, 0.1056584, 0.1056584, 0.1395704, 0.1395704, 0.9382721,
    0.9395654, 0.1349768, 0.493677, 0.493677, 0.497611, 0.497611, 1.115683, 0, 0.775,
])  # fmt: skip
CHARGE = np.array([0, -1, 1, -1, 1, 1, -1, 1, 0, 0, 1, -1, 0, 0, 0, 0, 0])
#: m; 0 for those that do not decay in flight (or at once)
CTAU = np.array([
    0, 0, 0, 658.638, 658.638, 7.8045, 7.8045, 0, 0, 0, 3.711, 3.711, 15.34, 0.02684, 0, 0, 0,
])  # fmt: skip

ALPHA_PARTICLE = np.int64(402)
NUCLEUS = 200  # kinds from here are nuclei: 100 A + Z
NUCLEON_MASS = 0.9315  # GeV, of a bound nucleon
HADRON_CUT, MUON_CUT = 1.0, 4.0  # GeV: kinetic energy of hadrons, total energy of muons

#: Kinds by ctapipe's ``true_shower_primary_id``; nuclei have the same number.
PRIMARIES = {
    0: GAMMA, 1: ELECTRON, -1: POSITRON, 2: MUON_M, -2: MUON_P, 101: PROTON, 100: NEUTRON,
}  # fmt: skip
