"""What ``ctapipe-gammalearn-irf`` writes of observations alone, and prints of all."""

from .base import say
from .irf_observation import observe
from .irf_report import write_report
from .irf_summary import file_record, write_summary
from .irf_tables import write_tables

__all__ = ["print_numbers", "report_alone"]

SETTINGS = (
    "level", "quality", "cuts_mode", "gammaness_cut", "theta_cut", "off_regions", "excluded",
    "reconstructors", "reference",
)  # fmt: skip


def report_alone(tool):
    """Analyse observations without simulations; tables, summary, figures and page."""
    tables, observation = observe(tool)
    tool.output.mkdir(exist_ok=True)
    write_tables(tool.output, tables, {"cuts": observation["cuts"]})
    summary = write_summary(
        tool.output / "summary.json",
        {
            "inputs": {"observation": [file_record(path) for path in tool.observation]},
            "settings": {key: getattr(tool, key) for key in SETTINGS},
            "samples": {}, "verdict": {}, "background_mc": {}, "leakage": {}, "timing": None,
            "warnings": observation["notes"], "observation": observation,
        },
    )  # fmt: skip
    if tool.html:
        write_report(tool.output, summary, tables)
    print_numbers(observation)
    page = ", report.html" if tool.html else ""
    say(f"{tool.output}: benchmarks/*.ecsv, summary.json{page}")


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
        say(f"Note: {note}")
