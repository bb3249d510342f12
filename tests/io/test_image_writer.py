"""Image files that are written many rows at a time equal those of ctapipe's writer."""

import numpy as np
import pytest
import tables
from ctapipe.core import Provenance
from ctapipe.io import DataWriter
from traitlets.config import Config

from ctapipe_gammalearn.io import image_writer
from ctapipe_gammalearn.io.image_writer import ImageWriter
from ctapipe_gammalearn.io.shower_source import ShowerSimulationSource
from ctapipe_gammalearn.tools.simulation_jobs import configuration

RUNS = {
    "one telescope": "obs_id: 7\nn_showers: 30\nenergy_min: 0.2\nscatter_radius: 300.0\n",
    "two types": (
        "array: 4LST+MST\nmin_tel: 2\nn_showers: 12\nenergy_min: 0.3\nenergy_max: 3.0\n"
        "scatter_radius: 300.0\nviewcone: [0.0, 2.0]\n"
    ),
}


@pytest.fixture(autouse=True)
def activity():
    """What a tool starts before it writes."""
    Provenance().start_activity("test")
    yield
    Provenance().finish_activity("test")


def settings(packed):
    """Configuration of a writer, with images as integers or as they are."""
    values = configuration()["DataWriter"] | {"write_dl1_parameters": False}
    return Config({"DataWriter": values | dict(transform_image=packed, transform_peak_time=packed)})


def assert_same_tables(a, b):
    """Same tables, columns, attributes and rows; NaN equals NaN."""
    with tables.open_file(a) as ours, tables.open_file(b) as theirs:
        nodes, expected = ({n._v_pathname: n for n in f.walk_nodes("/", "Leaf")}
                           for f in (ours, theirs))  # fmt: skip
        assert nodes.keys() == expected.keys()
        for path, node in nodes.items():
            other = expected[path]
            assert node.dtype == other.dtype, path
            for key in other._v_attrs._v_attrnames:
                assert np.array_equal(node._v_attrs[key], other._v_attrs[key]), (path, key)
            rows, other_rows = node.read(), other.read()
            for name in other_rows.dtype.names or ():
                np.testing.assert_array_equal(rows[name], other_rows[name], f"{path} {name}")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("text", RUNS.values(), ids=list(RUNS))
def test_tables_are_those_of_ctapipe(tmp_path, monkeypatch, text, packed):
    monkeypatch.setattr(image_writer, "BATCH", 7)
    path = tmp_path / "run.shower.yaml"
    path.write_text(text)
    config = settings(packed)
    source = ShowerSimulationSource(path)
    with DataWriter(source, output_path=tmp_path / "a.h5", config=config) as write:
        for event in source:
            write(event)
        write.write_simulated_shower_distributions(source.simulated_shower_distributions)
    source = ShowerSimulationSource(path)
    events = list(source.simulator.events())
    with ImageWriter(source, tmp_path / "b.h5", config) as writer:
        for event in events:
            writer.add(event)
        writer.write_simulated_shower_distributions(source.simulated_shower_distributions)
    assert len(events) > 20
    assert_same_tables(tmp_path / "b.h5", tmp_path / "a.h5")


def test_file_without_events(tmp_path):
    path = tmp_path / "run.shower.yaml"
    path.write_text("n_showers: 1\nenergy_min: 0.001\nenergy_max: 0.002\n")
    source = ShowerSimulationSource(path)
    with ImageWriter(source, tmp_path / "b.h5", settings(True)) as writer:
        assert not list(source.simulator.events())
        writer.write_simulated_shower_distributions(source.simulated_shower_distributions)
    with tables.open_file(tmp_path / "b.h5") as file:
        assert "/dl1/event/subarray/trigger" not in file
