"""Random changes of images that leave their true values known.

Rotations by 60° are exact permutations of the pixels of a hexagonal camera (90° of a square
one), and turn the true direction and impact along.  Noise and faults of the detector teach what
does not matter.
"""

from dataclasses import asdict, dataclass, fields

import numpy as np

from ..exceptions import LatticeError, TrainingError
from ..lattice import rotation_permutations
from ..simulation.trigger import tile_modules

__all__ = ["Augmentation", "AugmentationTables", "apply", "augmentation_tables"]

NSB_FORMS = ("lstchain", "gammalearn")
MOST_NSB = 50.0  # p.e.
BRIGHT_PE = 8.0  # above, lstchain adds noise without a shift of the pedestal
# shift of faint pixels and noise of bright ones per noise of faint ones, as fitted by lstchain
SHIFT_RATIO, BRIGHT_RATIO = 0.33, 1.2


@dataclass(frozen=True)
class Augmentation:
    """What is changed; every value is drawn anew for each image.

    Attributes
    ----------
    rotate : bool
        By a random multiple of 60° (square pixels: 90°) about the camera centre.
    nsb : tuple of float, p.e.
        Range of the variance λ_d of the added night-sky background per pixel, at most 50;
        (0, 0): none.
    nsb_form : {"lstchain", "gammalearn"}
        ``"lstchain"``: q + Poisson(λ_d) - λ_d + 0.33 λ_d for faint pixels, and
        q + Poisson(1.2 λ_d) - 1.2 λ_d above 8 p.e.  ``"gammalearn"``: q + Poisson(λ_d).
    dead_pixels : float
        Largest fraction of single pixels without charge and time.
    dead_modules : int
        Largest number of 7-pixel modules without charge and time.
    time_jitter_ns : float, ns
        Standard deviation of the change of each peak time.
    throughput : tuple of float
        Range of a common factor of all charges, true energy unchanged.
    """

    rotate: bool = True
    nsb: tuple = (0.0, 0.0)
    nsb_form: str = "lstchain"
    dead_pixels: float = 0.02
    dead_modules: int = 0
    time_jitter_ns: float = 0.5
    throughput: tuple = (1.0, 1.0)

    def __post_init__(self):
        for name, least, most in (("nsb", 0.0, MOST_NSB), ("throughput", 0.01, 100.0)):
            value = getattr(self, name)
            if len(value) != 2 or not least <= value[0] <= value[1] <= most:
                text = f"give [least, most] within {least:g} and {most:g}"
                raise TrainingError(f"augmentation {name} {value!r}: {text}")
            object.__setattr__(self, name, tuple(float(v) for v in value))
        if self.nsb_form not in NSB_FORMS:
            raise TrainingError(f"augmentation nsb_form: give {' or '.join(NSB_FORMS)}")
        if not 0 <= self.dead_pixels <= 1 or self.dead_modules < 0 or self.time_jitter_ns < 0:
            raise TrainingError(
                "augmentation: dead_pixels is a fraction; dead_modules and time_jitter_ns are"
                " at least 0"
            )

    @classmethod
    def from_dict(cls, values):
        """Settings of plain values.

        Raises
        ------
        TrainingError
            For an unknown key or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise TrainingError(f"augmentation: unknown key {key}; known: {', '.join(known)}")
        return cls(**values)

    def to_dict(self):
        """Plain values."""
        return asdict(self) | {"nsb": list(self.nsb), "throughput": list(self.throughput)}


@dataclass(frozen=True, eq=False)
class AugmentationTables:
    """What `apply` has to know about a camera.

    Attributes
    ----------
    permutations : ndarray, shape (n_rotations, n_pixels), int64
        ``new[i] = old[permutations[k, i]]`` is the image turned k times; one row if images
        are not turned.
    module : ndarray, shape (n_pixels,), int, or None
        Module of each pixel.
    """

    permutations: np.ndarray
    module: np.ndarray | None


def augmentation_tables(lattice, settings):
    """Tables of a camera.

    Parameters
    ----------
    lattice : CameraLattice
    settings : Augmentation

    Returns
    -------
    AugmentationTables

    Raises
    ------
    TrainingError
        If the camera does not have the symmetry, or the modules, that the settings ask for.
    """
    permutations, module = np.arange(lattice.n_pixels)[None], None
    if settings.rotate:
        try:
            permutations = np.asarray(rotation_permutations(lattice))
        except LatticeError as error:
            raise TrainingError(f"{error}; set augmentation rotate: false") from None
    if settings.dead_modules:
        if lattice.shape != "hexagonal":
            raise TrainingError("augmentation dead_modules is for hexagonal pixels; set it to 0")
        module = tile_modules(np.column_stack([lattice.pix_x, lattice.pix_y]), lattice.pitch_m)
    return AugmentationTables(permutations, module)


def apply(image, peak_time, direction, impact, settings, tables, rng):
    """Change a batch of images and their true values.

    Parameters
    ----------
    image, peak_time : ndarray, shape (n, n_pixels), float32, p.e. and ns
    direction, impact : ndarray, shape (n, 2)
        Camera-plane position and tilted impact.
    settings : Augmentation
    tables : AugmentationTables
    rng : numpy.random.Generator

    Returns
    -------
    image, peak_time, direction, impact : ndarray
        New arrays where something has changed; the arguments stay as they are.
    """
    n = len(image)
    # a generator for each change, so one setting does not alter the others' numbers
    rotation, noise, dead, jitter, factor = rng.spawn(5)
    if settings.rotate:
        n_rotations = len(tables.permutations)
        k = rotation.integers(n_rotations, size=n)
        image = _permute(image, tables.permutations, k)
        peak_time = _permute(peak_time, tables.permutations, k)
        angle = 2 * np.pi / n_rotations * k
        direction, impact = _turn(direction, angle), _turn(impact, angle)
    if settings.throughput != (1.0, 1.0):
        image = image * factor.uniform(*settings.throughput, (n, 1)).astype(np.float32)
    if settings.nsb[1] > 0:
        image, peak_time = _add_noise(image, peak_time, settings, noise)
    if settings.time_jitter_ns > 0:
        change = jitter.standard_normal(peak_time.shape, dtype=np.float32)
        peak_time = peak_time + np.float32(settings.time_jitter_ns) * change
    if settings.dead_pixels > 0 or settings.dead_modules > 0:
        alive = _alive(image.shape, settings, tables, dead)
        image, peak_time = image * alive, peak_time * alive
    return image, peak_time, direction, impact


def _permute(values, permutations, k):
    """Turn each image by its own k."""
    out = np.empty_like(values)
    for rotation in np.unique(k):
        here = np.flatnonzero(k == rotation)
        out[here] = values[here[:, None], permutations[rotation]]
    return out


def _turn(vector, angle):
    """Turn plane vectors, shape (n, 2), each by its own angle (rad)."""
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = vector[:, 0], vector[:, 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=1).astype(vector.dtype)


def _add_noise(image, peak_time, settings, rng):
    """Add night-sky background; where it outweighs the charge, its time replaces the peak's."""
    level = rng.uniform(*settings.nsb, (len(image), 1)).astype(np.float32)
    added = _poisson(level, image.shape, rng)
    changed = image + added
    if settings.nsb_form == "lstchain":
        row, column = np.nonzero(image > BRIGHT_PE)
        mean = BRIGHT_RATIO * level[row, 0]
        added[row, column] = extra = rng.poisson(mean)
        changed += (SHIFT_RATIO - 1) * level
        changed[row, column] = image[row, column] + extra - mean
    least = peak_time.min(axis=1, keepdims=True)
    most = peak_time.max(axis=1, keepdims=True)
    drawn = least + (most - least) * rng.random(image.shape, dtype=np.float32)
    return changed, np.where(added > np.maximum(image, 0), drawn, peak_time)


def _poisson(level, shape, rng):
    """Poisson numbers of one mean per image, several times faster than those of NumPy.

    Probabilities are rounded to 2^-16, which leaves the mean right to 1e-3.

    Parameters
    ----------
    level : ndarray, shape (n, 1), float
        At most `MOST_NSB`.
    shape : tuple of int
        (n, n_pixels)

    Returns
    -------
    ndarray, shape (n, n_pixels), uint8
    """
    last = 2**16 - 1
    quantile = rng.integers(last, size=shape, dtype=np.uint16)
    number = np.zeros(shape, dtype=np.uint8)
    term = probability = np.exp(-level.astype(float))
    # as many steps as the largest number: comparing is faster than searching
    for k in range(1, 256):
        edge = np.rint(last * probability).astype(np.uint16)
        if (edge == last).all():
            break
        number += quantile >= edge
        term = term * level / k
        probability = probability + term
    return number


def _alive(shape, settings, tables, rng):
    """Pixels that keep their signal, shape (n, n_pixels), bool."""
    n, n_pixels = shape
    alive = np.ones(shape, dtype=bool)
    most = int(settings.dead_pixels * n_pixels)
    if most:
        number = rng.integers(most + 1, size=(n, 1))
        row, column = np.nonzero(np.arange(most) < number)
        # a pixel drawn twice is dead once
        alive[row, rng.integers(n_pixels, size=(n, most))[row, column]] = False
    if settings.dead_modules:
        score = rng.random((n, tables.module.max() + 1))
        number = rng.integers(settings.dead_modules + 1, size=(n, 1))
        # the modules with the lowest scores
        broken = np.argsort(np.argsort(score, axis=1), axis=1) < number
        alive &= ~broken[:, tables.module]
    return alive
