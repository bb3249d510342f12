"""The scripts in examples/ run as a user would run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(script, *arguments, folder):
    """Run an example in a folder; it must succeed. Returns what it prints."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_demo_reconstructs_most_energies_within_a_factor_of_two(tmp_path):
    text = run("demo.py", "--output", tmp_path / "out", folder=tmp_path)
    assert "Length = 60 rows" in text
    found, near = map(int, re.search(r"(\d+) of 60 gammas.* of two for (\d+),", text).groups())
    assert found > 40
    assert near > 0.7 * found
    assert (tmp_path / "out" / "demo.dl2.h5").is_file()
    assert (tmp_path / "out" / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in tmp_path.iterdir()} == {"out"}


def test_three_ways_from_python_agree(tmp_path):
    assert "33 of 43 images pass the quality cut" in run("python_api.py", folder=tmp_path)


@pytest.mark.slow
def test_light_yield_of_real_files_is_measured(shared, tmp_path):
    options = ["--simtel", shared / "data" / "simtel", "--showers", "8", "--events", "1"]
    text = run("measure_light_yield.py", *options, folder=tmp_path)
    table = text[text.index("asked of optics.NORMALISATION") :]
    found = dict(re.findall(r"^(prod-5|prod-6|prod-3 muons) +([0-9.]+) ±", table, re.MULTILINE))
    assert float(found["prod-5"]) == pytest.approx(0.81, abs=0.2)
    assert float(found["prod-6"]) == pytest.approx(0.51, abs=0.15)
    assert float(found["prod-3 muons"]) == pytest.approx(0.92, abs=0.1)
