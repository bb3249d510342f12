"""Light of real sim_telarray images against simulated ones: what it asks of the normalisation.

    python examples/measure_light_yield.py --simtel FOLDER [--showers 40]

``FOLDER`` holds public files of prod-3, prod-5 and prod-6.  For each real event the true
photo-electrons of its LSTs are divided by those of simulated events with the same energy,
direction and core: for gammas at the same depth of maximum, on the line through showers within
50 g/cm² of it, for muons by their median.  No image is made, so neither trigger nor extraction
matter.  Prints the value of ``optics.NORMALISATION`` that each event asks for, with the
fluctuation of simulated showers as its error, and the mean of each production.
"""

import argparse
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from compare_simulation import MOST_TRIES, X_MAX_SHIFT, X_MAX_WINDOW, open_simtel, run_of
from validate_simulation import central_width

from ctapipe_gammalearn.io.shower_arrays import array_of_subarray
from ctapipe_gammalearn.simulation.events import Simulator
from ctapipe_gammalearn.simulation.optics import NORMALISATION
from ctapipe_gammalearn.simulation.reference import THROUGHPUT
from ctapipe_gammalearn.simulation.sampling import unit_vector

# production, start of the file name, correction of the real light, why
FILES = [
    ("prod-5", "history_meta_75", 1 / 0.88, "photonuclear collision, shines 12 % less"),
    ("prod-6", "camsettings_v6", 1.0, ""),
    ("prod-6", "gamma_prod6_tel_event_header_v4", 1.0, ""),
    ("prod-6", "gamma_diffuse_run000010", 1.0, ""),
    ("prod-3 muons", "lst_muons.", 1.0, ""),
    ("prod-3 muons", "lst_muons_with_true_photons", 1.0, ""),
]
FEWEST = 8  # showers that make a mean
FEWEST_PE = 50  # of a real event


def lst_light(event, subarray):
    """True photo-electrons of the triggered LSTs by tel_id."""
    return {
        tel_id: float(camera.true_image.sum())
        for tel_id, camera in event.simulation.tel.items()
        if subarray.tel[tel_id].type.name == "LST" and camera.true_image is not None
    }


def simulated_light(event, subarray, tel_ids, n):
    """Photo-electrons in the same telescopes of like showers, and sd; None if too few."""
    shower = event.simulation.shower
    array = array_of_subarray(subarray)
    simulator = Simulator(run_of(event, 1.0), array)
    source = unit_vector(shower.alt.to_value(u.rad), shower.az.to_value(u.rad))
    core = np.array([shower.core_x.to_value(u.m), shower.core_y.to_value(u.m), 0.0])
    tels = np.array([array.tel_ids.index(t) for t in tel_ids])
    relative = np.ascontiguousarray(array.positions[tels] - core)
    energy, x_max = shower.energy.to_value(u.TeV), shower.x_max.value
    chosen = simulator.run.primary == "gamma"
    rows = []
    for seed in range(1, MOST_TRIES * n + 1):
        result = simulator.model(energy, source, relative, tels, seed)
        deeper = result.x_max + X_MAX_SHIFT - x_max if chosen else 0.0
        if abs(deeper) <= X_MAX_WINDOW:
            rows.append((deeper, len(result.hits)))
        if len(rows) == n:
            break
    if len(rows) < FEWEST:
        return None
    deeper, light = np.array(rows, dtype=float).T
    if not chosen:  # few muons make bright showers
        return np.median(light), central_width(light)
    line = np.polyfit(deeper, light, 1)
    return line[1], np.std(light - np.polyval(line, deeper), ddof=2)


def anchors(folder, n, max_events):
    """Yield (production, name of the event, asked normalisation, error)."""
    for production, start, correction, note in FILES:
        for path in sorted(folder.glob(f"{start}*")):
            with open_simtel(path, max_events) as source:
                for event in source:
                    real = lst_light(event, source.subarray)
                    if sum(real.values()) < FEWEST_PE:
                        continue
                    found = simulated_light(event, source.subarray, real, n)
                    if found is None:
                        continue
                    light, sd = found
                    asked = NORMALISATION * correction * sum(real.values()) / light
                    error = asked * sd / light
                    energy = event.simulation.shower.energy.to_value(u.GeV)
                    name = f"{path.name[:23]} {event.index.event_id}, {energy:.0f} GeV"
                    yield production, f"{name}, {len(real)} LST {note}", asked, error


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simtel", type=Path, required=True, help="folder of the real files")
    parser.add_argument("--showers", type=int, default=40, help="simulated showers per event")
    parser.add_argument("--events", type=int, default=30, help="most real events per file")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="ctapipe|astropy|eventio")
    results = {}
    for production, name, asked, error in anchors(
        arguments.simtel, arguments.showers, arguments.events
    ):
        print(f"{production:13s} {asked:5.2f} ± {error:4.2f}  {name}", flush=True)
        results.setdefault(production, []).append((asked, error))
    print(f"\nasked of optics.NORMALISATION = {NORMALISATION}:")
    for production, values in results.items():
        asked, error = np.array(values).T
        weight = (asked / error) ** 2  # errors are relative
        mean = float(np.average(asked, weights=weight))
        spread = asked.std(ddof=1) / len(asked) ** 0.5 if len(asked) > 1 else np.nan
        print(
            f"{production:13s} {mean:5.2f} ± {mean * weight.sum() ** -0.5:4.2f} (showers)"
            f" ± {spread:4.2f} (spread of {len(asked)} events)"
        )
    print("stored: " + ", ".join(f"{k} {v} ± {e}" for k, (v, e) in THROUGHPUT.items()))


if __name__ == "__main__":
    main()
