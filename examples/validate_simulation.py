"""Validate the shower simulation: a table of numbers with tolerance and origin, and figures.

Usage: python examples/validate_simulation.py OUTPUT_FOLDER [--only GROUP ...] [--quick]

Writes ``validation.ecsv`` and one PNG per figure.  A group is a function that returns rows;
`GROUPS` lists them.
"""

import argparse
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table

from ctapipe_gammalearn.simulation import particles, validation
from ctapipe_gammalearn.simulation.array import built_in_array
from ctapipe_gammalearn.simulation.cross_sections import X0
from ctapipe_gammalearn.simulation.hadrons import air_cross_section
from ctapipe_gammalearn.simulation.model import ShowerModel
from ctapipe_gammalearn.simulation.optics import NORMALISATION
from ctapipe_gammalearn.simulation.reference import (
    CORSIKA_LIGHT,
    CRITICAL_ENERGY,
    MUON_LIGHT,
    NUCLEAR_PRODUCTION,
    PROD_3,
    SIBYLL,
    SIBYLL_COLUMNS,
    tamm_belenky,
)
from ctapipe_gammalearn.simulation.run import RunConfig

matplotlib.use("Agg")

KINDS = {"proton": particles.PROTON, "pi+": particles.PION_P, "K+": particles.KAON_P}
SIBYLL_ORIGIN = "SIBYLL 2.3d on N, 4000 collisions (chromo 0.11.0)"


@dataclass
class Row:
    """A number: here, expected, largest allowed difference, where the expectation is from."""

    group: str
    quantity: str
    here: float
    error: float
    expected: float
    tolerance: float
    origin: str

    @property
    def good(self):
        """Whether the number is within its tolerance (and two statistical errors)."""
        return abs(self.here - self.expected) <= self.tolerance + 2 * self.error


def interactions(folder, scale):
    """Mean free path of pair production and depth of the first interaction."""
    expected = {0.03: 2.11, 0.1: 1.44, 1.0: 1.077, 10.0: 1.016, 100.0: 1.008, 1000.0: 1.0}
    for energy, value in expected.items():
        path = validation.interaction_path(energy) / (9 / 7 * X0)
        origin = "9/7 X0 at high energy; prototype below 1 TeV"
        yield Row("", f"pair path / (9/7 X0), {energy:g} GeV", path, 0, value, 0.02 * value, origin)
    first, _ = validation.depths(30.0, int(4000 * scale))
    error = first.std() / np.sqrt(len(first))
    yield Row("", "first interaction, g/cm2", first.mean(), error, 9 / 7 * X0, 2.0, "9/7 X0")


def cascades(folder, scale):
    """Depth of maximum against energy, and track length against cascade theory."""
    found = {}
    for energy, n in ((30.0, 400), (100.0, 400), (1000.0, 150), (10_000.0, 20)):
        maximum = validation.depths(energy, max(int(n * scale), 5))[1]
        found[energy] = maximum.mean(), maximum.std() / np.sqrt(len(maximum))
        theory = X0 * (np.log(energy / 0.085) + 0.5)
        origin = "X0 (ln(E / 85 MeV) + 1/2); tracks above threshold peak 20-40 g/cm2 earlier"
        yield Row("", f"<Xmax> {energy:g} GeV, g/cm2", *found[energy], theory - 30, 20, origin)
    step = found[1000.0][0] - found[100.0][0]
    error = np.hypot(found[1000.0][1], found[100.0][1])
    yield Row("", "<Xmax>(1 TeV) - <Xmax>(0.1 TeV)", step, error, X0 * np.log(10), 15, "X0 ln 10")
    above = (0.0201, 0.036, 0.081, 0.199, 0.402)
    length, error = validation.track_length(300.0, above, max(int(20 * scale), 4))
    for limit, value, sigma in zip(above, length, error, strict=True):
        theory = tamm_belenky(limit)
        name = f"e+- path above {1e3 * limit:.0f} MeV, X0 per GeV"
        yield Row("", name, value, sigma, theory, 0.03 * theory, "Tamm-Belenky, 86 MeV")
    _, axes = plt.subplots()
    energy = np.geomspace(0.02, 0.5, 60)
    axes.plot(1e3 * energy, [tamm_belenky(e) for e in energy], label="Tamm and Belenky")
    axes.errorbar(
        1e3 * np.array(above), length, error, fmt="o", label="simulation, 300 GeV photons"
    )
    axes.set(xscale="log", xlabel="energy / MeV", ylabel="path above it / (X0 per GeV)")
    axes.set_xticks([20, 40, 80, 200, 400], ["20", "40", "80", "200", "400"])
    axes.minorticks_off()
    axes.set_title(f"critical energy {1e3 * CRITICAL_ENERGY:.0f} MeV")
    _save(axes, folder / "track_length.png")


def light_yield(folder, scale):
    """All photons of a shower against CORSIKA showers with the same depth of maximum."""
    ratios, depth = [], []
    for energy, zenith, x_max, photons, hadronic in CORSIKA_LIGHT:
        n = max(int(150 * scale * min(1.0, 300 / energy)), 30)
        mean, sd = validation.photons_per_energy(energy, zenith, x_max, n)
        note, tolerance = "CORSIKA profile block", 0.03 * photons
        if hadronic > 0.02:  # energy of a collision of a photon with a nucleus, lost to light
            note += f"; photonuclear collision, {hadronic:.0%} of its particles are hadrons, muons"
            tolerance = 2 * hadronic * photons
        else:
            ratios.append(photons / mean)
        depth.append((x_max, photons / mean, sd / mean, hadronic > 0.02))
        name = f"photons per GeV, 240-900 nm, {energy:g} GeV, zenith {zenith:g}, Xmax {x_max}"
        yield Row("", name, mean, sd, photons, tolerance, note)
    mean, error = np.nanmean(ratios), np.nanstd(ratios) / np.sqrt(len(ratios))
    yield Row("", "CORSIKA / here, without the photonuclear one", mean, error, 1.0, 0.02, "")
    x, ratio, sd, odd = np.array(depth).T
    _, axes = plt.subplots()
    axes.errorbar(x, ratio, sd, fmt="o")
    axes.plot(x[odd > 0], ratio[odd > 0], "s", ms=12, mfc="none", label="photonuclear collision")
    axes.axhline(1, color="grey")
    axes.set(xlabel="depth of maximum / (g/cm²)", ylabel="photons, CORSIKA / here")
    _save(axes, folder / "light_yield.png")


def light_pool(folder, scale):
    """Photon density on the ground at 100 GeV and 1 TeV."""
    radii = np.array([5, 20, 40, 60, 80, 100, 110, 120, 130, 140, 160, 200, 250.0])
    _, axes = plt.subplots()
    for energy, n in ((100.0, 400), (1000.0, 60)):
        n = max(int(n * scale), 10)
        density, sd = validation.photon_density(energy, radii, n)
        error = sd / np.sqrt(n)
        axes.errorbar(radii, density / energy, error / energy, label=f"{energy:g} GeV")
        if energy == 100.0:
            at = dict(zip(radii, zip(density, error, strict=True), strict=True))
            origin = "order of 10 within 120 m; prototype, 600 showers: 13.9 and 15.1"
            yield Row("", "density at 60 m, 300-600 nm, m-2", *at[60.0], 13.9, 1.0, origin)
            yield Row("", "density at 120 m, m-2", *at[120.0], 15.1, 1.0, origin)
            hump = radii[5:10][density[5:10].argmax()]
            yield Row("", "radius of the hump, m", hump, 0, 120, 10, "Cherenkov cone at maximum")
    axes.set(xlabel="distance / m", ylabel="photons per m² and GeV (300-600 nm)")
    _save(axes, folder / "light_pool.png")


def hadrons(folder, scale):
    """Single collisions against SIBYLL; cross sections of nuclei."""
    names = ("sigma", *SIBYLL_COLUMNS[3:])
    _, axes = plt.subplots(figsize=(9, 5))
    for i, row in enumerate(SIBYLL):
        expected = dict(zip(SIBYLL_COLUMNS, row, strict=True))
        kind, energy = KINDS[expected["projectile"]], float(expected["energy"])
        found = validation.collision_statistics(kind, energy, int(4000 * scale))
        found["sigma"] = air_cross_section(kind, energy)
        for name in names:
            value = expected[name]
            least = 0.025 if name in ("nucleons", "pions", "kaons") else 0.0
            title = f"{expected['projectile']} {energy:g} GeV: {name}"
            tolerance = max(0.1 * value, least)
            yield Row("", title, found[name], 0, value, tolerance, SIBYLL_ORIGIN)
        ratio = [found[name] / expected[name] for name in names]
        axes.plot(np.arange(len(names)) + 0.06 * (i - 4), ratio, "o", label=f"{row[0]} {energy:g}")
    axes.axhspan(0.9, 1.1, alpha=0.2)
    axes.set_xticks(np.arange(len(names)), names)
    axes.set_ylabel("here / SIBYLL 2.3d")
    _save(axes, folder / "hadrons.png")
    for a, production in NUCLEAR_PRODUCTION.items():
        found, _ = validation.nuclear_collisions(a, 1000.0, int(40_000 * scale))
        origin = "SIBYLL 2.3d production + 5 % (inelastic)"
        value = 1.05 * production
        yield Row("", f"A = {a} on air, mb", found, 0, value, 0.1 * value, origin)


def central_width(values):
    """Half of the interval that holds 68 %; the few muons that make showers do not matter."""
    return np.diff(np.quantile(values, [0.16, 0.84]))[0] / 2


def muons(folder, scale):
    """Median photo-electrons of vertical 100 GeV muons beside an LST, against prod-3."""
    model = ShowerModel(RunConfig(primary="muon", pointing_alt=90.0), built_in_array("1LST"))
    model.start_altitude = float(model.scene.atmosphere.altitude_at(570.0))
    up, n = np.array([0.0, 0.0, 1.0]), max(int(300 * scale), 30)
    for distance, expected in MUON_LIGHT:
        place = np.array([[distance, 0.0, 0.0]])
        hits = [len(model(0.1, up, place, np.array([0]), seed).hits) for seed in range(n)]
        light = np.array(hits) * PROD_3 / NORMALISATION
        origin = f"public prod-3 file, one muon; at a normalisation of {PROD_3}"
        name, error = f"p.e. of a muon at {distance} m", central_width(light) / n**0.5
        yield Row("", name, np.median(light), error, expected, 0.1 * expected, origin)


GROUPS = {
    f.__name__: f for f in (interactions, cascades, light_yield, light_pool, hadrons, muons)
}  # fmt: skip


def _save(axes, path):
    """Write a figure with its legend."""
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes.figure.tight_layout()
    axes.figure.savefig(path, dpi=100, bbox_inches="tight")
    plt.close(axes.figure)


def validate(folder, groups, scale):
    """Run the groups and write the table.

    Returns
    -------
    list of Row
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in groups:
        for row in GROUPS[name](folder, scale):
            row.group = name
            rows.append(row)
            verdict, numbers = "ok " if row.good else "BAD", f"{row.here:.4g} ± {row.error:.2g}"
            wanted = f"{row.expected:.4g} ± {row.tolerance:.2g}"
            print(f"{verdict} {name}: {row.quantity}: {numbers}, expected {wanted}")
    names = [f.name for f in fields(Row)]
    table = Table(rows=[astuple(row) for row in rows], names=names)
    table["good"] = [row.good for row in rows]
    table.write(folder / "validation.ecsv", overwrite=True)
    return rows


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--quick", action="store_true", help="a fifth of the statistics")
    options = parser.parse_args()
    rows = validate(options.folder, options.only, 0.2 if options.quick else 1.0)
    bad = sum(not row.good for row in rows)
    print(f"{len(rows)} numbers, {bad} outside their tolerance")


if __name__ == "__main__":
    main()
