"""The event loop: thrown showers become triggered events with camera images."""

import warnings
from dataclasses import dataclass, field

import numpy as np

from .array import ARRAYS, built_in_array
from .data_like import make_response
from .electronics import Electronics
from .model import ShowerModel
from .sampling import ThrownShowers, max_impact, sample_throw, telescope_axes

__all__ = ["ShowerEvent", "Simulator"]

FEWEST = 0.6  # telescopes with fewer photo-electrons, in units of the threshold, cannot trigger


@dataclass(frozen=True, eq=False)
class ShowerEvent:
    """A triggered event.

    Attributes
    ----------
    event_id : int
        100 * shower number + use of the shower.
    energy : float, TeV
    alt, az : float, rad
        Direction of origin.
    core_x, core_y : float, m
    h_first_int : float, m
        Altitude of the first interaction.
    x_max : float, g/cm²
        Slant depth where most charged particles above the Cherenkov threshold are.
    nsb : float
        Night-sky background in units of the dark sky.
    telescopes : dict of int to TelescopeImage
        By tel_id, triggered telescopes only.
    impact : dict of int to float, m
        Distance of these telescopes from the shower axis.
    """

    event_id: int
    energy: float
    alt: float
    az: float
    core_x: float
    core_y: float
    h_first_int: float
    x_max: float
    nsb: float
    telescopes: dict = field(repr=False)
    impact: dict = field(repr=False)


class Simulator:
    """Simulates the events of a run.

    Parameters
    ----------
    run : RunConfig
    array : ArrayModel, optional
        Default: the built-in array that the run names.
    """

    def __init__(self, run, array=None):
        if array is None:
            array = built_in_array(run.array if run.array in ARRAYS else "1LST")
        self.run, self.array = run, array
        self.thrown = ThrownShowers(run)
        #: photo-electrons and particles that found no room, and their showers
        self.n_lost = self.n_overfull = 0
        #: called without arguments after every shower, to show progress
        self.on_shower = None
        alt, az = np.deg2rad(run.pointing_alt), np.deg2rad(run.pointing_az)
        self.axes = telescope_axes(alt, az)
        self._prepare_cameras()
        self.model = ShowerModel(run, array)

    def _prepare_cameras(self):
        """Responses of all telescopes and electronics of all camera types."""
        run = self.run
        rng = [np.random.default_rng([run.seed, 78, tel_id]) for tel_id in self.array.tel_ids]
        cameras = self.array.cameras
        self.responses = [
            make_response(c, run.data_like, r) for c, r in zip(cameras, rng, strict=True)
        ]
        factors = np.concatenate([response.nsb for response in self.responses])
        low, high = run.nsb[0] * factors.min(), run.nsb[1] * factors.max()
        types = {id(camera): camera for camera in cameras}
        electronics = {key: Electronics(c, run.seed, (low, high)) for key, c in types.items()}
        self.electronics = [electronics[id(camera)] for camera in cameras]
        self.fewest = np.array([FEWEST * e.settings[0] for e in self.electronics]).astype(int)

    def events(self):
        """Yield the triggered events of all showers, in order.

        Yields
        ------
        ShowerEvent
        """
        first = self.run.first_shower
        for shower in range(first, first + self.run.n_showers):
            throw = sample_throw(self.run, shower, self.array.n_tel)
            self.thrown.add(shower, throw)
            uses = np.arange(self.run.reuse)
            for group in [uses] if throw.shared else uses[:, None]:
                yield from self._shower_events(shower, throw, group)
            if self.on_shower is not None:
                self.on_shower()
        if self.n_lost:
            # no logger: tools of ctapipe silence those that exist when they start
            warnings.warn(
                f"run {self.run.obs_id}: {self.n_lost} photo-electrons or particles of"
                f" {self.n_overfull} shower(s) found no room and are missing in the images; lower"
                " energy_max or reuse",
                stacklevel=2,
            )

    def _shower_events(self, shower, throw, uses):
        """Events of one shower at the given uses."""
        use, tel, relative, impact = self._in_reach(throw, uses)
        if not len(use):
            return
        k = uses[0]
        result = self.model(throw.energy[k], throw.source[k], relative, tel, throw.seed[k])
        self.n_lost += result.n_lost
        self.n_overfull += result.n_lost > 0
        hits = result.hits
        if len(hits) < self.fewest.min():
            return
        order = np.argsort(hits[:, 0].astype(np.int32), kind="stable")
        bounds = np.searchsorted(hits[order, 0], np.arange(len(use) + 1))
        start = 0
        while start < len(use):
            stop = int(np.searchsorted(use, use[start], side="right"))
            images = self._images(throw, use[start], tel[start:stop], hits, order, bounds[start:])
            if len(images) >= self.run.min_tel:
                near = dict(zip(tel[start:stop].tolist(), impact[start:stop].tolist(), strict=True))
                yield self._event(shower, throw, int(use[start]), result, images, near)
            start = stop

    def _in_reach(self, throw, uses):
        """Pairs of use and telescope that light may reach.

        Returns
        -------
        use, tel : ndarray, shape (n,), int
        relative : ndarray, shape (n, 3), m
            Telescope positions relative to the core at the observation level.
        impact : ndarray, shape (n,), m
        """
        k = uses[0]
        source = throw.source[k]
        relative = np.repeat(self.array.positions[None], len(uses), axis=0)
        relative[:, :, :2] -= throw.core[uses][:, None]
        along = relative @ source
        impact = np.sqrt(np.einsum("ijk,ijk->ij", relative, relative) - along**2)
        zenith = np.arccos(min(1.0, source[2]))
        near = impact < max_impact(throw.energy[k], self.run.primary_id, zenith)
        near &= (near.sum(axis=1) >= self.run.min_tel)[:, None]
        use, tel = np.nonzero(near)
        return uses[use], tel, np.ascontiguousarray(relative[near]), impact[near]

    def _images(self, throw, use, tels, hits, order, bounds):
        """Images of the triggered telescopes of one use, by index of the telescope."""
        images = {}
        for j, tel in enumerate(tels):
            if bounds[j + 1] - bounds[j] < self.fewest[tel]:
                continue
            own = hits[order[bounds[j] : bounds[j + 1]]]
            image = self.electronics[tel].observe(
                own[:, 1], own[:, 2], throw.camera_seed[use, tel], self.responses[tel],
                throw.nsb[use],
            )  # fmt: skip
            if image is not None:
                images[int(tel)] = image
        return images

    def _event(self, shower, throw, use, result, images, impact):
        """Put an event together."""
        ids = self.array.tel_ids
        source = throw.source[use]
        return ShowerEvent(
            event_id=100 * shower + use,
            energy=float(throw.energy[use]),
            alt=float(np.arcsin(source[2])),
            az=float(np.arctan2(-source[1], source[0]) % (2 * np.pi)),
            core_x=float(throw.core[use, 0]),
            core_y=float(throw.core[use, 1]),
            h_first_int=float(result.h_first_int),
            x_max=float(result.x_max),
            nsb=float(throw.nsb[use]),
            telescopes={ids[tel]: image for tel, image in images.items()},
            impact={ids[tel]: impact[tel] for tel in images},
        )
