"""Which telescope gets which model, and what is refused before any output exists."""

import copy
import logging
import os
import shutil

import pytest
import tables
from ctapipe.core import ToolConfigurationError
from ctapipe.io import EventSource
from traitlets import TraitError

from ctapipe_gammalearn.reco import GammaPhysNetReconstructor, models
from ctapipe_gammalearn.reco.checks import number_of_threads
from tests.reco import fakes
from tests.reco.fakes import NAME, process


@pytest.fixture(scope="session")
def mixed(multi_simtel):
    """Four LSTs and nine MSTs, the same 1855 positions in two orders."""
    with EventSource(multi_simtel) as source:
        return source.subarray


def make(subarray, model_path, **options):
    """The reconstructor on the CPU."""
    return GammaPhysNetReconstructor(subarray, model_path=model_path, device="cpu", **options)


def test_one_network_serves_cameras_in_different_pixel_orders(mixed, lst_model):
    found = make(mixed, str(lst_model)).models
    assert set(found.by_telescope) == set(mixed.tel)
    assert len(found.predictors) == 1
    orders = {m.order.tobytes() for m in found.by_telescope.values()}
    kinds = {t.camera.geometry.pix_x.value.tobytes() for t in mixed.tel.values()}
    assert len(orders) == len(kinds) == 2


def test_last_matching_pattern_decides(mixed, lst_model, model_for):
    other = model_for(mixed.tel[1].camera.geometry, "other")
    patterns = [("type", "*", lst_model), ("type", "MST*", other), ("id", 1, other)]
    found = make(mixed, [*patterns, ("id", 2, None)]).models
    files = {tel_id: m.predictor for tel_id, m in found.by_telescope.items()}
    first, second = found.predictors.values()
    assert 2 not in files
    assert files[1] is second
    assert files[3] is first
    assert {files[t] is second for t, tel in mixed.tel.items() if str(tel).startswith("M")} == {
        True
    }


def test_the_same_file_under_two_names_is_loaded_once(fake_model, mixed, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELS", str(tmp_path))
    (tmp_path / "link.model").symlink_to(fake_model)
    patterns = [("type", "LST*", "$MODELS/link.model"), ("type", "MST*", str(fake_model))]
    assert len(make(mixed, patterns).models.predictors) == 1


def test_a_model_for_all_leaves_other_cameras_out_with_one_warning(
    fake_model, mixed, tmp_path, caplog
):
    small = mixed.select_subarray([1, 5])
    other = copy.deepcopy(small)
    geometry = other.tel[5].camera.geometry
    for name in ("pix_id", "pix_x", "pix_y", "pix_area"):
        setattr(geometry, name, getattr(geometry, name)[:-1])
    with caplog.at_level(logging.WARNING):
        found = make(other, fake_model).models
    assert set(found.by_telescope) == {1}
    assert found.left_out == [5]
    messages = [r.getMessage() for r in caplog.records if "No prediction" in r.getMessage()]
    assert len(messages) == 1
    assert "1 x MST" in messages[0]


def test_a_model_trained_for_other_telescopes_warns(fake_model, mixed, caplog, monkeypatch):
    load = models.load_predictor

    def load_lst_model(path, **options):
        predictor = load(path, **options)
        predictor.card.validity["telescopes"] = ["lst"]
        return predictor

    monkeypatch.setattr(models, "load_predictor", load_lst_model)
    make(mixed, fake_model)
    assert "was trained for lst, not for 9 x MST" in caplog.text


def test_model_path_on_the_command_line(fake_model, multi_simtel, tmp_path):
    option = f"--{NAME}.model_path={fake_model}"
    assert process(multi_simtel, tmp_path / "out.h5", option, "--max-events=1") == 0
    assert fakes.FakePredictor.batches


@pytest.mark.parametrize(
    ("patterns", "text"),
    [
        (None, "no model file given; set model_path"),
        ("missing.safetensors", "missing.safetensors does not exist"),
        ("{folder}", "is a directory"),
        ([("type", "XST*", "{model}")], r"unknown pattern 'XST\*'.* types in the input: LST"),
        ([("id", 77, "{model}")], "unknown pattern 77"),
        ([("type", "*", "{flash}")], "fits no telescope"),
        ([("type", "MST*", "{flash}")], r"does not fit telescope 5 \(MST"),
        ([("type", "*", "{model}"), ("id", 6, "{flash}")], r"does not fit telescope 6 \(MST"),
    ],
)
def test_what_cannot_work_is_one_line(patterns, text, mixed, fake_model, tmp_path):
    flash = tmp_path / "flash.model"
    flash.write_text("1764", encoding="utf-8")
    names = {"model": fake_model, "flash": flash, "folder": tmp_path}
    if isinstance(patterns, list):
        patterns = [(kind, what, path.format(**names)) for kind, what, path in patterns]
    elif patterns:
        patterns = patterns.format(**names)
    with pytest.raises(ToolConfigurationError, match=text) as caught:
        make(mixed, patterns)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{NAME}: ")


def test_patterns_for_telescopes_that_are_not_allowed_do_no_harm(
    fake_model, multi_simtel, tmp_path
):
    config = tmp_path / "config.yaml"
    patterns = f'[["type", "LST*", "{fake_model}"], ["type", "MST*", "{fake_model}"]]'
    config.write_text(f"{NAME}: {{model_path: {patterns}}}", encoding="utf-8")
    options = [f"--config={config}", "--allowed-tels=1", "--allowed-tels=2", "--max-events=1"]
    assert process(multi_simtel, tmp_path / "out.h5", *options) == 0


@pytest.fixture(scope="module")
def without_images(mono_dl1, tmp_path_factory):
    """DL1 file with parameters only."""
    target = tmp_path_factory.mktemp("dl1") / "parameters.h5"
    process(mono_dl1, target, "--max-events=3", "--no-write-showers", chain=())
    return target


@pytest.fixture(scope="module")
def without_peak_time(mono_dl1, tmp_path_factory):
    """DL1 file with images but no peak times."""
    target = tmp_path_factory.mktemp("dl1") / "no_time.h5"
    shutil.copy(mono_dl1, target)
    target.chmod(0o644)
    with tables.open_file(target, "a") as file:
        table = file.root.dl1.event.telescope.images.tel_001
        rows = table.read()
        names = [n for n in rows.dtype.names if n != "peak_time"]
        attributes = {n: table.attrs[n] for n in table.attrs._v_attrnamesuser}
        parent = table._v_parent
        table.remove()
        file.create_table(parent, "tel_001", obj=rows[names])
        for name, value in attributes.items():
            parent.tel_001.attrs[name] = value
    return target


DAMAGES = ("truncated", "flipped", "foreign", "empty")


def damaged(lst_model, folder, kind):
    """A model file that must be refused."""
    path = folder / "damaged.safetensors"
    raw = bytearray(lst_model.read_bytes())
    if kind == "truncated":
        raw = raw[: len(raw) // 2]
    elif kind == "flipped":
        raw[-50] ^= 1
    elif kind == "foreign":
        raw = bytearray(b"\x80\x04K\x2a.")
    elif kind == "empty":
        raw = bytearray()
    path.write_bytes(raw)
    return path


MODEL = "--{name}.model_path={model}"
BAD = {
    "missing model": ["--{name}.model_path=missing.safetensors"],
    "no model": [],
    "truncated": [MODEL],
    "flipped": [MODEL],
    "foreign": [MODEL],
    "empty": [MODEL],
    "absent GPU": [MODEL, "--{name}.device=cuda:99"],
    "unknown device": [MODEL, "--{name}.device=tpu"],
    "negative batch": [MODEL, "--{name}.batch_size=-1"],
    "unknown option": [MODEL, "--{name}.nonsense=1"],
    "wrong camera": [MODEL],
    "no images": [MODEL],
    "no peak times": [MODEL],
}
SOURCES = {
    "wrong camera": "chec",
    "no images": "without_images",
    "no peak times": "without_peak_time",
}


@pytest.fixture(scope="session")
def chec(simtel):
    """Events of a camera with 2048 square pixels."""
    return simtel / "gct_checs_muons.simtel.zst"


@pytest.mark.parametrize("case", BAD)
def test_bad_input_leaves_the_output_alone(case, lst_model, tmp_path, request):
    """Exit code 2 by one line; an existing output stays, even with --overwrite."""
    source = request.getfixturevalue(SOURCES.get(case, "mono_dl1"))
    model = damaged(lst_model, tmp_path, case) if case in DAMAGES else lst_model
    options = [option.format(name=NAME, model=model) for option in BAD[case]]
    target = tmp_path / "out.h5"
    target.write_bytes(b"precious")
    with pytest.raises((ToolConfigurationError, TraitError)) as caught:
        process(source, target, *options)
    assert "\n" not in str(caught.value).strip()
    assert process(source, target, *options, raises=False) == 2
    assert target.read_bytes() == b"precious"


def test_existing_output_is_refused_without_overwrite(lst_model, mono_dl1, tmp_path):
    target = tmp_path / "out.h5"
    target.write_bytes(b"precious")
    argv = fakes.arguments(mono_dl1, target, f"--{NAME}.model_path={lst_model}")
    argv.remove("--overwrite")
    from ctapipe.core import run_tool
    from ctapipe.tools.process import ProcessorTool

    assert run_tool(ProcessorTool(), argv, cwd=tmp_path, raises=False) == 2
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("wanted", "variable", "expected"),
    [(None, "8", 1), (3, "2", 2), (1, "", 1), (10**6, "0", None), (2, "x", None)],
)
def test_threads_stay_within_limits(wanted, variable, expected, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    available = len(os.sched_getaffinity(0))
    expected = min(wanted, available) if expected is None else min(expected, available)
    assert number_of_threads(wanted) == expected
