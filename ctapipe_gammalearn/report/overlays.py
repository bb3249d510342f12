"""Published curves of other instruments, to be drawn beside ours."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Overlay"]


@dataclass(frozen=True, eq=False)
class Overlay:
    """A curve of another instrument.

    Attributes
    ----------
    label : str
        Instrument and year, as the legend says it.
    quantity : str
        ``sensitivity`` (erg / (cm2 s)), ``theta68`` (deg), ``eres`` or ``aeff`` (m2).
    definition : str
        How it was measured, where that differs from ours: spectrum, hours, containment.
    energy : ndarray, shape (n,), TeV
    value : ndarray, shape (n,)
    lo, hi : ndarray, shape (n,), optional
        Interval.
    """

    label: str
    quantity: str
    definition: str
    energy: np.ndarray
    value: np.ndarray
    lo: np.ndarray | None = None
    hi: np.ndarray | None = None
