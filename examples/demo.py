"""From DL1 images to energy, direction and gammaness: the demonstration of ``make demo``.

Runs ``ctapipe-process --config dl.yaml`` on the simulated events that come with the package,
prints true and reconstructed values and draws the images of one event.
"""

import argparse
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import astropy.units as u
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from astropy.coordinates import AltAz, SkyCoord, angular_separation
from astropy.table import QTable
from ctapipe.coordinates import TelescopeFrame
from ctapipe.io import TableLoader
from ctapipe.visualization import CameraDisplay

RESOURCES = Path(str(files("ctapipe_gammalearn"))) / "resources"
EVENTS = RESOURCES / "demo_events.dl1.h5"
MODEL = RESOURCES / "lst_patch.safetensors"


def process(output):
    """Run ctapipe-process; its own messages appear as they come."""
    options = [
        *("--config", RESOURCES / "dl.yaml", "--input", EVENTS, "--output", output),
        *("--write-images", "--overwrite"),
        f"--provenance-log={output.with_suffix('.provenance.log')}",
        f"--GammaPhysNetReconstructor.model_path={MODEL}",
    ]
    print("$ ctapipe-process", *options, sep=" \\\n    ")
    command = [Path(sys.executable).with_name("ctapipe-process"), *options]
    subprocess.run([str(word) for word in command], check=True)


def event_table(events):
    """True and reconstructed quantities, one row per event."""
    geometry = "GammaPhysNetGeometry"
    error = angular_separation(
        events["true_az"], events["true_alt"], events[f"{geometry}_az"], events[f"{geometry}_alt"]
    )
    table = QTable(
        {
            "event_id": events["event_id"],
            "telescopes": events["GammaPhysNetEnergy_telescopes"].sum(axis=1),
            "true_energy": events["true_energy"].to(u.TeV),
            "energy": events["GammaPhysNetEnergy_energy"].to(u.TeV),
            "direction_error": error.to(u.deg),
            "gammaness": events["GammaPhysNetParticle_prediction"],
        }
    )
    for name in table.colnames[2:]:
        table[name].info.format = ".3f"
    return table


def summary(table):
    """One line on how near the energies and directions are."""
    ratio = (table["energy"] / table["true_energy"]).to_value(u.one)
    found = np.isfinite(ratio)
    near = (ratio[found] > 0.5) & (ratio[found] < 2)
    error = np.median(table["direction_error"][found].to_value(u.deg))
    return (
        f"{found.sum()} of {len(table)} gammas reconstructed: energy within a factor of two for"
        f" {near.sum()}, median direction error {error:.2f} deg"
    )


def draw(path, loader, event):
    """Camera images of one event with its true and reconstructed directions."""
    images = loader.read_telescope_events(dl1_images=True, dl2=False)
    images = images[images["event_id"] == event["event_id"]]
    figure, axes = plt.subplots(1, len(images), figsize=(4.2 * len(images), 4.6), squeeze=False)
    for ax, row in zip(axes[0], images, strict=True):
        geometry = loader.subarray.tel[row["tel_id"]].camera.geometry
        display = CameraDisplay(
            geometry.transform_to(TelescopeFrame()), image=row["image"], ax=ax, cmap="inferno"
        )
        display.add_colorbar(label="charge (p.e.)", shrink=0.75)
        mark(ax, event, "true", "o", "true direction")
        mark(ax, event, "GammaPhysNetGeometry", "x", "γ-PhysNet")
        ax.set_title(f"telescope {row['tel_id']}", fontsize=10)
        ax.legend(loc="lower left", fontsize=8)
    energy, reco = event["true_energy"], event["GammaPhysNetEnergy_energy"]
    figure.suptitle(f"event {event['event_id']}: true {energy:.2f} TeV, γ-PhysNet {reco:.2f} TeV")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def mark(ax, event, prefix, marker, label):
    """Put a sky direction of the event into a plot in the telescope frame (deg)."""
    pointing = AltAz(
        alt=event["subarray_pointing_lat"] * u.deg, az=event["subarray_pointing_lon"] * u.deg
    )
    sky = SkyCoord(
        alt=event[f"{prefix}_alt"] * u.deg, az=event[f"{prefix}_az"] * u.deg, frame="altaz"
    )
    offset = sky.transform_to(TelescopeFrame(telescope_pointing=pointing))
    ax.plot(
        offset.fov_lon.to_value(u.deg), offset.fov_lat.to_value(u.deg),
        marker, ms=11, mew=2, mfc="none", color="deepskyblue", label=label,
    )  # fmt: skip


def main():
    """Run all three steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder")
    folder = parser.parse_args().output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / "demo.dl2.h5"
    process(output)
    with TableLoader(output) as loader:
        events = loader.read_subarray_events(dl2=True, simulated=True, observation_info=True)
        table = event_table(QTable(events))
        table.pprint(max_lines=25, max_width=-1)
        print(summary(table))
        brightest = events[np.argmax(events["true_energy"] * events["GammaPhysNetEnergy_is_valid"])]
        draw(folder / "demo.png", loader, brightest)
    print(f"\n{output}\n{folder / 'demo.png'}")


if __name__ == "__main__":
    main()
