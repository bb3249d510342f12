"""The Python examples of README and documentation run as they stand."""

import re
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted([REPOSITORY / "README.rst", *REPOSITORY.glob("docs/**/*.rst")])
BLOCK = re.compile(r"^\.\. code-block:: python\n(?:   :.*\n)*\n((?:    .*\n|\n)+)", re.MULTILINE)


def python_blocks(page):
    """Python code blocks of a page, dedented."""
    text = page.read_text(encoding="utf-8") + "\n"
    return [textwrap.dedent(block) for block in BLOCK.findall(text)]


WITH_CODE = [page for page in PAGES if python_blocks(page)]


@pytest.fixture(scope="module")
def example_files(tmp_path_factory):
    """Folder with the files that the examples name: events.dl1.h5, events.dl2.h5, a model."""
    from ctapipe.core import run_tool
    from ctapipe.io import EventSource
    from ctapipe.tools.process import ProcessorTool

    from ctapipe_gammalearn.lattice import CameraLattice
    from ctapipe_gammalearn.weights import random_model, write_model

    folder = tmp_path_factory.mktemp("examples")
    events, model = folder / "events.dl1.h5", folder / "model.safetensors"
    events.symlink_to(sample())
    with EventSource(events) as source:
        geometry = source.subarray.tel[min(source.subarray.tel)].camera.geometry
    lattice = CameraLattice.from_positions(geometry.pix_x.value, geometry.pix_y.value)
    write_model(model, random_model(lattice, geometry.name, seed=1))
    options = ["--write-showers", "--write-images", "--max-events=20"]
    options += ["--ShowerProcessor.reconstructor_types=GammaPhysNetReconstructor"]
    options += [f"--GammaPhysNetReconstructor.model_path={model}"]
    argv = [f"--input={events}", f"--output={folder / 'events.dl2.h5'}", *options]
    run_tool(ProcessorTool(), argv, cwd=folder, raises=True)
    return folder


def sample():
    """DL1 sample that lies in the package."""
    import ctapipe_gammalearn

    return next((Path(ctapipe_gammalearn.__file__).parent / "resources").glob("*.dl1.h5"))


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda p: p.relative_to(REPOSITORY).as_posix())
def test_examples_run(page, example_files, monkeypatch):
    monkeypatch.chdir(example_files)
    namespace = {}
    for block in python_blocks(page):
        exec(compile(block, str(page), "exec"), namespace)


def test_pages_with_examples_are_found():
    assert {page.name for page in WITH_CODE} >= {"python.rst", "getting_started.rst"}
