"""Simulated images against real sim_telarray images of the same showers.

    python examples/compare_simulation.py --simtel FOLDER [--output FOLDER] [--showers 40]

``FOLDER`` holds public prod-5 and prod-6 files (gammas, protons and muons; see the docs page on
the simulation).  Each real image is compared with the images of simulated showers of the same
energy, direction and core, seen by the same telescopes, whose depth of maximum is near that of
the real shower.  Charges of both come from the same extractor, images from the same cleaning.
Writes ``pulls.ecsv`` (one row per image and parameter), ``pulls.txt`` and ``pulls.png``.
The images of one shower share its fluctuations: read the list of showers before the means.
A pull is (real - mean) / sd of the simulated images: mean 0 and rms 1 if all is well.
"""

import argparse
import warnings
from pathlib import Path

import astropy.units as u
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table
from ctapipe.calib import CameraCalibrator
from ctapipe.containers import ArrayEventContainer, DL1CameraContainer
from ctapipe.image import ImageProcessor
from ctapipe.io import EventSource
from traitlets.config import Config

from ctapipe_gammalearn.io.shower_arrays import array_of_subarray
from ctapipe_gammalearn.simulation.data_like import DataLike
from ctapipe_gammalearn.simulation.events import Simulator
from ctapipe_gammalearn.simulation.run import PRIMARIES, RunConfig
from ctapipe_gammalearn.simulation.sampling import unit_vector

# file name (start), mirror and camera throughput relative to prod-5
SHOWERS = [
    ("history_meta_75", 1.0),
    ("camsettings_v6", 0.8),
    ("gamma_prod6_tel_event_header_v4", 0.8),
    ("gamma_diffuse_run000010", 0.8),
    ("proton_run000001", 0.8),
]
MUONS = [("lst_muons.", 1.0), ("lst_muons_with_true_photons", 1.0)]
PARAMETERS = ["log10_intensity", "width", "length", "slope", "log10_pixels", "distance"]
RING = ["log10_intensity", "log10_pixels", "width", "length", "distance"]
X_MAX_WINDOW, MOST_TRIES = 50.0, 12  # g/cm²; tries per accepted shower
X_MAX_SHIFT = 30.0  # particles above the Cherenkov threshold are most numerous that much earlier
FEWEST = 8  # simulated images of a telescope that make a distribution

CONFIG = Config({
    "CameraCalibrator": {"image_extractor_type": "LocalPeakWindowSum"},
    "LocalPeakWindowSum": {"window_width": 8, "window_shift": 4},
    "ImageProcessor": {"image_cleaner_type": "TailcutsImageCleaner"},
    "TailcutsImageCleaner": {
        "picture_threshold_pe": [("type", "*", 8.0)],
        "boundary_threshold_pe": [("type", "*", 4.0)],
        "min_picture_neighbors": [("type", "*", 2)],
    },
})  # fmt: skip


def numbers(dl1):
    """Compared quantities of an image (p.e., deg, ns/deg), or None."""
    p = dl1.parameters
    if p is None or not np.isfinite(p.hillas.width.value) or p.hillas.intensity < 40:
        return None
    return {
        "log10_intensity": np.log10(p.hillas.intensity),
        "width": p.hillas.width.to_value(u.deg),
        "length": p.hillas.length.to_value(u.deg),
        "slope": abs(p.timing.slope.value),
        "log10_pixels": np.log10(p.morphology.n_pixels),
        "distance": p.hillas.r.to_value(u.deg),
    }


def open_simtel(path, n):
    """Source of the first ``n`` events of a simtel file."""
    for choice in ("EFFECTIVE", "EQUIVALENT"):
        try:
            return EventSource(path, focal_length_choice=choice, max_events=n)
        except RuntimeError:
            if choice == "EQUIVALENT":
                raise
    raise AssertionError


def real_events(path, n):
    """Yield (subarray, event with parameters) of a simtel file."""
    with open_simtel(path, n) as source:
        calibrate = CameraCalibrator(source.subarray, config=CONFIG)
        process = ImageProcessor(source.subarray, config=CONFIG)
        for event in source:
            calibrate(event)
            process(event)
            yield source.subarray, event


def run_of(event, throughput):
    """Run description with the pointing and primary of a real event."""
    pointing = event.monitoring.pointing
    names = {number: name for name, number in PRIMARIES.items()}
    primary = names[int(event.simulation.shower.shower_primary_id)]
    return RunConfig(
        primary=primary,
        pointing_alt=pointing.array_altitude.to_value(u.deg),
        pointing_az=pointing.array_azimuth.to_value(u.deg),
        start_altitude=4800.0 if "muon" in primary else None,
        data_like=DataLike(throughput=throughput),
    )


def simulated_image(simulator, hits, tel, seed):
    """DL1 container of the hits of one telescope, or None."""
    if len(hits) < simulator.fewest[tel]:
        return None
    image = simulator.electronics[tel].observe(
        hits[:, 1], hits[:, 2], seed, simulator.responses[tel]
    )
    if image is None:
        return None
    return DL1CameraContainer(image=image.image, peak_time=image.peak_time, is_valid=True)


def simulate(event, subarray, throughput, n):
    """Numbers of the images of ``n`` like showers, by tel_id: lists of dict."""
    shower = event.simulation.shower
    array = array_of_subarray(subarray)
    simulator = Simulator(run_of(event, throughput), array)
    process = ImageProcessor(subarray, config=CONFIG)
    source = unit_vector(shower.alt.to_value(u.rad), shower.az.to_value(u.rad))
    core = np.array([shower.core_x.to_value(u.m), shower.core_y.to_value(u.m), 0.0])
    tels = np.array([array.tel_ids.index(t) for t in event.dl1.tel])
    relative = np.ascontiguousarray(array.positions[tels] - core)
    x_max = shower.x_max.value
    chosen = simulator.run.primary in ("gamma", "proton") and x_max > 0
    found, seed, accepted = {t: [] for t in event.dl1.tel}, 0, 0
    while accepted < n and seed < MOST_TRIES * n:
        seed += 1
        energy = shower.energy.to_value(u.TeV)
        result = simulator.model(energy, source, relative, tels, seed)
        if chosen and abs(result.x_max + X_MAX_SHIFT - x_max) > X_MAX_WINDOW:
            continue
        accepted += 1
        container = ArrayEventContainer()
        for i, tel in enumerate(tels):
            hits = result.hits[result.hits[:, 0] == i]
            dl1 = simulated_image(simulator, hits, tel, 1000 * seed + i)
            if dl1 is not None:
                container.dl1.tel[array.tel_ids[tel]] = dl1
        process(container)
        for tel_id, dl1 in container.dl1.tel.items():
            values = numbers(dl1)
            if values is not None:
                found[tel_id].append(values)
    return found, accepted


def compare(folder, files, names, n, max_events):
    """Rows of the table of pulls."""
    rows = []
    for start, throughput in files:
        for path in sorted(folder.glob(f"{start}*")):
            for subarray, event in real_events(path, max_events):
                found, accepted = simulate(event, subarray, throughput, n)
                print(f"{path.name[:40]} event {event.index.event_id}: {accepted} showers")
                rows += event_rows(path, subarray, event, found, names)
    return rows


def event_rows(path, subarray, event, found, names):
    """Rows of one real event."""
    rows = []
    shower = event.simulation.shower
    for tel_id, dl1 in event.dl1.tel.items():
        real, sample = numbers(dl1), found[tel_id]
        if real is None or len(sample) < FEWEST:
            continue
        for name in names:
            values = np.array([s[name] for s in sample])
            values = values[np.isfinite(values)]
            mean, sd = values.mean(), values.std(ddof=1)
            rows.append({
                "file": path.name.split(".")[0][:31], "event_id": int(event.index.event_id),
                "tel_id": tel_id, "type": subarray.tel[tel_id].type.name,
                "primary": int(shower.shower_primary_id),
                "energy": shower.energy.to_value(u.TeV), "parameter": name, "real": real[name],
                "mean": mean, "sd": sd, "n": len(values), "pull": (real[name] - mean) / sd,
                "quantile": np.mean(values < real[name]),
            })  # fmt: skip
    return rows


def summary(table):
    """Lines of the table of pulls, one per class of images and parameter."""
    yield (
        f"{'images':22s} {'parameter':16s} {'n':>3s} {'mean pull':>15s} {'rms':>7s}"
        "  real / simulated"
    )
    classes = {
        "gamma, LST": (table["primary"] == 0) & (table["type"] == "LST"),
        "gamma, MST": (table["primary"] == 0) & (table["type"] == "MST"),
        "proton, LST": (table["primary"] == 101) & (table["type"] == "LST"),
        "proton, MST": (table["primary"] == 101) & (table["type"] == "MST"),
        "muon, LST": np.isin(table["primary"], [2, -2]),
    }
    for title, chosen in classes.items():
        for name in PARAMETERS:
            rows = table[chosen & (table["parameter"] == name)]
            if not len(rows):
                continue
            pull, n = rows["pull"], len(rows)
            if name.startswith("log10"):
                ratio = 10 ** (rows["real"] - rows["mean"])
            else:
                ratio = rows["real"] / rows["mean"]
            yield (
                f"{title:22s} {name:16s} {n:3d} {pull.mean():7.2f} +- {1 / n**0.5:4.2f}"
                f" {pull.std():7.2f}  {np.median(ratio):5.2f}"
            )


def shower_lines(table):
    """Median ratio of real to simulated charge, one line per real shower."""
    yield "showers: median real / simulated charge of the images (number of images)"
    light = table[(table["parameter"] == "log10_intensity") & (np.abs(table["primary"]) != 2)]
    for key in dict.fromkeys((r["file"], r["event_id"]) for r in light):
        rows = light[(light["file"] == key[0]) & (light["event_id"] == key[1])]
        for kind in ("LST", "MST"):
            ratio = 10 ** (rows["real"] - rows["mean"])[rows["type"] == kind]
            if len(ratio):
                yield (
                    f"{key[0]:32s} {key[1]:6d} {rows['energy'][0]:6.3f} TeV {kind}"
                    f" {np.median(ratio):5.2f} ({len(ratio)})"
                )


def draw(table, path):
    """Pulls by parameter, gammas, protons and muons apart."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.6), sharey=True)
    titles = (("gammas", [0]), ("protons", [101]), ("muons", [2, -2]))
    for ax, (title, ids) in zip(axes, titles, strict=True):
        rows = table[np.isin(table["primary"], ids)]
        for i, name in enumerate(PARAMETERS):
            pull = np.array(rows["pull"][rows["parameter"] == name])
            if len(pull):
                x = i + np.linspace(-0.25, 0.25, len(pull))
                ax.plot(x, np.clip(pull, -6, 6), ".", ms=5, alpha=0.6)
                ax.errorbar(i, pull.mean(), 1 / len(pull) ** 0.5, fmt="ks", ms=5, capsize=4)
        ax.axhspan(-1, 1, color="0.9", zorder=0)
        ax.set_xticks(range(len(PARAMETERS)), PARAMETERS, rotation=30, ha="right")
        ax.set_title(f"{title}: {len({(r['file'], r['event_id'], r['tel_id']) for r in rows})}"
                     " real images")  # fmt: skip
    axes[0].set_ylabel("(real - mean simulated) / sd simulated")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    """Compare, write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simtel", type=Path, required=True, help="folder of the real files")
    parser.add_argument("--output", type=Path, default=Path("comparison"))
    parser.add_argument("--showers", type=int, default=40, help="simulated showers per event")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="ctapipe|astropy|eventio")
    arguments.output.mkdir(exist_ok=True)
    rows = compare(arguments.simtel, SHOWERS, PARAMETERS, arguments.showers, 5)
    rows += compare(arguments.simtel, MUONS, RING, max(FEWEST, arguments.showers // 3), 30)
    table = Table(rows)
    table.write(arguments.output / "pulls.ecsv", overwrite=True)
    text = "\n".join([*summary(table), "", *shower_lines(table)])
    (arguments.output / "pulls.txt").write_text(text + "\n")
    draw(table, arguments.output / "pulls.png")
    print(text)


if __name__ == "__main__":
    main()
