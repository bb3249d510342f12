"""Air showers as an event source: ``ctapipe-process -i run.shower.yaml -o events.dl1.h5``."""

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time
from ctapipe.atmosphere import TableAtmosphereDensityProfile
from ctapipe.containers import (
    ArrayEventContainer,
    CoordinateFrameType,
    DL1CameraContainer,
    EventIndexContainer,
    EventType,
    ObservationBlockContainer,
    ObservationBlockState,
    ObservingMode,
    PointingMode,
    SchedulingBlockContainer,
    SchedulingBlockType,
    SimulatedCameraContainer,
    SimulatedEventContainer,
    SimulatedShowerContainer,
    SimulatedShowerDistribution,
    SimulationConfigContainer,
    TelescopeImpactParameterContainer,
    TelescopeTriggerContainer,
    TriggerContainer,
)
from ctapipe.core import ToolConfigurationError
from ctapipe.io import DataLevel, EventSource

from ..exceptions import GammaLearnError
from ..simulation.atmosphere import LA_PALMA, Atmosphere
from ..simulation.events import Simulator
from ..simulation.run import read_run
from ..simulation.sampling import source_direction
from .shower_arrays import load_array

__all__ = [
    "SUFFIX",
    "ShowerSimulationSource",
    "event_container",
    "event_time",
    "simulation_config",
    "thrown_histogram",
]

#: Ending of the names of run descriptions.
SUFFIX = ".shower.yaml"
#: Time of event 0; each shower comes one second after the one before.
START = Time("2026-01-01T00:00:00", scale="tai")
START_JD = (START.jd1, START.jd2)
N_ENERGY_BINS, N_DISTANCE_BINS = 40, 20


class ShowerSimulationSource(EventSource):
    """Simulates showers, their light and camera images from a run description.

    The events have DL1 images, so nothing is left to calibrate.  Identification:
    ``obs_id`` is that of the run, ``event_id = 100 * shower + use``, where the shower number
    starts at ``first_shower`` and one shower is used at several core positions.
    """

    def __init__(self, input_url=None, config=None, parent=None, **kwargs):
        super().__init__(input_url=input_url, config=config, parent=parent, **kwargs)
        try:
            self.run = read_run(self.input_url)
            array, self._subarray = load_array(self.run.array, Path(self.input_url).parent)
            if self.run.min_tel > array.n_tel:
                raise GammaLearnError(
                    f"min_tel {self.run.min_tel} is more than the {array.n_tel} telescope(s) of"
                    f" array {self.run.array}"
                )
            self.simulator = Simulator(self.run, array)
        except GammaLearnError as error:
            name = str(self.input_url)
            text = str(error)
            text = text if text.startswith((name, Path(name).name)) else f"{name}: {text}"
            raise ToolConfigurationError(text) from None

    @staticmethod
    def is_compatible(file_path):
        """True for run descriptions, by their name."""
        return str(file_path).endswith(SUFFIX)

    @property
    def subarray(self):
        """The simulated array."""
        return self._subarray

    @property
    def is_simulation(self):
        """Always true."""
        return True

    @property
    def datalevels(self):
        """Images; no waveforms are kept."""
        return (DataLevel.DL1_IMAGES,)

    @property
    def atmosphere_density_profile(self):
        """Density and overburden by altitude, as simulated."""
        atmosphere = Atmosphere()
        return TableAtmosphereDensityProfile(
            QTable(
                {
                    "height": u.Quantity(atmosphere.altitude / 1e3, u.km),
                    "density": u.Quantity(atmosphere.grid[:, 0], u.g / u.cm**3),
                    "column_density": u.Quantity(atmosphere.grid[:, 1], u.g / u.cm**2),
                }
            )
        )

    @property
    def scheduling_blocks(self):
        """One block with the number of the run."""
        block = SchedulingBlockContainer(
            sb_id=np.uint64(self.run.obs_id),
            sb_type=SchedulingBlockType.OBSERVATION,
            producer_id="simulation",
            observing_mode=ObservingMode.UNKNOWN,
            pointing_mode=PointingMode.DRIFT,
        )
        return {block.sb_id: block}

    @property
    def observation_blocks(self):
        """One block with the number and the pointing of the run."""
        block = ObservationBlockContainer(
            obs_id=np.uint64(self.run.obs_id),
            sb_id=np.uint64(self.run.obs_id),
            producer_id="simulation",
            state=ObservationBlockState.COMPLETED_SUCCEDED,
            subarray_pointing_lat=self.run.pointing_alt * u.deg,
            subarray_pointing_lon=(self.run.pointing_az % 360) * u.deg,
            subarray_pointing_frame=CoordinateFrameType.ALTAZ,
            actual_start_time=START,
            actual_duration=0 * u.min,
        )
        return {block.obs_id: block}

    @property
    def simulation_config(self):
        """Everything that event weights need, by obs_id."""
        return {self.run.obs_id: simulation_config(self.run)}

    @property
    def simulated_shower_distributions(self):
        """Histogram of all thrown events of the run, by obs_id."""
        return {self.run.obs_id: thrown_histogram(self.run, self.simulator.thrown)}

    def _generator(self):
        """Yield events; stops early only if the caller does."""
        for count, event in enumerate(self.simulator.events()):
            yield event_container(event, count, self.run)


def event_container(event, count, run):
    """A simulated event as ctapipe's container.

    Parameters
    ----------
    event : ShowerEvent
    count : int
    run : RunConfig

    Returns
    -------
    ArrayEventContainer
    """
    time = event_time(event.event_id)
    shower = SimulatedShowerContainer(
        energy=u.Quantity(event.energy, u.TeV),
        alt=u.Quantity(np.rad2deg(event.alt), u.deg),
        az=u.Quantity(np.rad2deg(event.az), u.deg),
        core_x=u.Quantity(event.core_x, u.m),
        core_y=u.Quantity(event.core_y, u.m),
        h_first_int=u.Quantity(event.h_first_int, u.m),
        x_max=u.Quantity(event.x_max, GRAMMAGE),
        starting_grammage=u.Quantity(0.0, GRAMMAGE),
        shower_primary_id=run.primary_id,
    )
    container = ArrayEventContainer(
        index=EventIndexContainer(obs_id=run.obs_id, event_id=event.event_id),
        count=count,
        simulation=SimulatedEventContainer(shower=shower),
        trigger=TriggerContainer(
            time=time, tels_with_trigger=list(event.telescopes), event_type=EventType.SUBARRAY
        ),
    )
    alt = u.Quantity(np.deg2rad(run.pointing_alt), u.rad)
    az = u.Quantity(np.deg2rad(run.pointing_az % 360), u.rad)
    pointing = container.monitoring.pointing
    pointing.array_altitude, pointing.array_azimuth = alt, az
    for tel_id, image in event.telescopes.items():
        container.monitoring.tel[tel_id].pointing.altitude = alt
        container.monitoring.tel[tel_id].pointing.azimuth = az
        container.trigger.tel[tel_id] = TelescopeTriggerContainer(
            time=time, event_type=EventType.SUBARRAY, n_trigger_pixels=-1
        )
        container.dl1.tel[tel_id] = DL1CameraContainer(
            image=image.image, peak_time=image.peak_time, is_valid=True
        )
        impact = TelescopeImpactParameterContainer(
            distance=u.Quantity(event.impact[tel_id], u.m),
            distance_uncert=u.Quantity(0.0, u.m),
            prefix="true_impact",
        )
        container.simulation.tel[tel_id] = SimulatedCameraContainer(
            true_image=image.true_image, true_image_sum=image.true_image.sum(), impact=impact
        )
    return container


GRAMMAGE = u.g / u.cm**2


def event_time(event_id):
    """Time stamp of one or many events: one second per shower, ten milliseconds per use."""
    days = (event_id // 100 + 0.01 * (event_id % 100)) / 86400
    return Time(START_JD[0], START_JD[1] + days, format="jd", scale="tai")


def simulation_config(run):
    """Simulation configuration of a run.

    Parameters
    ----------
    run : RunConfig

    Returns
    -------
    SimulationConfigContainer
        ``n_showers * shower_reuse`` events were thrown with the given spectrum; the allowed
        range of directions is the source, or the pointing of a diffuse run.
    """
    source = source_direction(run)
    alt = u.Quantity(np.arcsin(source[2]), u.rad)
    az = u.Quantity(np.arctan2(-source[1], source[0]) % (2 * np.pi), u.rad)
    north, west, up = LA_PALMA.field
    horizontal = np.hypot(north, west)
    return SimulationConfigContainer(
        run_number=np.int32(run.obs_id),
        corsika_version=0,
        simtel_version=0,
        energy_range_min=run.energy_min * u.TeV,
        energy_range_max=run.energy_max * u.TeV,
        prod_site_B_total=1e6 * float(np.hypot(horizontal, up)) * u.uT,
        prod_site_B_declination=float(np.arctan2(-west, north)) * u.rad,
        prod_site_B_inclination=float(np.arctan2(-up, horizontal)) * u.rad,
        prod_site_alt=LA_PALMA.observation_level * u.m,
        spectral_index=run.spectral_index,
        shower_prog_start=0,
        shower_prog_id=0,
        detector_prog_start=0,
        detector_prog_id=0,
        n_showers=run.n_showers,
        shower_reuse=run.reuse,
        max_alt=alt,
        min_alt=alt,
        max_az=az,
        min_az=az,
        diffuse=not run.is_point_source,
        max_viewcone_radius=run.viewcone[1] * u.deg,
        min_viewcone_radius=run.viewcone[0] * u.deg,
        max_scatter_range=run.scatter_radius * u.m,
        min_scatter_range=0 * u.m,
        core_pos_mode=1,
        atmosphere=99,
        corsika_bunchsize=1,
        corsika_wlen_min=280 * u.nm,
        corsika_wlen_max=720 * u.nm,
    )


def thrown_histogram(run, thrown):
    """Histogram of all thrown events, triggered or not.

    Parameters
    ----------
    run : RunConfig
    thrown : ThrownShowers

    Returns
    -------
    SimulatedShowerDistribution
    """
    energy = np.geomspace(run.energy_min, run.energy_max, N_ENERGY_BINS + 1)
    distance = np.linspace(0, run.scatter_radius, N_DISTANCE_BINS + 1)
    return SimulatedShowerDistribution(
        obs_id=run.obs_id,
        hist_id=6,
        n_entries=run.n_thrown,
        bins_energy=energy * u.TeV,
        bins_core_dist=distance * u.m,
        histogram=thrown.histogram(energy, distance),
    )
