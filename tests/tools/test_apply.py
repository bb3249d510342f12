"""The command that applies models to DL1 files gives the DL2 of ctapipe-process."""

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from importlib.resources import files

import astropy.units as u
import numpy as np
import pytest
import tables
from ctapipe.containers import ArrayEventContainer, ImageParametersContainer
from ctapipe.core import run_tool
from ctapipe.io import HDF5EventSource, TableLoader
from ctapipe.reco import ReconstructionProperty, StereoMeanCombiner

from ctapipe_gammalearn.reco.containers import CONTAINER, FIELD
from ctapipe_gammalearn.reco.stereo import combine
from ctapipe_gammalearn.reco.stereo_rows import stereo_columns
from ctapipe_gammalearn.tools.apply import ApplyTool
from ctapipe_gammalearn.tools.apply_job import apply_file
from tests.reco import fakes
from tests.reco.conftest import (  # noqa: F401
    fake_model,
    lst_model,
    model_for,
    mono_dl1,
    multi_simtel,
    simtel,
    stereo_dl1,
    subarray,
)

NETWORK = "GammaPhysNetReconstructor"
NO_CUT = "--StereoQualityQuery.quality_criteria=[]"


@pytest.fixture(autouse=True)
def _no_verification_by_process(monkeypatch):
    monkeypatch.setattr("ctapipe_gammalearn.reco.verify.CHECK", "")


@pytest.fixture(scope="module")
def few(stereo_dl1, tmp_path_factory):  # noqa: F811
    """The first 40 events of four telescopes, without earlier DL2."""
    path = tmp_path_factory.mktemp("few") / "few.dl1.h5"
    shutil.copy(stereo_dl1, path)
    path.chmod(0o644)
    with tables.open_file(path, "a") as file:
        file.remove_node("/dl2", recursive=True)
        ids = file.root.dl1.event.subarray.trigger.col("event_id")[:40]
        for table in file.walk_nodes("/", "Table"):
            if "event_id" in table.colnames:
                n = int(np.isin(table.col("event_id"), ids).sum())
                assert np.isin(table.col("event_id")[:n], ids).all()
                table.remove_rows(n)
    return path


def apply(source, folder, *options, raises=True):
    """Run the command in this process; its exit code."""
    argv = [f"--input={source}", f"--output={folder}", *options]
    return run_tool(ApplyTool(), argv, cwd=folder.parent, raises=raises)


def dl2(path):
    """DL2 tables of our prefixes and their attributes."""
    return {
        name: table
        for name, table in fakes.read(path).items()
        if name.startswith("/dl2/") and "/GammaPhysNet" in name
    }


def assert_same_dl2(path, expected, exact=True):
    """Tables, columns, types, attributes and rows are the same; number of rows."""
    return fakes.assert_same_files(path, expected, exact, read=dl2)


def compare(source, tmp_path, *options, exact=True):
    """Both commands with the same options."""
    assert fakes.process(source, tmp_path / "process.h5", *options) == 0
    assert apply(source, tmp_path / "out", *options) == 0
    (result,) = (tmp_path / "out").glob("*.h5")
    assert [p.name for p in (tmp_path / "out").iterdir()] == [result.name]
    return assert_same_dl2(result, tmp_path / "process.h5", exact), result


class OtherCombiner(StereoMeanCombiner):
    """A combiner that the package does not know."""


NAME = "few.dl2.h5"
BRIGHT = json.dumps([["bright", "parameters.hillas.intensity > 90"]])
OPTIONS = {
    "plain": [],
    "weighted": [
        "--StereoMeanCombiner.weights=intensity",
        "--StereoMeanCombiner.log_target=True",
        f"--StereoQualityQuery.quality_criteria={BRIGHT}",
        f"--{NETWORK}.batch_size=5",
    ],
    "other combiner": [f"--{NETWORK}.stereo_combiner_cls=OtherCombiner"],
    "two telescopes": ["--EventSource.allowed_tels=[1, 3]", NO_CUT],
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_same_as_ctapipe_process(few, fake_model, tmp_path, options):  # noqa: F811
    rows, result = compare(few, tmp_path, f"--{NETWORK}.model_path={fake_model}", *options)
    assert rows > 200
    with HDF5EventSource(result, allowed_tels=None) as source:
        for event in source:
            for kind in ("energy", "geometry"):
                assert f"GammaPhysNet{kind.title()}" in getattr(event.dl2.stereo, kind)
            assert all(tel_id in event.dl2.tel for tel_id in event.trigger.tels_with_trigger)
        assert source.subarray.n_tels == (
            2 if "two" in str(options) or "[1, 3]" in str(options) else 4
        )


def test_results_do_not_depend_on_portions(few, fake_model, tmp_path):  # noqa: F811
    model = f"--{NETWORK}.model_path={fake_model}"
    for size in (512, 7, 1):
        assert apply(few, tmp_path / f"{size}", model, f"--chunk-size={size}") == 0
        assert_same_dl2(tmp_path / f"{size}" / NAME, tmp_path / "512" / NAME)


@pytest.mark.parametrize("n", [1, 2, 7, 13])
@pytest.mark.parametrize("log_target", [False, True])
def test_combination_of_many_events_has_the_numbers_of_ctapipe(n, log_target):
    rng = np.random.default_rng(n)
    n_events, n_tels = 20, n
    event, tel = np.divmod(np.arange(n_events * n_tels), n_tels)
    size = len(event)
    energy, prediction = rng.lognormal(size=size), rng.uniform(size=size)
    alt, az = rng.uniform(60, 80, size), rng.uniform(0, 360, size)
    valid, weights = rng.uniform(size=size) < 0.7, rng.uniform(10, 1000, size)
    parts = {
        ReconstructionProperty.ENERGY: {"energy": energy, "energy_uncert": energy},
        ReconstructionProperty.GEOMETRY: {"alt": alt, "az": az, "ang_distance_uncert": alt},
        ReconstructionProperty.PARTICLE_TYPE: {"prediction": prediction},
    }
    for prop, columns in parts.items():
        combiner = StereoMeanCombiner(
            prefix="X", property=prop, weights="intensity", log_target=log_target
        )
        ours = stereo_columns(combiner, event, n_events, columns | {"is_valid": valid}, weights)
        for i in range(n_events):
            array = ArrayEventContainer()
            for row in np.flatnonzero(event == i):
                tel_id = int(tel[row]) + 1
                units = {"energy": u.TeV, "energy_uncert": u.TeV, "prediction": 1}
                fields = {k: c[row] * units.get(k, u.deg) for k, c in columns.items()}
                mono = CONTAINER[prop](**fields, is_valid=bool(valid[row]), prefix="X_tel")
                getattr(array.dl2.tel[tel_id], FIELD[prop])["X"] = mono
                parameters = ImageParametersContainer()
                parameters.hillas.intensity = weights[row]
                array.dl1.tel[tel_id].parameters = parameters
            combine(array, [combiner], False)
            theirs = getattr(array.dl2.stereo, FIELD[prop])["X"]
            assert ours["is_valid"][i] == theirs.is_valid
            for name in columns:
                value = getattr(getattr(theirs, name), "value", getattr(theirs, name))
                if name in ("alt", "az"):
                    value = getattr(theirs, name).to_value(u.deg)
                np.testing.assert_array_equal(ours[name][i], value, err_msg=f"{prop} {name}")


@pytest.fixture
def changed(few, tmp_path):
    """Function that gives a copy of the DL1 file after a change."""

    def make(change, name="changed.dl1.h5"):
        path = tmp_path / name
        shutil.copy(few, path)
        with tables.open_file(path, "a") as file:
            change(file)
        return path

    return make


STATISTICS = f"/dl2/service/tel_event_statistics/{NETWORK}"
IMAGES = "/dl1/event/telescope/images"


def test_pixels_that_are_no_numbers(changed, fake_model, tmp_path):  # noqa: F811
    def spoil(file):
        table = file.get_node(f"{IMAGES}/tel_001")
        rows = table.read()
        attributes = {key: table.attrs[key] for key in table.attrs._v_attrnamesuser}
        new = np.empty(len(rows), [(n, "f4" if n in ("image", "peak_time") else rows.dtype[n].base,
                                    rows.dtype[n].shape) for n in rows.dtype.names])  # fmt: skip
        for name in rows.dtype.names:
            new[name] = rows[name]
        new["image"][:20] = np.nan
        file.remove_node(table)
        stored = file.create_table(IMAGES, "tel_001", new)
        for key, value in attributes.items():
            if "TRANSFORM" not in key:
                stored.attrs[key] = value

    source = changed(spoil)
    model = f"--{NETWORK}.model_path={fake_model}"
    assert fakes.process(source, tmp_path / "process.h5", model, NO_CUT) == 0
    assert apply(source, tmp_path / "out", model, NO_CUT) == 0
    (result,) = (tmp_path / "out").glob("*.h5")
    assert_same_dl2(result, tmp_path / "process.h5")
    first = fakes.read(result)["/dl2/event/telescope/energy/GammaPhysNetEnergy/tel_001"][0]
    assert not first["GammaPhysNetEnergy_tel_is_valid"][:20].any()
    assert first["GammaPhysNetEnergy_tel_is_valid"][20:].all()


def test_telescopes_and_events_without_images(changed, fake_model, tmp_path):  # noqa: F811
    def spoil(file):
        file.remove_node(f"{IMAGES}/tel_002")
        file.get_node(f"{IMAGES}/tel_003").remove_rows(5, 8)

    whole, source = changed(lambda file: None, "whole.dl1.h5"), changed(spoil)
    model = f"--{NETWORK}.model_path={fake_model}"
    for path in (whole, source):
        assert apply(path, tmp_path / "out", model, NO_CUT) == 0
    a, b = (fakes.read(tmp_path / "out" / f"{n}.dl2.h5") for n in ("whole", "changed"))
    name = "/dl2/event/telescope/energy/GammaPhysNetEnergy/tel_00"
    assert len(a[f"{name}2"][0]) == len(b[f"{name}2"][0])
    assert not b[f"{name}2"][0]["GammaPhysNetEnergy_tel_is_valid"].any()
    keep = np.r_[0:5, 8 : len(a[f"{name}3"][0])]
    assert a[f"{name}3"][0][keep].tobytes() == b[f"{name}3"][0][keep].tobytes()
    assert not b[f"{name}3"][0]["GammaPhysNetEnergy_tel_is_valid"][5:8].any()
    stereo = b["/dl2/event/subarray/energy/GammaPhysNetEnergy"][0]
    assert len(stereo) == len(b["/dl1/event/subarray/trigger"][0])
    assert not stereo["GammaPhysNetEnergy_telescopes"][:, 1].any()


def test_file_without_events(changed, fake_model, tmp_path):  # noqa: F811
    def empty(file):
        for group in ("/dl1/event", "/simulation/event"):
            file.remove_node(group, recursive=True)

    source = changed(empty)
    assert apply(
        source, tmp_path / "out", f"--{NETWORK}.model_path={fake_model}", raises=False
    ) in (0, 2)


def test_rest_of_the_file(few, fake_model, tmp_path):  # noqa: F811
    model = f"--{NETWORK}.model_path={fake_model}"
    full = ["--dl1-images", "--true-images"]
    bare = ["--no-dl1-parameters", "--no-true-parameters"]
    source = fakes.read(few)
    for name, options in {"default": [], "full": full, "bare": bare}.items():
        assert apply(few, tmp_path / name, model, *options) == 0
        (path,) = (tmp_path / name).glob("*.h5")
        result = fakes.read(path)
        for path, (rows, attributes) in result.items():
            if path in source and "true_image" not in set(source[path][0].dtype.names) ^ set(
                rows.dtype.names
            ):
                assert rows.tobytes() == source[path][0].tobytes(), path
                assert attributes == source[path][1]
        gone = set(source) - set(result)
        kinds = {path.rpartition("/")[0] for path in gone}
        expected = {
            "default": {IMAGES},
            "full": set(),
            "bare": {
                IMAGES,
                "/dl1/event/telescope/parameters",
                "/simulation/event/telescope/parameters",
            },
        }
        assert kinds == expected[name]
        has = "true_image" in result["/simulation/event/telescope/images/tel_001"][0].dtype.names
        assert has == (name == "full")
    with TableLoader(tmp_path / "default" / NAME) as loader:
        events = loader.read_telescope_events(dl2=True)
        assert "GammaPhysNetEnergy_tel_energy" in events.colnames
        assert (
            "true_image_sum"
            in loader.h5file.root.simulation.event.telescope.images.tel_001.colnames
        )


@pytest.mark.filterwarnings("ignore")
def test_two_types_of_cameras(multi_simtel, model_for, tmp_path):  # noqa: F811
    """The real network, in the same batches: the same bits."""
    dl1 = tmp_path / "two.dl1.h5"
    images = ("--write-images", "--no-write-showers")
    assert fakes.process(multi_simtel, dl1, *images, chain=("HillasReconstructor",)) == 0
    equivalent = "--EventSource.focal_length_choice=EQUIVALENT"
    with HDF5EventSource(dl1, focal_length_choice="EQUIVALENT") as source:
        cameras = {str(tel): tel.camera.geometry for tel in source.subarray.tel.values()}
    assert len(cameras) > 1
    first, *_ = cameras
    model = f"--{NETWORK}.model_path={model_for(cameras[first])}"
    device = f"--{NETWORK}.device=cpu"
    rows, _ = compare(dl1, tmp_path, model, equivalent, device, NO_CUT)
    assert rows > 50


def test_complete_outputs_are_skipped_and_others_refused(few, fake_model, tmp_path):  # noqa: F811
    model, out = f"--{NETWORK}.model_path={fake_model}", tmp_path / "out"
    assert apply(few, out, model) == 0
    before = (out / NAME).read_bytes()
    assert apply(few, out, model, f"--{NETWORK}.batch_size=3") == 0
    assert (out / NAME).read_bytes() == before
    assert apply(few, out, model, NO_CUT, raises=False) == 2
    fake_model.write_text("1855 other weights", encoding="utf-8")
    assert apply(few, out, model, raises=False) == 2
    assert (out / NAME).read_bytes() == before
    assert apply(few, out, model, "--overwrite") == 0
    assert (out / NAME).read_bytes() != before


def test_input_that_cannot_be_used(few, changed, fake_model, tmp_path, capsys):  # noqa: F811
    model, out = f"--{NETWORK}.model_path={fake_model}", tmp_path / "out"
    half = tmp_path / "half.dl1.h5"
    half.write_bytes(few.read_bytes()[: few.stat().st_size // 2])
    again = changed(lambda f: f.create_group("/dl2/event/subarray/energy", "GammaPhysNetEnergy",
                                             createparents=True), "again.dl1.h5")  # fmt: skip
    parameters = "/dl1/event/telescope/parameters"
    bare = changed(lambda f: f.remove_node(parameters, recursive=True), "bare.dl1.h5")
    unsorted = changed(_swap, "unsorted.dl1.h5")
    imageless = changed(lambda f: f.remove_node(IMAGES, recursive=True), "imageless.dl1.h5")
    said = {
        half: "no complete HDF5 file",
        again: "results of GammaPhysNet already",
        bare: "no image parameters",
        unsorted: "order of events",
        imageless: "has no images",
    }
    for path, text in said.items():
        assert apply(path, out, model, raises=False) == 2
        errors = capsys.readouterr().err
        assert text in errors
        assert str(path) in errors
        assert not out.exists() or not list(out.iterdir())
    assert apply(few, out, model, "--EventSource.max_events=3", raises=False) == 2
    assert apply(bare, out, model, NO_CUT) == 0
    assert apply(again, out, model, "--overwrite") == 0


def _swap(file):
    """Exchange two rows of a table of images."""
    table = file.get_node(f"{IMAGES}/tel_001")
    rows = table.read()
    rows[[3, 4]] = rows[[4, 3]]
    table.modify_rows(0, len(rows), rows=rows)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit(143)])
def test_interruption_leaves_nothing(few, fake_model, tmp_path, stop):  # noqa: F811
    def progress(n):
        raise stop

    settings = {"config": {NETWORK: {"model_path": str(fake_model)}}, "copy": {}}
    output = tmp_path / "out" / "few.dl2.h5"
    output.parent.mkdir()
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        apply_file(str(few), str(output), settings, progress)
    assert not list(output.parent.iterdir())


def test_rows_that_are_lost_are_noticed(few, fake_model, tmp_path, monkeypatch):  # noqa: F811
    """As on a full disk, where PyTables reports nothing."""

    def lose(path, record):
        with tables.open_file(path, "a") as file:
            table = file.root.dl2.event.subarray.energy.GammaPhysNetEnergy
            rows = table.read(7, 9)
            rows["GammaPhysNetEnergy_energy"] = 0
            table.modify_rows(7, 9, rows=rows)

    monkeypatch.setattr("ctapipe_gammalearn.tools.apply_job.set_record", lose)
    model = f"--{NETWORK}.model_path={fake_model}"
    assert apply(few, tmp_path / "out", model, raises=False) == 74
    assert not list((tmp_path / "out").iterdir())


RESOURCES = files("ctapipe_gammalearn") / "resources"
COMMAND = [
    *(sys.executable, "-c", "from ctapipe_gammalearn.tools.apply import main; main()"),
    *("--input", RESOURCES / "demo_events.dl1.h5", "--model", RESOURCES / "lst_patch.safetensors"),
]


@pytest.mark.parametrize("kilobytes", [100, pytest.param(400, marks=pytest.mark.slow)])
def test_full_disk(tmp_path, kilobytes):
    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1000, kilobytes * 1000))

    command = [*COMMAND, "-o", str(tmp_path / "out"), "--dl1-images"]
    done = subprocess.run(
        command, preexec_fn=limited, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 74, done.stderr
    assert "Traceback" not in done.stderr
    assert "is the disk full?" in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_sigterm_ends_with_143_and_leaves_nothing(tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen([*COMMAND, "-o", str(out)], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (out.exists() and list(out.iterdir())):
        time.sleep(0.02)
    process.terminate()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143, errors
    assert "Traceback" not in errors
    assert not list(out.iterdir())
