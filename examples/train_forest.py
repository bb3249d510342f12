"""The classical reconstruction to compare with: Hillas parameters and Random Forests.

Trains ctapipe's own energy regressor, disp reconstructor and particle classifier on DL1 files
with image parameters, and applies them to others:

    python train_forest.py --gamma train_gamma_diffuse.dl1.h5 --background train_proton.dl1.h5 \
        --apply test_gamma_point.dl1.h5 test_proton.dl1.h5 -o forest

``forest/test_proton.dl2.h5`` and so on are DL2 files for ``ctapipe-gammalearn-evaluate --dl2``.
After an interruption run the same command again: finished files are kept.

Each model sees the results of the one before it as features (energy, then disp, then particle
type). For the training gammas these come from models trained on the other half of the
showers; otherwise the next model would trust them more than they deserve.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import tables

# the same images as the training of the networks: 50 p.e., 4 pixels, leakage below one half
QUALITY = [
    ["enough light", "hillas_intensity > 50"],
    ["positive width", "hillas_width > 0"],
    ["enough pixels", "morphology_n_pixels > 3"],
    ["not truncated", "leakage_intensity_width_2 < 0.5"],
]
# columns of ctapipe 0.28 are no quantities, those of 0.32 are
PSI = "u.Quantity(hillas_psi).to_value(u.rad)"
LON, LAT = (f"u.Quantity(hillas_fov_{axis}).to_value(u.deg)" for axis in ("lon", "lat"))
WIDTH, LENGTH = (f"u.Quantity(hillas_{axis}).to_value(u.deg)" for axis in ("width", "length"))
GENERATED = {
    "area": f"{WIDTH} * {LENGTH}",
    "width_over_length": f"{WIDTH} / {LENGTH}",
    "log_intensity": "log10(hillas_intensity)",
    "log_light_per_area": f"log10(hillas_intensity / ({WIDTH} * {LENGTH}))",
    "log_light_per_pixel": "log10(hillas_intensity / morphology_n_pixels)",
    "abs_timing_slope": "abs(timing_slope)",
    "abs_skewness": "abs(hillas_skewness)",
    "peak_time_range": "peak_time_max - peak_time_min",
    # position of the centroid along the image axis (its sign tells head from tail) and across
    "axis_position": f"{LON} * cos({PSI}) + {LAT} * sin({PSI})",
    "abs_axis_position": f"abs({LON} * cos({PSI}) + {LAT} * sin({PSI}))",
    "abs_miss": f"abs({LON} * sin({PSI}) - {LAT} * cos({PSI}))",
}
FROM_DISP = {"abs_disp": "abs(u.Quantity(disp_tel_parameter).to_value(u.deg))"}
# timing_slope is ctapipe's least trimmed squares fit; signed features tell head from tail
IMAGE = [
    *(f"hillas_{x}" for x in ("intensity", "r", "length", "width", "skewness", "kurtosis")),
    *("timing_slope", "timing_deviation"),
    *(f"leakage_{x}_width_{n}" for x in ("intensity", "pixels") for n in (1, 2)),
    *(f"concentration_{x}" for x in ("cog", "core", "pixel")),
    *(f"morphology_n_{x}islands" for x in ("", "small_", "medium_", "large_")),
    "morphology_n_pixels",
    *(f"peak_time_{x}" for x in ("std", "skewness", "kurtosis")),
    *(f"intensity_{x}" for x in ("max", "mean", "std", "skewness", "kurtosis")),
    *GENERATED,
]
ENERGY, PARTICLE = "RandomForestRegressor", "RandomForestClassifier"
FEATURES = {
    "energy": IMAGE,
    "disp": [*IMAGE, f"{ENERGY}_tel_energy"],
    "particle": [*IMAGE, f"{ENERGY}_tel_energy", *FROM_DISP, "disp_tel_sign_score"],
}
TOOLS = {
    "energy": "energy-regressor",
    "disp": "disp-reconstructor",
    "particle": "particle-classifier",
}


def forest(kind, n_trees, jobs):
    """Settings of one Random Forest."""
    settings = dict(n_estimators=n_trees, min_samples_leaf=4, max_features=0.4, random_state=0)
    return f"RandomForest{kind}", {**settings, "n_jobs": jobs}


def configuration(model, trees, jobs):
    """Configuration of the ctapipe tool that trains ``model``."""
    regressor, classifier = (
        forest("Regressor", trees, jobs),
        forest("Classifier", trees * 3 // 2, jobs),
    )
    generated = {**GENERATED, **(FROM_DISP if model == "particle" else {})}
    component = {
        "features": FEATURES[model],
        "QualityQuery": {"quality_criteria": QUALITY},
        "FeatureGenerator": {"features": list(generated.items())},
    }
    own = {
        "energy": dict(
            prefix=ENERGY, log_target=True, model_cls=regressor[0], model_config=regressor[1]
        ),
        "disp": dict(
            prefix="disp",
            log_target=True,
            **dict(norm_cls=regressor[0], norm_config=regressor[1]),
            **dict(sign_cls=classifier[0], sign_config=classifier[1]),
        ),
        "particle": dict(prefix=PARTICLE, model_cls=classifier[0], model_config=classifier[1]),
    }
    tool, name = {
        "energy": ("TrainEnergyRegressor", "EnergyRegressor"),
        "disp": ("TrainDispReconstructor", "DispReconstructor"),
        "particle": ("TrainParticleClassifier", "ParticleClassifier"),
    }[model]
    return {
        tool: {
            "random_seed": 0,
            "CrossValidator": {"n_cross_validations": 0},
            name: {**component, **own[model]},
        }
    }


class Chain:
    """The steps from DL1 to models and DL2, each file made once.

    Parameters
    ----------
    folder : Path
    trees : int
        Trees of a regressor; classifiers have half as many again.
    jobs : int
        Processor cores.
    """

    def __init__(self, folder, trees, jobs):
        self.folder, self.trees, self.jobs = folder, trees, jobs

    def make(self, name, action):
        """File ``name`` of the folder, made by ``action(path)`` if it is not there."""
        path = self.folder / name
        if not path.exists():
            print(path, flush=True)
            part = self.folder / f"part.{name}"
            part.unlink(missing_ok=True)
            action(part)
            part.rename(path)  # a file with its final name is complete
        return path

    def parameters(self, name, inputs):
        """One file with the image parameters of ``inputs``, without images."""
        options = ["--no-dl1-images", "--no-true-images", "--no-true-parameters"]
        return self.make(name, lambda part: ctapipe("merge", *inputs, f"--output={part}", *options))

    def half(self, name, source, number):
        """Half ``number`` of the showers of a file."""

        def action(part):
            shutil.copyfile(source, part)
            keep_rows(part, lambda rows: (rows["obs_id"] + rows["event_id"] // 100) % 2 == number)

        return self.make(name, action)

    def both(self, name, first, second):
        """The events of two halves."""

        def action(part):
            shutil.copyfile(first, part)
            append_rows(part, second)

        return self.make(name, action)

    def train(self, name, model, *inputs):
        """A trained model."""
        config = self.folder / f"train_{model}.json"
        config.write_text(json.dumps(configuration(model, self.trees, self.jobs), indent=1) + "\n")
        if model == "particle":
            inputs = [f"--signal={inputs[0]}", f"--background={inputs[1]}"]
        else:
            inputs = [f"--input={inputs[0]}"]
        return self.make(
            name,
            lambda part: ctapipe(
                f"train-{TOOLS[model]}", f"--config={config}", f"--output={part}", *inputs
            ),
        )

    def apply(self, name, source, *models):
        """DL2 of a file, without its images."""
        options = ["--no-dl1-images", "--no-true-images", f"--n-jobs={self.jobs}"]
        options += ["--ApplyModels.progress_bar=False"]
        options += [f"--reconstructor={model}" for model in models]
        return self.make(
            name,
            lambda part: ctapipe("apply-models", f"--input={source}", f"--output={part}", *options),
        )

    def run(self, gammas, background, targets):
        """All steps."""
        gamma, proton = (
            self.parameters("gamma.h5", gammas),
            self.parameters("background.h5", background),
        )
        halves = [self.half(f"gamma.{i}.h5", gamma, i) for i in (0, 1)]
        for step, model in (("e", "energy"), ("ed", "disp")):
            models = [self.train(f"{model}.{i}.pkl", model, halves[i]) for i in (0, 1)]
            # crosswise: no image is predicted by a model that was trained on it
            halves = [self.apply(f"gamma.{i}.{step}.h5", halves[i], models[1 - i]) for i in (0, 1)]
        joined = self.both("gamma.ed.h5", *halves)
        energy = self.train("energy.pkl", "energy", gamma)
        disp = self.train("disp.pkl", "disp", joined)
        proton = self.apply("background.ed.h5", proton, energy, disp)
        particle = self.train("particle.pkl", "particle", joined, proton)
        for target in targets:
            name = target.name.removesuffix(".h5").removesuffix(".dl1") + ".dl2.h5"
            self.apply(name, target, energy, disp, particle)


def ctapipe(command, *arguments):
    """Run a ctapipe tool of this environment; its messages appear as they come."""
    tool = Path(sys.executable).with_name(f"ctapipe-{command}")
    # images that fail the quality cuts have undefined ratios; ctapipe sets them aside afterwards
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
    command = [str(tool), *map(str, arguments), "--provenance-log=/dev/null"]
    subprocess.run(command, check=True, env=quiet)


def event_tables(file):
    """Tables with one row per event or image."""
    for table in file.walk_nodes("/", "Table"):
        if {"obs_id", "event_id"} <= set(table.colnames):
            yield table


def keep_rows(path, chosen):
    """Remove events from a file: ``chosen`` makes a mask from the rows of a table."""
    with tables.open_file(path, "r+") as file:
        for table in event_tables(file):
            rows = table.read()
            table.truncate(0)
            table.append(rows[chosen(rows)])


def append_rows(path, other):
    """Append the events of another file with the same tables."""
    with tables.open_file(path, "r+") as file, tables.open_file(other) as more:
        for table in event_tables(file):
            table.append(more.get_node(table._v_pathname).read())


def check_inputs(folder, arguments):
    """Refuse a folder that was made from other files or with other settings."""
    known = {
        "files": {str(p): p.stat().st_size for p in [*arguments.gamma, *arguments.background]},
        "trees": arguments.trees,
        "features": FEATURES,
    }
    record = folder / "inputs.json"
    if record.exists() and json.loads(record.read_text()) != known:
        sys.exit(f"{folder}: made from other files or settings; give another folder with -o")
    record.write_text(json.dumps(known, indent=1) + "\n")


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gamma", type=Path, nargs="+", required=True, help="diffuse gammas")
    parser.add_argument("--background", type=Path, nargs="+", required=True, help="protons")
    parser.add_argument("--apply", type=Path, nargs="*", default=[], help="files to reconstruct")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder")
    parser.add_argument("--trees", type=int, default=100, help="trees of a regressor")
    parser.add_argument("--jobs", type=int, default=1, help="processor cores")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    check_inputs(arguments.output, arguments)
    chain = Chain(arguments.output.resolve(), arguments.trees, arguments.jobs)
    try:
        chain.run(arguments.gamma, arguments.background, arguments.apply)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{Path(error.cmd[0]).name} ended with exit code {error.returncode}")


if __name__ == "__main__":
    main()
