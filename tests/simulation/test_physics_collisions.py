"""Single interactions: hadrons as in SIBYLL, nuclei, decays, conservation laws."""

import numpy as np
import pytest

from ctapipe_gammalearn.simulation import decays, nuclei, particles, validation
from ctapipe_gammalearn.simulation.hadrons import LEAST_LEFT, air_cross_section, collide
from ctapipe_gammalearn.simulation.particles import CHARGE, HADRON_CUT, MASS, PROTON
from ctapipe_gammalearn.simulation.reference import NUCLEAR_PRODUCTION, SIBYLL, SIBYLL_COLUMNS

KINDS = {"proton": PROTON, "pi+": particles.PION_P, "K+": particles.KAON_P}


@pytest.mark.parametrize("row", SIBYLL, ids=lambda row: f"{row[0]}-{row[1]}GeV")
def test_collisions_resemble_sibyll_within_ten_percent(row):
    expected = dict(zip(SIBYLL_COLUMNS, row, strict=True))
    kind, energy = KINDS[expected["projectile"]], float(expected["energy"])
    found = validation.collision_statistics(kind, energy, 3000)
    found["sigma"] = air_cross_section(kind, energy)
    for name in ("sigma", "leading", "em", "charged", "pt"):
        assert found[name] == pytest.approx(expected[name], rel=0.10), name
    # the smaller shares of the energy: within 10 % or one percent of the projectile's energy
    for name in ("nucleons", "pions", "kaons"):
        assert found[name] == pytest.approx(expected[name], rel=0.10, abs=0.025), name


@pytest.mark.parametrize("kind", list(KINDS.values()), ids=list(KINDS))
def test_collisions_keep_the_charge_and_hand_out_at_most_the_energy(kind):
    energy = 500.0
    events, balances = validation.products(collide, kind, energy, 300)
    sums = np.array([event[:, 1].sum() for event in events])
    assert sums.max() <= energy * (1 + 1e-9)
    assert np.abs(balances).max() <= 1  # the struck nucleon takes it
    # what is missing went to hadrons below the cut and to what is left of the stick
    assert np.mean(energy - sums) < 20 * (HADRON_CUT + LEAST_LEFT)
    assert np.mean(sums) > 0.95 * energy


@pytest.mark.parametrize("kind", [particles.KAON_P, particles.KAON_S, particles.KAON_L])
def test_decays_conserve_energy_up_to_neutrinos(kind):
    def once(kind, energy, ray, shower):
        decays.decay(kind, energy, ray, shower)

    events, _ = validation.products(once, kind, 1e4, 400)
    sums = np.array([event[:, 1].sum() for event in events])
    assert sums.max() <= 1e4 * (1 + 1e-9)
    if kind == particles.KAON_S:
        np.testing.assert_allclose(sums, 1e4, rtol=0.02)
    assert 0.4 < sums.mean() / 1e4 <= 1


def test_charged_kaons_decay_into_their_sign():
    def once(kind, energy, ray, shower):
        decays.decay(kind, energy, ray, shower)

    for kind in (particles.KAON_P, particles.KAON_M, particles.PION_P, particles.PION_M):
        for event in validation.products(once, kind, 1e4, 200)[0]:
            assert CHARGE[event[:, 0].astype(int)].sum() == CHARGE[kind]


def test_pions_share_the_energy_with_the_neutrino_as_kinematics_demands():
    events, _ = validation.products(
        lambda k, e, ray, shower: decays.decay(k, e, ray, shower), particles.PION_P, 1e3, 2000
    )
    share = np.array([event[0, 1] for event in events]) / 1e3
    ratio = (MASS[particles.MUON_P] / MASS[particles.PION_P]) ** 2
    assert share.min() == pytest.approx(ratio, abs=0.005)
    assert share.max() == pytest.approx(1.0, abs=0.005)
    assert share.mean() == pytest.approx((1 + ratio) / 2, abs=0.01)


@pytest.mark.parametrize("a", list(NUCLEAR_PRODUCTION))
def test_nuclear_cross_sections_follow_sibyll(a):
    found, wounded = validation.nuclear_collisions(a, 1000.0, 20_000)
    protons = air_cross_section(PROTON, 1000.0)
    # inelastic: a tenth above production for protons, less for large nuclei
    assert found == pytest.approx(NUCLEAR_PRODUCTION[a] * 1.05, rel=0.10)
    # Glauber: the mean number of wounded nucleons is A sigma_p / sigma_A
    assert wounded == pytest.approx(a * protons / found, rel=0.03)


@pytest.mark.parametrize(("kind", "n_wounded"), [(402, 1), (402, 4), (1407, 3), (5626, 9)])
def test_nuclei_break_into_all_their_nucleons(kind, n_wounded):
    energy = 1000.0 * (kind // 100)

    def once(kind, energy, ray, shower):
        return nuclei.break_up(kind, energy, n_wounded, ray, shower)

    events, fragments = validation.products(once, kind, energy, 200)
    for event in events:
        spectators = event[event[:, 2] < 1e-3]
        clusters = spectators[spectators[:, 0] >= particles.NUCLEUS][:, 0].astype(int)
        assert (clusters // 100).sum() <= kind // 100 - n_wounded
        assert (clusters % 100).sum() <= kind % 100
        assert event[:, 1].sum() <= energy * (1 + 1e-9)
    assert max(fragments) == kind // 100 - n_wounded if n_wounded < 4 else True
