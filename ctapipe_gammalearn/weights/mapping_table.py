"""Interpolation tables of Cartesian networks as .npz files."""

from math import isqrt
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..exceptions import LatticeError, ModelFileError
from ..nn import Mapping

__all__ = ["read_mapping_table"]


def read_mapping_table(path):
    """Mapping from a file with the arrays ``pixel``, ``cell``, ``weight`` and ``shape``.

    Parameters
    ----------
    path : path-like
        ``shape`` is (n_pixels, n_cells) of the matrix of which the other three are the
        non-zero entries.  Images are square unless ``image_shape`` gives rows and columns.

    Returns
    -------
    Mapping

    Raises
    ------
    ModelFileError
        One line that names the file.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as table:
            columns = [table["pixel"], table["cell"], table["weight"]]
            n_pixels, n_cells = (int(n) for n in table["shape"])
            side = isqrt(n_cells)
            image_shape = table.get("image_shape", (side, side))
        rows, columns_per_row = (int(n) for n in image_shape)
        if rows * columns_per_row != n_cells or any(c.ndim != 1 for c in columns):
            raise LatticeError("the image is not square; give image_shape")
        pixel, cell, weight = columns
        return Mapping(
            pixel.astype(np.int32),
            cell.astype(np.int32),
            weight.astype(np.float32),
            (rows, columns_per_row),
            n_pixels,
        )
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror or 'not .npz'})") from None
    except (ValueError, TypeError, LookupError, AttributeError, EOFError, BadZipFile) as error:
        raise ModelFileError(
            f"{path}: no sound mapping table with pixel, cell, weight, shape ({error})"
        ) from None
