"""DL2 files of the plugin in ctapipe's own tools, as a user chains them in a shell."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tables
from astropy.io import fits
from ctapipe.io import TableLoader

import ctapipe_gammalearn

RESOURCES = Path(ctapipe_gammalearn.__file__).parent / "resources"
EXAMPLES = Path(__file__).parents[1] / "examples"
MODEL = RESOURCES / "lst_patch.safetensors"
PREFIXES = ("GammaPhysNetEnergy", "GammaPhysNetGeometry", "GammaPhysNetParticle")


def shell(folder, tool, *arguments):
    """Run a command of this environment in a folder; it must succeed."""
    command = [Path(sys.executable).with_name(tool), *arguments, "--provenance-log=log"]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done


@pytest.fixture(scope="module")
def dl2(shared, tmp_path_factory):
    """Folder with DL2 files of point-like gammas and protons, one telescope."""
    folder = tmp_path_factory.mktemp("dl2")
    for name in ("test_gamma_point", "test_proton"):
        shell(
            folder,
            "ctapipe-process",
            *("--config", RESOURCES / "dl.yaml"),
            *("--input", shared / "data" / "sim" / f"{name}.dl1.h5"),
            *("--output", f"{name}.dl2.h5"),
            f"--GammaPhysNetReconstructor.model_path={MODEL}",
        )
    return folder


def test_table_loader_joins_all_columns(dl2):
    with TableLoader(dl2 / "test_gamma_point.dl2.h5") as loader:
        array = loader.read_subarray_events(dl2=True)
        telescopes = loader.read_telescope_events(dl2=True)
    assert not [name for name in array.colnames if name.endswith(("_1", "_2"))]
    energy, geometry, particle = PREFIXES
    for name in (f"{energy}_energy", f"{geometry}_alt", f"{geometry}_az", f"{particle}_prediction"):
        tel_name = name.replace("_", "_tel_", 1)
        assert name in array.colnames
        assert tel_name in telescopes.colnames
        # one telescope: the array's value is the telescope's
        np.testing.assert_allclose(array[name], telescopes[tel_name], rtol=1e-9, atol=1e-9)
    valid = array[f"{energy}_is_valid"]
    assert 0.5 < valid.mean() < 1
    assert np.isnan(array[f"{energy}_energy"][~valid]).all()


def energies(path):
    """Array-level energy table of a file, all bytes."""
    with tables.open_file(path) as file:
        return file.root.dl2.event.subarray.energy.GammaPhysNetEnergy.read().tobytes()


def test_merge_keeps_all_events_in_order(dl2):
    names = ("test_gamma_point.dl2.h5", "test_proton.dl2.h5")
    shell(dl2, "ctapipe-merge", *names, "--output", "merged.dl2.h5")
    assert energies(dl2 / "merged.dl2.h5") == b"".join(energies(dl2 / name) for name in names)


def test_a_dl2_file_with_images_can_be_processed_again(tmp_path):
    """Input that already holds our results: they are made anew, equal to the bit."""
    options = ("--config", RESOURCES / "dl.yaml", "--write-images")
    model = f"--GammaPhysNetReconstructor.model_path={MODEL}"
    first, second = "first.dl2.h5", "second.dl2.h5"
    events = RESOURCES / "demo_events.dl1.h5"
    shell(tmp_path, "ctapipe-process", *options, model, "-i", events, "-o", first)
    shell(tmp_path, "ctapipe-process", *options, model, "-i", first, "-o", second)
    assert energies(tmp_path / first) == energies(tmp_path / second)


def test_event_selection_and_irfs(dl2):
    files = ("--gamma-file", "test_gamma_point.dl2.h5", "--proton-file", "test_proton.dl2.h5")
    config = ("--config", EXAMPLES / "irf.yaml")
    shell(dl2, "ctapipe-optimize-event-selection", *config, *files, "--output", "cuts.fits")
    shell(
        dl2,
        "ctapipe-compute-irf",
        *(*config, *files, "--cuts", "cuts.fits", "--spatial-selection-applied"),
        *("--output", "irf.fits.gz", "--benchmark-output", "benchmarks.fits.gz"),
    )
    with fits.open(dl2 / "irf.fits.gz") as irf:
        area = irf["EFFECTIVE AREA"].data["EFFAREA"]
    # scatter radius 600 m: between a thousandth and all of the thrown area
    assert 1e-3 < area.max() / (np.pi * 600**2) <= 1
    with fits.open(dl2 / "benchmarks.fits.gz") as benchmarks:
        assert len(benchmarks) > 2
