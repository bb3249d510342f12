"""A predictor of exact arithmetic, small reconstructors, and runs of ctapipe-process.

The fake computes row by row in float64, so that results must be identical to the last bit
whatever the batches; a "model file" for it is a text file with a number.
"""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import tables
from ctapipe import fitting
from ctapipe.containers import ReconstructedEnergyContainer
from ctapipe.core import run_tool
from ctapipe.reco import Reconstructor
from ctapipe.tools.process import ProcessorTool
from traitlets import default

from ctapipe_gammalearn.exceptions import ModelMismatch
from ctapipe_gammalearn.inference import Prediction
from ctapipe_gammalearn.reco import GammaPhysNetReconstructor

NAME = "GammaPhysNetReconstructor"
CHAIN = ("HillasReconstructor", NAME, "HillasIntersection", "SecondPhysNet", "Consumer")
TASKS = {
    "energy": {"transform": "log10", "unit": "TeV"},
    "direction": {"frame": "telescope", "unit": "deg", "axes": ["fov_lon", "fov_lat"]},
    "impact": {"frame": "ground", "unit": "m"},
    "class": {"ids": [0, 101], "signal": 0},
}


class FakePredictor:
    """Fixed arithmetic on images of any camera with as many pixels as the file says."""

    #: sizes of all batches of this process
    batches = []
    tasks = tuple(TASKS)
    device = "cpu"

    def __init__(self, path, *, device, engine, precision, batch_size, n_threads):
        self.path, self.n_pixels = path, int(Path(path).read_text(encoding="utf-8").split()[0])
        self.batch_size = batch_size or 32
        self.n_orders = 0
        self.card = SimpleNamespace(
            tasks=TASKS,
            channels=("image", "peak_time"),
            status="trained",
            weights_sha256="",
            validity={"telescopes": []},
        )

    def pixel_order(self, pix_x, pix_y):
        """From left to right, whatever the order in the file."""
        self.n_orders += 1
        if len(pix_x) != self.n_pixels:
            raise ModelMismatch(f"{len(pix_x)} pixels in the data, {self.n_pixels} in the model")
        return np.lexsort(np.round([pix_y, pix_x], 4))

    def predict(self, image, peak_time):
        """Smooth functions of sums; NaN in, invalid out."""
        assert image.shape == peak_time.shape
        assert 0 < len(image) <= self.batch_size
        FakePredictor.batches.append(len(image))
        weights = np.random.default_rng(self.n_pixels).normal(size=(6, self.n_pixels)) / 300
        rows = [
            np.tanh((weights * (x.astype(float) + 0.1 * t.astype(float))).sum(axis=1))
            for x, t in zip(image, peak_time, strict=True)
        ]
        out = np.array(rows)
        valid = np.isfinite(out).all(axis=1)
        out[~valid] = np.nan
        return Prediction(
            is_valid=valid,
            energy=10 ** out[:, 0],
            direction=2 * out[:, 1:3],
            impact=100 * out[:, 3:5],
            gammaness=0.5 * (1 + out[:, 5]),
        )


class SecondPhysNet(GammaPhysNetReconstructor):
    """A second deferred component behind the first."""

    @default("prefix")
    def _prefix(self):
        return "Second"


class Consumer(Reconstructor):
    """A stage that reads what the network has written."""

    needs_atmosphere_profile = False

    def __call__(self, event):
        energy = event.dl2.stereo.energy["GammaPhysNetEnergy"]
        event.dl2.stereo.energy["Consumer"] = ReconstructedEnergyContainer(
            energy=2 * energy.energy,
            is_valid=energy.is_valid,
            telescopes=energy.telescopes,
            prefix="Consumer",
        )


class Bomb(Reconstructor):
    """Raises at one event: an error always, Ctrl-C once."""

    needs_atmosphere_profile = False
    bad_event = error = None

    def __call__(self, event):
        if event.index.event_id == Bomb.bad_event:
            if Bomb.error is KeyboardInterrupt:
                Bomb.bad_event = None
            raise Bomb.error("bomb")


class FailingPhysNet(GammaPhysNetReconstructor):
    """Fails on one event."""

    bad_event = None

    def process(self, events, notes):
        if any(event.index.event_id == FailingPhysNet.bad_event for event in events):
            raise RuntimeError("bad image")
        super().process(events, notes)


class Grabber(Reconstructor):
    """Keeps the events of a run."""

    needs_atmosphere_profile = False
    events = []

    def __call__(self, event):
        Grabber.events.append(event)


def use_fake_predictor(setattr_=setattr):
    """Let the reconstructor load fakes; with ``monkeypatch.setattr`` for one test only."""
    module = importlib.import_module("ctapipe_gammalearn.reco.models")
    setattr_(module, "load_predictor", FakePredictor)


def arguments(source, target, *options, chain=(NAME,)):
    """Command line of ctapipe-process with absolute paths."""
    argv = [
        f"--input={source}",
        f"--output={target}",
        f"--provenance-log={target}.log",
        "--quiet",
        "--overwrite",
        "--write-showers",
        *[f"--reconstructor={name}" for name in chain],
    ]
    if "simtel" in Path(source).name:
        argv.append("--SimTelEventSource.focal_length_choice=EQUIVALENT")
    return [*argv, *options]


def process(source, target, *options, chain=(NAME,), raises=True, tool=None):
    """Run ctapipe-process in this process and return its exit code."""
    # the timing fit draws from one module-wide generator: each run starts it afresh
    fitting.FIT_RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state
    argv = arguments(source, target, *options, chain=chain)
    return run_tool(tool or ProcessorTool(), argv, cwd=Path(target).parent, raises=raises)


def read(path):
    """All tables of a file and their column attributes, by path."""
    with tables.open_file(path) as file:
        return {
            node._v_pathname: (
                node.read(),
                {name: str(node.attrs[name]) for name in node.attrs._v_attrnamesuser},
            )
            for node in file.walk_nodes("/", "Leaf")
        }


#: What single precision allows, by end of the column's name: m for networks that predict km.
TOLERANCES = {"core_x": 2e-3, "core_y": 2e-3, "distance": 2e-3}


def assert_same_files(path, expected, exact=True, read=read):
    """Same tables, columns, attributes and rows in the same order; returns the number of rows.

    Of the tables that ``read(path)`` gives.
    If not exact, floats may differ by 1e-5 (relative, or degrees and TeV), azimuths by as much
    on the sky, and ``ang_distance_uncert`` of single telescopes (rounding noise) is left out.
    """
    a, b = read(path), read(expected)
    assert a.keys() == b.keys(), a.keys() ^ b.keys()
    n_rows = 0
    for name, (table, attributes) in a.items():
        other, other_attributes = b[name]
        assert attributes == other_attributes, name
        assert table.dtype == other.dtype, name
        assert table.shape == other.shape, name
        n_rows += len(table)
        for column in table.dtype.names or ():
            if exact:
                np.testing.assert_array_equal(table[column], other[column], f"{name} {column}")
            elif table[column].tobytes() != other[column].tobytes():
                assert_close(table, other, column)
    return n_rows


def assert_close(table, other, column):
    """Same values of a column to single precision."""
    a, b = table[column], other[column]
    if column.endswith("ang_distance_uncert"):
        several = table[column.replace("ang_distance_uncert", "telescopes")].sum(axis=1) > 1
        a, b = a[several], b[several]
    elif column.endswith("_az"):
        change = (a - b + 180) % 360 - 180
        a, b = change * np.cos(np.deg2rad(table[f"{column[:-2]}alt"])), np.where(np.isnan(b), b, 0)
    atol = next((t for end, t in TOLERANCES.items() if column.endswith(end)), 1e-5)
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=atol, err_msg=column)


def subarray_ids(path):
    """Event ids of the trigger table, after checking that all stereo tables have the same."""
    with tables.open_file(path) as file:
        ids = file.root.dl1.event.subarray.trigger.col("event_id")
        for kind in file.root.dl2.event.subarray:
            for table in kind:
                np.testing.assert_array_equal(table.col("event_id"), ids)
        assert file.root._v_attrs["CTA PRODUCT DATA MODEL NAME"]
    return ids


if __name__ == "__main__":  # a real process for tests of signals
    import signal

    signal.signal(signal.SIGINT, signal.default_int_handler)
    use_fake_predictor()
    ProcessorTool().run(sys.argv[1:])
