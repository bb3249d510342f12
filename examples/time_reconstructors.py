"""Time per image of a network and of the forest, for ``ctapipe-gammalearn-irf --timing``.

    python time_reconstructors.py test_gamma_point.dl1.h5 model.safetensors forest -o timing.json

The network's is what ``ctapipe-process`` takes more with it than without; the forest's is all of
``ctapipe-apply-models``, which reads image parameters and writes results.  CPU time of one process,
the smaller of two runs; both are in ``ms_range``.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import tables

ROUNDS = 2


def cpu_seconds(tool, *arguments):
    """CPU times of some runs of a ctapipe tool, rising."""
    command = [str(Path(sys.executable).with_name(tool)), *arguments, "--provenance-log=/dev/null"]
    found = []
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return sorted(found)


def processor():
    """Name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.machine()])[0]


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", help="DL1 file with images")
    parser.add_argument("model", help="model file")
    parser.add_argument("forest", type=Path, help="folder of train_forest.py")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file")
    arguments = parser.parse_args()
    with tables.open_file(arguments.images) as file:
        n_images = file.root.dl1.event.telescope.trigger.nrows
    with tempfile.TemporaryDirectory() as folder:
        output = [f"--output={folder}/out.h5", "--overwrite"]
        process = ["ctapipe-process", f"--input={arguments.images}", *output, "--write-showers"]
        process += ["--ShowerProcessor.reconstructor_types=HillasReconstructor"]
        network = [
            "--ShowerProcessor.reconstructor_types=GammaPhysNetReconstructor",
            f"--GammaPhysNetReconstructor.model_path={arguments.model}",
            "--GammaPhysNetReconstructor.device=cpu",
        ]
        without = min(cpu_seconds(*process))
        with_network = [t - without for t in cpu_seconds(*process, *network)]
        apply = ["ctapipe-apply-models", f"--input={arguments.images}", *output]
        apply += ["--no-dl1-images", "--no-true-images", "--ApplyModels.progress_bar=False"]
        models = [
            f"--reconstructor={arguments.forest / n}.pkl" for n in ("energy", "disp", "particle")
        ]
        forest = cpu_seconds(*apply, *models)
    times = {"network": with_network, "reference": forest}
    times = {name: [round(1000 * t / n_images, 3) for t in found] for name, found in times.items()}
    content = {
        "machine": f"{processor()}, one core",
        "ms_per_event": {name: found[0] for name, found in times.items()},
        "ms_range": {name: [found[0], found[-1]] for name, found in times.items()},
    }
    arguments.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
