"""What the plugin costs inside ctapipe-process: event rate, share of inference, memory.

    python benchmarks/bench_process.py events.simtel.zst [more events.dl1.h5 …] [--model m]

For each input, in turn in one process (CPU time of the event loop, median):

* ctapipe's own chain (HillasReconstructor), and the same with a deferred reconstructor that
  does nothing: what collecting events in a window costs;
* the same with GammaPhysNetReconstructor: share of its network, and of all it does.

Then, in fresh processes, the peak memory for a tenth and for all of the events of the last
input.  Telescopes whose camera is not the model's have no prediction; the default model is the
bundled one for the LST.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
import warnings
from pathlib import Path

from conditions import print_conditions
from ctapipe.core import run_tool
from ctapipe.tools.process import ProcessorTool

import ctapipe_gammalearn
from ctapipe_gammalearn.inference import Predictor
from ctapipe_gammalearn.reco import GammaPhysNetReconstructor
from ctapipe_gammalearn.reco.deferred import DeferredReconstructor

DEMO_MODEL = Path(ctapipe_gammalearn.__file__).parent / "resources" / "lst_patch.safetensors"


class NothingReconstructor(DeferredReconstructor):
    """Makes the tool collect events for it, and leaves them as they are."""

    images_per_batch = 32

    def note(self, event):
        return list(event.dl1.tel)

    def process(self, events, notes):
        pass


class Stopwatch:
    """CPU time spent inside some methods."""

    def __init__(self):
        self.seconds = {}

    def attach(self, owner, method, name):
        """Time every call of ``owner.method`` from now on."""
        function = getattr(owner, method)

        def timed(*args, **kwargs):
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.process_time() - start
                self.seconds[name] = self.seconds.get(name, 0.0) + spent

        setattr(owner, method, timed)
        return function


def process(source, chain, model, *options):
    """Run ctapipe-process in this process; return seconds by part."""
    watch, tool = Stopwatch(), ProcessorTool()
    for method in ("start", "finish"):  # the last window is emptied in finish
        watch.attach(tool, method, "event loop")
    originals = [
        (owner, method, watch.attach(owner, method, method))
        for owner, method in [(GammaPhysNetReconstructor, "process"), (Predictor, "predict")]
    ]
    with tempfile.TemporaryDirectory() as folder:
        argv = [
            f"--input={source}",
            f"--output={folder}/out.h5",
            f"--provenance-log={folder}/log",
            "--write-showers",
            "--quiet",
            f"--GammaPhysNetReconstructor.model_path={model}",
            *(f"--reconstructor={name}" for name in chain),
            *options,
        ]
        if "simtel" in source.name:
            argv.append("--SimTelEventSource.focal_length_choice=EQUIVALENT")
        try:
            run_tool(tool, argv, raises=True)
        finally:
            for owner, method, function in originals:
                setattr(owner, method, function)
    return watch.seconds


def rates(source, model, rounds):
    """Print the event loop's time of the three chains, relative to ctapipe's own."""
    chains = {
        "ctapipe alone": ["HillasReconstructor"],
        "a reconstructor that does nothing": ["HillasReconstructor", "NothingReconstructor"],
        "γ-PhysNet": ["HillasReconstructor", "GammaPhysNetReconstructor"],
    }
    seconds = {name: [] for name in chains}
    for i in range(rounds + 1):
        for name, chain in chains.items():
            spent = process(source, chain, model)
            if i:  # the first round warms caches up
                seconds[name].append(spent)
    median = lambda name, part: statistics.median(s.get(part, 0) for s in seconds[name])  # noqa: E731
    own = median("ctapipe alone", "event loop")
    print(f"{source.name}\n  ctapipe alone: {own:.3f} s of CPU time in the event loop")
    name = "a reconstructor that does nothing"
    print(f"  {name}: {100 * own / median(name, 'event loop'):.0f} % of ctapipe's own event rate")
    loop = median("γ-PhysNet", "event loop")
    for part, what in (("predict", "inference"), ("process", "inference, sky, containers, stereo")):
        print(
            f"  γ-PhysNet: {what} {100 * median('γ-PhysNet', part) / loop:.0f} % of the event loop"
        )


def _peak(source, model, options, queue):
    """Peak memory of one run, in a process of its own."""
    process(source, ["HillasReconstructor", "GammaPhysNetReconstructor"], model, *options)
    queue.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def memory(source, model, n_events):
    """Print the peak memory for few and for all events."""
    context = multiprocessing.get_context("spawn")
    for n in (n_events // 10, n_events):
        queue = context.Queue()
        options = (f"--EventSource.max_events={n}",)
        child = context.Process(target=_peak, args=(source, model, options, queue))
        child.start()
        print(f"  peak memory, {n} events: {queue.get():.0f} MiB")
        child.join()


def repeated(source, n, folder):
    """A sim_telarray file ``n`` times over (they may be concatenated); others as they are."""
    if "simtel" not in source.name:
        return source
    result = folder / source.name
    result.write_bytes(n * source.read_bytes())
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    demo = DEMO_MODEL.with_name("demo_events.dl1.h5")
    parser.add_argument("inputs", type=Path, nargs="*", default=[demo])
    parser.add_argument("--model", type=Path, default=DEMO_MODEL)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=10, help="read simtel input so many times")
    parser.add_argument("--max-events", type=int, default=2000, help="for the memory")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print_conditions(f"ctapipe-process, model {arguments.model.name}")
    model = arguments.model.resolve()  # run_tool changes directory
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.inputs:
            source = repeated(path.resolve(), arguments.repeat, Path(folder))
            rates(source, model, arguments.rounds)
        memory(source, model, arguments.max_events)


if __name__ == "__main__":
    main()
