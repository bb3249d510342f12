"""Model files for systems without Python: ONNX, or a program of ``torch.export``.

A file is written only if it was read back and gives what the `Predictor` gives.
"""

import json
import logging
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from .. import __version__
from ..exceptions import DeviceError, ModelFileError
from ..files import whole_file
from .predictor import Predictor
from .whole import WholeModel

__all__ = ["FORMATS", "OPSET", "TOLERANCE", "export_model", "largest_difference", "missing_package"]

#: version of the ONNX operators
OPSET = 18
#: largest difference to the predictor, relative to max(1, |value|)
TOLERANCE = 1e-5
#: packages that a format needs, by the end of the file name
FORMATS = {".onnx": ("onnx", "onnxscript", "onnxruntime"), ".pt2": ()}
#: images per batch of the comparison
BATCHES = (1, 3, 32)
_KM = 1000.0


def missing_package(path):
    """Name of the first package that writing such a file needs and that is not there, or None."""
    return next((name for name in FORMATS[Path(path).suffix] if find_spec(name) is None), None)


def export_model(path, model):
    """Write the whole prediction of a model to a file, read it back, and compare.

    Parameters
    ----------
    path : path-like
        ``*.onnx`` or ``*.pt2``; replaced if it is there.
    model : ctapipe_gammalearn.weights.Model

    Returns
    -------
    float
        Largest difference to the `Predictor`, relative to max(1, |value|), impact in km.

    Raises
    ------
    DeviceError
        A package for this format is missing.
    ModelFileError
        The file would give other numbers than the predictor; nothing is written.
    OSError
        If writing fails.
    """
    path = Path(path)
    if name := missing_package(path):
        raise DeviceError(
            f"export to {path.suffix} needs {name}: pip install 'ctapipe_gammalearn[onnx]'"
        )
    whole = WholeModel(model)
    write, read = (_write_onnx, _read_onnx) if path.suffix == ".onnx" else (_write_pt2, _read_pt2)
    with whole_file(path) as partial:
        write(partial, whole, _metadata(model, whole))
        worst = largest_difference(read(partial), model, whole)
        if not worst <= TOLERANCE:  # NaN is no agreement
            raise ModelFileError(
                f"{path}: not written: its numbers differ by {worst:.1e} from the predictor's;"
                " use another format, or report this"
            )
    return worst


def largest_difference(run, model, whole):
    """Largest difference to the predictor over batches of noise and of made-up showers.

    Parameters
    ----------
    run : callable
        From arrays in the order of ``whole.inputs`` to arrays in that of ``whole.outputs``.
    model : ctapipe_gammalearn.weights.Model
    whole : WholeModel

    Returns
    -------
    float
        Relative to max(1, |value|), impact in km; infinite if rows or types differ.
    """
    predictor = Predictor(model, device="cpu")
    worst = 0.0
    for seed, n in enumerate(BATCHES):
        images = _images(model.lattice, n, seed)[: len(whole.inputs)]
        expected = predictor.predict(*images)
        for name, ours in zip(whole.outputs, run(*images), strict=True):
            theirs = np.asarray(getattr(expected, name))
            if theirs.shape != ours.shape or (np.isnan(theirs) != np.isnan(ours)).any():
                return np.inf
            if theirs.dtype == bool:
                worst = worst if (theirs == ours).all() else np.inf
                continue
            scale = _KM if name == "impact" else 1.0
            difference = np.abs(ours - theirs) / scale / np.maximum(1, np.abs(theirs) / scale)
            worst = max(worst, float(np.nanmax(difference, initial=0.0)))
    return worst


def _images(lattice, n, seed):
    """Charges and times (n, n_pixels), float32: showers on noise, noise alone, missing pixels."""
    rng = np.random.default_rng(seed)
    xy = np.column_stack([lattice.pix_x, lattice.pix_y])
    size = np.ptp(xy, axis=0).max()
    middle = rng.uniform(-0.3, 0.3, (n, 1, 2)) * size + xy.mean(0)
    angle = rng.uniform(0, np.pi, (n, 1))
    dx, dy = np.moveaxis(xy - middle, 2, 0)
    along = (dx * np.cos(angle) + dy * np.sin(angle)) / (0.10 * size)
    across = (dy * np.cos(angle) - dx * np.sin(angle)) / (0.04 * size)
    light = 10 ** rng.uniform(0.5, 2.5, (n, 1)) * np.exp(-0.5 * (along**2 + across**2))
    light[2::8] = 0
    image = rng.poisson(light) + rng.normal(0, 1.5, light.shape)
    time = 15 + 4 * along.clip(-3, 3) + rng.normal(0, 1, light.shape)
    image[1::4, 3] = np.nan
    time[1::4, 5] = np.nan
    image[3::16] = np.nan
    return image.astype(np.float32), time.astype(np.float32)


def _metadata(model, whole):
    """Texts that go into the file."""
    card, lattice = model.card, model.lattice
    units = {"energy": "TeV", "energy_uncert": "TeV", "direction_uncert": "deg", "impact": "m"}
    if "direction" in card.tasks:
        own = {"frame": "telescope", "components": ["fov_lon", "fov_lat"], "unit": "deg"}
        units["direction"] = card.tasks["direction"] if card.shower is None else own
    return {
        "ctapipe_gammalearn": __version__,
        "model_card": card.to_json(),
        "model_sha256": str(model.sha256),
        "inputs": json.dumps({k: {"image": "p.e.", "peak_time": "ns"}[k] for k in whole.inputs}),
        "outputs": json.dumps({name: units.get(name, "") for name in whole.outputs}),
        "camera": card.camera["name"],
        "pix_x_m": json.dumps(np.round(lattice.pix_x, 6).tolist()),
        "pix_y_m": json.dumps(np.round(lattice.pix_y, 6).tolist()),
    }


def _program(whole):
    """Exported program with a batch of any size."""
    n_pixels = whole.n_pixels
    example = tuple(torch.zeros(3, n_pixels) for _ in whole.inputs)
    batch = torch.export.Dim("batch", min=1)
    sizes = tuple({0: batch} for _ in example)
    with torch.no_grad():
        return torch.export.export(whole, example, dynamic_shapes=sizes, strict=False)


def _write_pt2(path, whole, metadata):
    """Program and texts, for ``torch.export.load`` and libtorch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(_program(whole), path, extra_files=metadata)


def _read_pt2(path):
    """Callable on arrays."""
    module = torch.export.load(path).module()

    def run(*images):
        with torch.no_grad():
            return [v.numpy() for v in module(*map(torch.as_tensor, images))]

    return run


def _write_onnx(path, whole, metadata):
    """Graph and texts, all in one file."""
    import onnx

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _program(whole),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(whole.inputs),
            output_names=list(whole.outputs),
            verbose=False,
        )
    graph = program.model_proto
    onnx.helper.set_model_props(graph, metadata)
    path.write_bytes(graph.SerializeToString())


def _read_onnx(path):
    """Callable on arrays."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    return lambda *images: session.run(None, dict(zip(names, images, strict=True)))
