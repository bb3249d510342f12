"""What ``ctapipe-gammalearn-irf`` writes and prints of observations."""

import json
import os

from astropy.table import Table

from .base import say
from .irf_observation import observe

__all__ = ["print_numbers", "report_alone", "write_tables"]

UNITS = {
    "theta2_min": "deg2", "theta2_max": "deg2", "energy_min": "TeV", "energy_max": "TeV",
    "zenith": "deg", "live_time": "s", "significance_per_sqrt_h": "h-0.5",
}  # fmt: skip


def write_tables(folder, tables):
    """Write ``observation_*.ecsv``."""
    folder.mkdir(exist_ok=True)
    for name, columns in tables.items():
        table = Table(columns)
        for column in table.colnames:
            unit = "1/min" if column.endswith("_per_min") else UNITS.get(column)
            table[column].unit = unit
        path = folder / f"{name}.ecsv"
        partial = path.with_name(f".{os.getpid()}.{path.name}")
        table.write(partial, format="ascii.ecsv")
        partial.replace(path)


def report_alone(tool):
    """Analyse observations without simulations; tables, summary, figures and page."""
    from ..report.observation_figures import observation_section
    from ..report.page import page
    from .irf_output import file_record, write_summary

    tables, observation = observe(tool)
    tool.output.mkdir(exist_ok=True)
    write_tables(tool.output / "benchmarks", tables)
    keys = ("level", "quality", "cuts_mode", "gammaness_cut", "theta_cut", "off_regions",
            "excluded", "reconstructors", "reference")  # fmt: skip
    summary = {
        "inputs": {"observation": [file_record(path) for path in tool.observation]},
        "settings": {key: getattr(tool, key) for key in keys},
        "samples": {}, "verdict": {}, "background_mc": {}, "warnings": observation["notes"],
        "observation": observation,
    }  # fmt: skip
    write_summary(tool.output / "summary.json", summary)
    section = observation_section(tables, observation)
    (tool.output / "figures").mkdir(exist_ok=True)
    for figure in section.figures:
        path = tool.output / "figures" / f"{figure.key}.svg"
        path.write_text(figure.svg, encoding="utf-8")
    written = json.loads((tool.output / "summary.json").read_text(encoding="utf-8"))
    (tool.output / "report.html").write_text(page(written, [section]), encoding="utf-8")
    print_numbers(observation)
    say(f"{tool.output}: report.html, summary.json, benchmarks/*.ecsv, figures/*.svg")


def print_numbers(observation):
    """Print what was seen, one line for each reconstructor and comparison."""
    say(f"{observation['n_runs']} runs, {observation['live_h']:.3g} h live; cuts"
        f" {observation['cuts']}")  # fmt: skip
    for name, found in observation["reconstructors"].items():
        say(
            f"{observation['labels'][name]}: {found['n_on']:.0f} on, {found['n_off']:.0f} off"
            f" (α {found['alpha']:.4g}), excess {found['excess']:.1f} ± {found['error']:.1f},"
            f" {found['significance']:.2f} σ, {found['significance_per_sqrt_h']:.2f} σ/√h"
        )
    for name, rows in observation["comparison"].items():
        for row in rows:
            say(
                f"{observation['labels'][name]} at {row['policy']}: {row['difference']:+.1f} ±"
                f" {row['error']:.1f} gammas (p {row['p']:.2g})"
            )
    for note in observation["notes"]:
        say(f"Note: {note}.")
