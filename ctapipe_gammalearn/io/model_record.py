"""What a model file says of its training, read without torch."""

import json
from pathlib import Path

from ..exceptions import IRFError

__all__ = ["read_training"]

# as in `weights.container`, which loads torch
CARD_KEY, MAX_HEADER = "ctapipe_gammalearn", 2**20


def read_training(path):
    """Section ``training`` of the model card.

    Parameters
    ----------
    path : path-like
        Model file.

    Returns
    -------
    dict
        Empty if the card has none.

    Raises
    ------
    IRFError
        No such file, or no model file.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size) if size <= MAX_HEADER else b"")
        training = json.loads(header["__metadata__"][CARD_KEY])["training"] or {}
        if not isinstance(training, dict):
            raise TypeError(training)
    except FileNotFoundError:
        raise IRFError(f"{path}: no such file; give the model file of the network") from None
    except OSError as error:
        raise IRFError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        raise IRFError(f"{path}: no model file of ctapipe_gammalearn, or a damaged one") from None
    return training
