"""Run descriptions: what to simulate, read from YAML and checked before any work."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import yaml

from ..exceptions import SimulationError
from .array import ARRAYS
from .data_like import DataLike

__all__ = ["PRIMARIES", "RunConfig", "read_run"]

MAX_BYTES = 1_000_000

#: Primary particles by name, numbered as in ctapipe's ``true_shower_primary_id``.
PRIMARIES = {
    "gamma": 0, "electron": 1, "positron": -1, "muon": 2, "antimuon": -2, "proton": 101,
    "helium": 402, "carbon": 1206, "nitrogen": 1407, "oxygen": 1608, "magnesium": 2412,
    "silicon": 2814, "iron": 5626,
}  # fmt: skip

# key: (kind, least, most, unit), limits included
RANGES = {
    "obs_id": (int, 1, 2**31 - 1, ""),
    "seed": (int, 0, 2**63 - 1, ""),
    "n_showers": (int, 1, 100_000_000, ""),
    "reuse": (int, 1, 100, ""),
    "first_shower": (int, 0, 10**12, ""),
    "energy_min": (float, 0.001, 1000.0, "TeV"),
    "energy_max": (float, 0.001, 1000.0, "TeV"),
    "spectral_index": (float, -5.0, 0.0, ""),
    "source_offset": (float, 0.0, 10.0, "deg"),
    "source_angle": (float, -360.0, 360.0, "deg"),
    "scatter_radius": (float, 0.0, 10_000.0, "m"),
    "pointing_alt": (float, 30.0, 90.0, "deg"),
    "pointing_az": (float, -360.0, 360.0, "deg"),
    "min_tel": (int, 1, 1000, ""),
    "independent_above": (float, 0.0, 1000.0, "TeV"),
    "start_altitude": (float, 2200.0, 99_000.0, "m"),
    "throughput": (float, 0.1, 2.0, ""),
    "psf_scale": (float, 0.1, 10.0, ""),
    "nsb_gradient": (float, 0.0, 1.5, ""),
    "stars": (int, 0, 1000, ""),
    "star_nsb": (float, 0.0, 100.0, "dark sky"),
    "dead_pixels": (float, 0.0, 0.5, ""),
    "dead_modules": (int, 0, 100, ""),
    "time_offset_ns": (float, 0.0, 20.0, "ns"),
    "gain_spread": (float, 0.0, 0.3, ""),
}


@dataclass(frozen=True)
class RunConfig:
    """All parameters of a run (one obs_id).

    Attributes
    ----------
    obs_id, seed : int
        Showers depend on the seed and their own number only, never on the obs_id.
    primary : str
        One of `PRIMARIES`.
    n_showers, first_shower, reuse : int
        Showers ``first_shower`` to ``first_shower + n_showers - 1``, each thrown at ``reuse``
        random positions; ``event_id = 100 * shower + use``.
    energy_min, energy_max : float, TeV
    spectral_index : float
        Of the thrown spectrum dN/dE.
    viewcone : tuple of float, deg
        Smallest and largest angle between shower and pointing; (0, 0) is a point source.
    source_offset, source_angle : float, deg
        Of a point source from the pointing, towards increasing azimuth for angle 0 and
        towards increasing altitude for 90.
    scatter_radius : float, m
        Cores are uniform in a circle around the array, normal to the shower axis.
    pointing_alt, pointing_az : float, deg
    array : str
        One of `ARRAYS`, or a file whose subarray is taken.
    min_tel : int
        Fewest triggered telescopes of an event.
    nsb : tuple of float
        Range of the night-sky background in units of the dark sky (0.238 p.e./ns and pixel
        for an LST), drawn uniformly in its logarithm for each event.
    independent_above : float or None, TeV
        If the energy is above, the uses of a shower become showers of their own.
    start_altitude : float or None, m
        Where the primary starts; None: top of the atmosphere.
    data_like : DataLike
    """

    obs_id: int = 1
    seed: int = 1
    primary: str = "gamma"
    n_showers: int = 1000
    first_shower: int = 0
    reuse: int = 10
    energy_min: float = 0.02
    energy_max: float = 50.0
    spectral_index: float = -2.0
    viewcone: tuple = (0.0, 0.0)
    source_offset: float = 0.0
    source_angle: float = 0.0
    scatter_radius: float = 700.0
    pointing_alt: float = 70.0
    pointing_az: float = 180.0
    array: str = "1LST"
    min_tel: int = 1
    nsb: tuple = (1.0, 1.0)
    independent_above: float | None = None
    start_altitude: float | None = None
    data_like: DataLike = field(default_factory=DataLike)

    @property
    def primary_id(self):
        """Number of the primary as in ctapipe's ``true_shower_primary_id``."""
        return PRIMARIES[self.primary]

    @property
    def n_thrown(self):
        """Number of simulated events, triggered or not."""
        return self.n_showers * self.reuse

    @property
    def is_point_source(self):
        """True without a view cone."""
        return self.viewcone[1] == 0

    @classmethod
    def from_dict(cls, values):
        """Check a mapping of plain values, as it comes from YAML.

        Raises
        ------
        SimulationError
            Unknown key, value of the wrong kind, out of range, or not fitting another.
        """
        if not isinstance(values, dict):
            raise SimulationError("not a run description: expected lines such as 'n_showers: 100'")
        _refuse_unknown(values, cls, "")
        checked = {key: _value(key, value) for key, value in values.items()}
        run = cls(**checked)
        run.check()
        return run

    def to_dict(self):
        """Plain values that `from_dict` takes."""
        values = asdict(self) | {"viewcone": list(self.viewcone), "nsb": list(self.nsb)}
        return {key: value for key, value in values.items() if value is not None}

    def check(self):
        """Raise `SimulationError` where two values contradict each other."""
        if not self.energy_min < self.energy_max:
            raise SimulationError(
                f"energy_min {self.energy_min:g} TeV must be below energy_max {self.energy_max:g}"
            )
        if self.scatter_radius <= 0:
            raise SimulationError(f"scatter_radius {self.scatter_radius:g} m must be positive")
        low, high = self.viewcone
        if not self.is_point_source and not low < high:
            raise SimulationError(f"viewcone [{low:g}, {high:g}] deg is empty; give [least, most]")
        if self.source_offset and not self.is_point_source:
            raise SimulationError(
                "source_offset is for point sources; give either it or a viewcone, not both"
            )


def _refuse_unknown(values, cls, where):
    """Every key must be a field."""
    known = [f.name for f in fields(cls)]
    for key in values:
        if key not in known:
            raise SimulationError(f"unknown key {where}{key}; known: {', '.join(known)}")


def _value(key, value):
    """Value of one key, checked."""
    if value is None and key in ("independent_above", "start_altitude"):
        return None
    if key == "primary":
        return _primary(value)
    if key == "viewcone":
        return _pair(key, value, 0.0, 10.0, "deg")
    if key == "nsb":
        value = value if isinstance(value, list) else [value, value]
        low, high = _pair(key, value, 0.0, 20.0, "dark sky")
        if low > high or (low == 0 and high > 0):
            raise SimulationError(
                f"nsb [{low:g}, {high:g}] is empty; give [least, most], least > 0"
            )
        return low, high
    if key == "array":
        if not isinstance(value, str) or not value:
            raise SimulationError(f"array {value!r}: give {', '.join(ARRAYS)}, or a file name")
        return value
    if key == "data_like":
        return _data_like(value)
    return _number(key, value, *RANGES[key])


def _primary(value):
    """Name of a primary given by name or number."""
    names = {number: name for name, number in PRIMARIES.items()}
    if isinstance(value, int) and not isinstance(value, bool) and value in names:
        return names[value]
    if value not in PRIMARIES:
        raise SimulationError(f"primary {value!r} is unknown; known: {', '.join(PRIMARIES)}")
    return value


def _pair(key, value, least, most, unit):
    """Two numbers."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise SimulationError(f"{key}: expected two numbers such as [0, 2.5], not {value!r}")
    return tuple(_number(key, v, float, least, most, unit) for v in value)


def _number(key, value, kind, least, most, unit):
    """A number in its range."""
    what = "a whole number" if kind is int else "a number"
    allowed = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed):
        hint = "; YAML wants 1.0e-2 for 1e-2" if isinstance(value, str) and "e" in value else ""
        raise SimulationError(f"{key}: expected {what}, not {value!r}{hint}")
    if not least <= value <= most:  # also refuses NaN
        unit = f" {unit}" if unit else ""
        raise SimulationError(f"{key} {value:g}{unit} is out of range {least:g} to {most:g}{unit}")
    return kind(value)


def _data_like(value):
    """Settings of the data-like mode."""
    if value is None:
        return DataLike()
    if not isinstance(value, dict):
        raise SimulationError(f"data_like: expected settings such as 'stars: 3', not {value!r}")
    _refuse_unknown(value, DataLike, "data_like.")
    return DataLike(**{key: _number(key, v, *RANGES[key]) for key, v in value.items()})


def read_run(path):
    """Run description of a YAML file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    RunConfig

    Raises
    ------
    SimulationError
        One line that begins with the path.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise SimulationError("more than 1 MB: not a run description")
        return RunConfig.from_dict(yaml.safe_load(text))
    except OSError as error:
        raise SimulationError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise SimulationError(f"{path}: no valid YAML{line}") from None
    except SimulationError as error:
        raise SimulationError(f"{path}: {error}") from None
