"""A folder belongs to one training at a time, and to none after its death."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ctapipe_gammalearn.exceptions import TrainingError
from ctapipe_gammalearn.training.__main__ import main
from ctapipe_gammalearn.training.fit import clear, fit

from .toy import small_recipe, toy_images

REPOSITORY = Path(__file__).parents[2]
RECIPE = small_recipe(data={"fractions": [0.6, 0.2, 0.2]}, run={"max_steps": 4})
# a training that stands still after two steps
SLOW = """
import sys, time
from ctapipe_gammalearn.training import callbacks
from ctapipe_gammalearn.training.__main__ import main

save = callbacks.ResumePoint.save

def slow(self, trainer):
    save(self, trainer)
    if trainer.global_step == 2:
        print("two steps", flush=True)
        time.sleep(600)

callbacks.ResumePoint.save = slow
main(sys.argv[1:])
"""


def test_second_training_is_refused_until_the_first_is_killed(tmp_path, capsys):
    images = toy_images(tmp_path, 150, rings=4)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE.to_dict()))
    options = ["--recipe", f"{tmp_path}/recipe.yaml", "-o", f"{tmp_path}/run", "--arrays"]
    options += [f"{tmp_path}/gamma", f"{tmp_path}/proton"]
    first = subprocess.Popen(
        [sys.executable, "-c", SLOW, *options], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout.readline() == "two steps\n"
        before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}
        assert main(options) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith(f"{tmp_path}/run: is being trained by another process")
        with pytest.raises(TrainingError, match="is being trained"):
            clear(tmp_path / "run")
        assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")} == before
    finally:
        first.kill()
        first.communicate()
    assert fit(RECIPE, images, tmp_path / "run").exists()
