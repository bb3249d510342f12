"""Real files through ctapipe-process with an untrained network, on the CPU."""

import numpy as np
import pytest
from ctapipe.io import EventSource, TableLoader
from ctapipe.reco import ReconstructionProperty

from ctapipe_gammalearn.compat import PARTICLE_TYPE
from ctapipe_gammalearn.reco import GammaPhysNetReconstructor
from tests.reco import fakes
from tests.reco.fakes import CHAIN, NAME, process

#: Number of events of every sim_telarray file, by the start of its name.
SIMTEL = {
    "aux_traces": 1,
    "camsettings": 1,
    "ff-1m": 1,
    "gamma_diffuse": 2,
    "gamma_prod6": 1,
    "gamma_run000007": 1,
    "gamma_with_obslevel": 1,
    "gct_checs": 20,
    "history_meta": 1,
    "lst_muons.": 30,
    "lst_muons_with": 3,
    "lst_with_photons": 1,
    "n_hv_disabled": 1,
    "proton_run000001": 4,
    "proton_run000201": 0,
    "test_lasercal": 3,
}
QUICK = ("gct_checs", "gamma_run000007")


def find(folder, start):
    """The file whose name starts like this."""
    (path,) = folder.glob(f"{start}*")
    return path


def configuration(source, model_for, folder):
    """Configuration file with a model for each camera and without quality cut."""
    with EventSource(source, focal_length_choice="EQUIVALENT") as events:
        subarray = events.subarray
    models = {tel.camera.geometry.n_pixels: tel.camera.geometry for tel in subarray.tel.values()}
    models = {n_pixels: model_for(geometry) for n_pixels, geometry in models.items()}
    patterns = [
        f'["id", {tel_id}, "{models[tel.camera.geometry.n_pixels]}"]'
        for tel_id, tel in subarray.tel.items()
    ]
    path = folder / "config.yaml"
    path.write_text(
        f"{NAME}:\n"
        f"  device: cpu\n"
        f"  model_path: [{', '.join(patterns)}]\n"
        f"  StereoQualityQuery: {{quality_criteria: []}}\n",
        encoding="utf-8",
    )
    return f"--config={path}"


@pytest.mark.parametrize("start", QUICK)
def test_simtel_file_in_batches(start, simtel, model_for, tmp_path):
    check_batches(start, (7,), simtel, model_for, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("start", SIMTEL)
def test_every_simtel_file_in_batches(start, simtel, model_for, tmp_path):
    """Real cameras, old and new pixel orders, square pixels, an unknown camera, no event."""
    check_batches(start, (1, 7, 64, 10**9), simtel, model_for, tmp_path)


def check_batches(start, sizes, simtel, model_for, tmp_path):
    """Compare files with that of no window, whose rows must be there and sensible."""
    source = find(simtel, start)
    config = configuration(source, model_for, tmp_path)
    reference = tmp_path / "reference.h5"
    chain = (NAME, "Consumer")
    process(source, reference, config, f"--{NAME}.defer=False", chain=chain)
    if SIMTEL[start]:
        assert len(fakes.subarray_ids(reference)) == SIMTEL[start]
        tables = fakes.read(reference)
        stereo = tables["/dl2/event/subarray/geometry/GammaPhysNetGeometry"][0]
        valid = stereo["GammaPhysNetGeometry_is_valid"]
        assert valid.any()
        for name in ("alt", "az", "core_x", "core_y"):
            values = stereo[f"GammaPhysNetGeometry_{name}"]
            np.testing.assert_array_equal(np.isfinite(values), valid)
    for size in sizes:
        target = tmp_path / "batches.h5"
        process(source, target, config, f"--{NAME}.batch_size={size}", chain=chain)
        fakes.assert_same_files(target, reference, exact=False)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7, 64, 10**9])
def test_stereo_dl1_in_batches_between_other_reconstructors(size, stereo_dl1, lst_model, tmp_path):
    options = [f"--{NAME}.model_path={lst_model}", "--max-events=60", f"--{NAME}.device=cpu"]
    process(stereo_dl1, tmp_path / "a.h5", f"--{NAME}.defer=False", *options, chain=CHAIN)
    process(stereo_dl1, tmp_path / "b.h5", f"--{NAME}.batch_size={size}", *options, chain=CHAIN)
    fakes.assert_same_files(tmp_path / "b.h5", tmp_path / "a.h5", exact=False)


@pytest.fixture(scope="module")
def dl2(multi_simtel, model_for, tmp_path_factory):
    """DL2 file with images, and the subarray."""
    folder = tmp_path_factory.mktemp("dl2")
    config = configuration(multi_simtel, model_for, folder)
    process(multi_simtel, folder / "dl2.h5", config, "--write-images")
    return folder / "dl2.h5"


def test_table_loader_reads_distinct_columns(dl2):
    """Validity flags of the three properties can be told apart."""
    with TableLoader(dl2) as loader:
        table = loader.read_subarray_events(dl2=True)
        telescope = loader.read_telescope_events(dl2=True)
    for kind in ("Energy", "Geometry", "Particle"):
        assert f"GammaPhysNet{kind}_is_valid" in table.colnames
        assert f"GammaPhysNet{kind}_telescopes" in table.colnames
        assert f"GammaPhysNet{kind}_tel_is_valid" in telescope.colnames
    assert "GammaPhysNetGeometry_tel_impact_distance" in telescope.colnames
    assert "GammaPhysNet_is_valid" not in table.colnames


def test_predicting_the_table_of_a_file_gives_its_dl2_columns(dl2, model_for):
    """Image for image the numbers that the event loop has written, for both cameras."""
    with TableLoader(dl2) as loader:
        subarray = loader.subarray
        model = model_for(subarray.tel[1].camera.geometry)
        reconstructor = GammaPhysNetReconstructor(subarray, model_path=model, device="cpu")
        query = type(reconstructor.quality_query)
        reconstructor.quality_query = query(parent=reconstructor, quality_criteria=[])
        columns = {"dl1_images": True, "dl1_parameters": True, "pointing": True, "dl2": True}
        tables = loader.read_telescope_events_by_id(**columns)
    assert sum(map(len, tables.values())) == 15
    for tel_id, table in tables.items():
        predictions = reconstructor.predict_table(subarray.tel[tel_id], table)
        assert set(predictions) == {
            ReconstructionProperty.ENERGY,
            ReconstructionProperty.GEOMETRY,
            ReconstructionProperty.PARTICLE_TYPE,
        }
        for prediction in predictions.values():
            for name in prediction.colnames:
                ours, written = prediction[name], table[name]
                assert ours.unit == written.unit
                atol = 2e-3 if "core" in name else 1e-5  # m: the network predicts km
                np.testing.assert_allclose(ours, written, rtol=1e-5, atol=atol, err_msg=name)


def test_the_dl2_file_can_be_processed_again(dl2, model_for, tmp_path):
    """With images in it, a DL2 file is input like any other; the results are the same."""
    config = configuration(dl2, model_for, tmp_path)
    process(dl2, tmp_path / "again.h5", config, "--write-images")
    again, first = fakes.read(tmp_path / "again.h5"), fakes.read(dl2)
    for kind, name in (
        ("energy", "Energy"),
        ("geometry", "Geometry"),
        (PARTICLE_TYPE, "Particle"),
    ):
        path = f"/dl2/event/subarray/{kind}/GammaPhysNet{name}"
        for column in first[path][0].dtype.names:
            fakes.assert_close(again[path][0], first[path][0], column)
