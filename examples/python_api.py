"""Three ways to use a model from Python: event by event, table by table, plain arrays.

All three give the same numbers.  Runs on the events and the model that come with
the package::

    python examples/python_api.py
"""

from importlib.resources import files
from pathlib import Path

import numpy as np
from ctapipe.io import EventSource, TableLoader
from ctapipe.reco import ReconstructionProperty

from ctapipe_gammalearn.inference import Predictor
from ctapipe_gammalearn.reco import GammaPhysNetReconstructor

RESOURCES = Path(str(files("ctapipe_gammalearn"))) / "resources"
EVENTS = RESOURCES / "demo_events.dl1.h5"
MODEL = RESOURCES / "lst_patch.safetensors"
TEL_ID = 1


def event_by_event():
    """The component in one's own event loop: energies of a telescope (TeV)."""
    energies = []
    with EventSource(EVENTS) as source:
        reconstructor = GammaPhysNetReconstructor(source.subarray, model_path=MODEL, device="cpu")
        for event in source:
            reconstructor(event)
            if TEL_ID in event.dl2.tel:
                energies.append(event.dl2.tel[TEL_ID].energy["GammaPhysNetEnergy"].energy.value)
    return np.array(energies)


def table_by_table():
    """The component on a table of telescope events."""
    with TableLoader(EVENTS, dl1_images=True, pointing=True) as loader:
        table = loader.read_telescope_events_by_id([TEL_ID])[TEL_ID]
        reconstructor = GammaPhysNetReconstructor(loader.subarray, model_path=MODEL, device="cpu")
        result = reconstructor.predict_table(loader.subarray.tel[TEL_ID], table)
    return result[ReconstructionProperty.ENERGY]["GammaPhysNetEnergy_tel_energy"]


def plain_arrays():
    """No ctapipe component: images in, arrays out, no quality cut."""
    predictor = Predictor(MODEL, device="cpu")
    with TableLoader(EVENTS, dl1_images=True) as loader:
        table = loader.read_telescope_events_by_id([TEL_ID])[TEL_ID]
        geometry = loader.subarray.tel[TEL_ID].camera.geometry
    order = predictor.pixel_order(geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m"))
    return predictor.predict(table["image"], table["peak_time"], order).energy


def main():
    """Compare the three."""
    events, table, arrays = event_by_event(), np.array(table_by_table()), plain_arrays()
    valid = np.isfinite(events)
    np.testing.assert_allclose(table, events, rtol=1e-5)
    np.testing.assert_allclose(arrays[valid], events[valid], rtol=1e-5)
    print(f"{valid.sum()} of {len(events)} images pass the quality cut; energies in TeV:")
    print(np.round(events[valid][:8], 3))


if __name__ == "__main__":
    main()
