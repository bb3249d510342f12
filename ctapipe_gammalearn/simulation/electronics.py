"""Camera electronics: photo-electrons to waveforms, trigger, charges and peak times.

Only what reaches the DL1 image is kept: samples are made for a window around the shower, the
trigger takes the first sample above threshold, charges come from a local-peak window.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from .kernels import FAST, exponential, normal_pair, uniform
from .trigger import module_groups, tile_modules

__all__ = ["Electronics", "Response", "TelescopeImage", "ideal_response"]

BEFORE_NS, AFTER_NS = 40.0, 60.0  # light of the shower is put here; what follows the readout
TRIGGER_FROM_NS, TRIGGER_TO_NS = 8.0, 80.0  # range searched for a trigger
BANK = 1 << 20  # (even) samples of pre-simulated noise per level
OVER = 40  # steps of the pulse table per sample
WINDOW, SHIFT = 8, 4  # extraction: samples, of which before the peak
# single photo-electron charge: Gaussian, and an exponential of low charges
SPE_SIGMA, SPE_TAIL, SPE_TAIL_MEAN = 0.35, 0.10, 0.35
SPE_NORM = 1 / ((1 - SPE_TAIL) * 1.0029 + SPE_TAIL * SPE_TAIL_MEAN)
SIGMAS_ABOVE_NOISE = 10.3  # threshold of cameras without one; the LST's is that far up
SIGMAS_THAT_HELP = 5.5  # noise never lifts a trigger sum by more (less than 1e-7 per sum)
LEVEL_STEP = 2**0.25  # of the NSB banks


@dataclass(frozen=True, eq=False)
class Response:
    """How the pixels of one telescope differ from the ideal.

    Attributes
    ----------
    gain : ndarray, shape (n_pixels,)
        Charge per photo-electron; 0 for a dead pixel.
    delay : ndarray, shape (n_pixels,), ns
    nsb : ndarray, shape (n_pixels,)
        Night-sky background in units of the run's level.
    """

    gain: np.ndarray
    delay: np.ndarray
    nsb: np.ndarray

    @property
    def dead(self):
        """Pixels without signal, shape (n_pixels,), bool."""
        return self.gain == 0


def ideal_response(n_pixels, gain_spread=0.02, seed=0):
    """Equal pixels but for the spread of gains that calibration leaves."""
    gain = np.random.default_rng(seed).normal(1, gain_spread, n_pixels) if gain_spread else 1.0
    ones = np.ones(n_pixels)
    return Response(np.clip(gain * ones, 0.8, 1.2), np.zeros(n_pixels), ones)


@dataclass(frozen=True, eq=False)
class TelescopeImage:
    """DL1 image of one triggered telescope.

    Attributes
    ----------
    image : ndarray, shape (n_pixels,), float32, p.e.
    peak_time : ndarray, shape (n_pixels,), float32, ns
        From the start of the readout window.
    true_image : ndarray, shape (n_pixels,), int32, p.e.
        Photo-electrons of the shower.
    trigger_time : float
        ns after the shower's light-speed front reached the core.
    """

    image: np.ndarray
    peak_time: np.ndarray
    true_image: np.ndarray
    trigger_time: float


def _generator(seed):
    """State of a random number generator of the compiled code, see `kernels`."""
    return np.array([seed], dtype=np.uint64)


@njit(**FAST)
def _charge(rng):
    """Single photo-electron charge, mean 1."""
    if uniform(rng) < SPE_TAIL:
        return SPE_NORM * SPE_TAIL_MEAN * exponential(rng)
    for _ in range(100):
        first, second = normal_pair(rng)
        if first > -1 / SPE_SIGMA:
            return SPE_NORM * (1 + SPE_SIGMA * first)
        if second > -1 / SPE_SIGMA:
            return SPE_NORM * (1 + SPE_SIGMA * second)
    return SPE_NORM


@njit(**FAST)
def _add_pulse(trace, time, amplitude, pulse, first):
    """Add a pulse with its maximum at ``time`` (samples); the table starts ``first`` before."""
    i = math.ceil(time + first)
    k = int((i - time - first) * OVER)
    if i < 0:
        k -= i * OVER
        i = 0
    last = trace.shape[0]
    while k < pulse.shape[0] and i < last:
        trace[i] += amplitude * pulse[k]
        i += 1
        k += OVER


@njit(**FAST)
def _fill_bank(rng, bank, rate, pulse, first, noise):
    """Noise of one NSB level: pulses at ``rate`` per sample, electronics, baseline removed."""
    n = bank.shape[0]
    bank[:] = 0
    for _ in range(int(rate * n)):
        _add_pulse(bank, uniform(rng) * n, _charge(rng), pulse, first)
    mean = bank.mean()
    for i in range(0, n - 1, 2):
        a, b = normal_pair(rng)
        bank[i] += noise * a - mean
        bank[i + 1] += noise * b - mean


@njit(**FAST)
def _add_noise(rng, traces, banks, level, gain):
    """Fill the traces with random stretches of the banks.

    ``level`` (n_pixels,) is a fractional bank number: the next lower or higher bank is drawn.
    """
    n_pixels, n_samples = traces.shape
    last = banks.shape[0] - 1
    for p in range(n_pixels):
        if gain[p] == 0.0:
            traces[p] = 0.0
            continue
        b = min(int(level[p] + uniform(rng)), last)
        start = int(uniform(rng) * (banks.shape[1] - n_samples))
        bank = banks[b]
        for i in range(n_samples):
            traces[p, i] = bank[start + i]


@njit(**FAST)
def _hopeless(pixels, module, groups, least, counts):
    """Whether no trigger group has ``least`` photo-electrons, so that noise would not help."""
    counts[:] = 0
    for j in range(pixels.shape[0]):
        counts[module[pixels[j]]] += 1
    for g in range(groups.shape[0]):
        if counts[groups[g, 0]] + counts[groups[g, 1]] + counts[groups[g, 2]] >= least:
            return False
    return True


@njit(**FAST)
def _trigger(traces, module, groups, threshold, sums, low, high):
    """First sample above threshold of any sum of three modules; -1 without."""
    sums[:] = 0
    for p in range(traces.shape[0]):
        m = module[p]
        for i in range(low, high):
            sums[m, i] += traces[p, i]
    found = high
    for g in range(groups.shape[0]):
        a, b, c = groups[g, 0], groups[g, 1], groups[g, 2]
        for i in range(low, found):
            if sums[a, i] + sums[b, i] + sums[c, i] > threshold:
                found = i
                break
    return found if found < high else -1


@njit(**FAST)
def _extract(traces, start, n_samples, saturation, correction, image, peak):
    """Local-peak window sum and charge-weighted time, as ctapipe's LocalPeakWindowSum."""
    for p in range(traces.shape[0]):
        best, at = -1e30, 0
        for i in range(n_samples):
            value = traces[p, start + i]
            if value > best:
                best, at = value, i
        total, weighted, positive = 0.0, 0.0, 0.0
        for i in range(max(0, at - SHIFT), min(n_samples, at - SHIFT + WINDOW)):
            value = min(traces[p, start + i], saturation)
            total += value
            if value > 0:
                weighted += value * i
                positive += value
        image[p] = total * correction
        peak[p] = weighted / positive if positive > 0 else float(at)


@njit(**FAST)
def _observe(rng, pixels, times, banks, level, pulse, first, jitter, gain, delay, module, groups,
             settings, traces, sums, image, peak, true_image):  # fmt: skip
    """One telescope: trigger sample or -1; fills image, peak (samples) and true_image.

    ``times`` and ``delay`` are in samples.  settings: threshold, low, high, trigger_sample,
    n_samples, saturation, correction, fewest photo-electrons of a trigger group.
    """
    if _hopeless(pixels, module, groups, settings[7], sums[:, 0]):
        return -1
    _add_noise(rng, traces, banks, level, gain)
    true_image[:] = 0
    for j in range(pixels.shape[0]):
        p = pixels[j]
        true_image[p] += 1
        charge = _charge(rng) * gain[p]
        time = times[j] + delay[p] + jitter * normal_pair(rng)[0]
        if charge > 0.0 and -20 < time < traces.shape[1] + 20:
            _add_pulse(traces[p], time, charge, pulse, first)
    n_samples = int(settings[4])
    at = _trigger(traces, module, groups, settings[0], sums, int(settings[1]), int(settings[2]))
    if at < 0:
        return -1
    start = max(0, min(at - int(settings[3]), traces.shape[1] - n_samples))
    _extract(traces, start, n_samples, settings[5], settings[6], image, peak)
    return at


class Electronics:
    """Electronics of one camera type, with noise banks and buffers.

    Parameters
    ----------
    camera : CameraModel
    seed : int
        Of the noise banks.
    nsb_range : tuple of float
        Lowest and highest night-sky background of any pixel, in units of the dark sky.
    """

    def __init__(self, camera, seed, nsb_range=(1.0, 1.0)):
        self.camera = camera
        self._set_pulse(camera)
        self.module = tile_modules(camera.plane, camera.pitch)
        self.groups = module_groups(camera.plane, self.module)
        self._fill_banks(seed, *nsb_range)
        n_samples = camera.n_samples + int((BEFORE_NS + AFTER_NS) * camera.sampling_ghz) - 40
        n_samples = max(n_samples, camera.n_samples)
        self.traces = np.zeros((camera.n_pixels, n_samples), dtype=np.float32)
        self.sums = np.zeros((self.module.max() + 1, n_samples), dtype=np.float32)
        self._settings(n_samples)

    def _set_pulse(self, camera):
        """Pulse table with `OVER` steps per sample, and charge per amplitude."""
        n = int(len(camera.pulse) * camera.pulse_step_ns * camera.sampling_ghz * OVER)
        known = np.arange(len(camera.pulse)) * camera.pulse_step_ns * camera.sampling_ghz
        pulse = np.interp(np.arange(n) / OVER, known, camera.pulse)
        peak = int(np.argmax(pulse))
        self.pulse, self.first = pulse / pulse[peak], -peak / OVER
        offsets = (np.arange(WINDOW) - SHIFT) * OVER + peak
        inside = self.pulse[offsets[(offsets >= 0) & (offsets < n)]].sum()
        self.correction = 1 / inside

    def _fill_banks(self, seed, low, high):
        """One noise bank per NSB level, from ``low`` to ``high`` in steps of `LEVEL_STEP`."""
        n = 1 if low == high else 1 + math.ceil(math.log(high / max(low, 0.05), LEVEL_STEP))
        self.levels = np.geomspace(max(low, 0.05), high, n) if n > 1 else np.array([float(low)])
        self.banks = np.zeros((n, BANK), dtype=np.float32)
        rate = self.camera.nsb / self.camera.sampling_ghz
        seeds = np.random.default_rng([seed, 77]).integers(2**31, size=n)
        for bank, level, s in zip(self.banks, self.levels, seeds, strict=True):
            _fill_bank(_generator(s), bank, rate * level, self.pulse, self.first, self.camera.noise)

    def _settings(self, n_samples):
        """Numbers of the kernel."""
        camera = self.camera
        threshold = camera.threshold
        root = math.sqrt(np.bincount(self.module).mean() * 3)  # of the pixels of a group
        if threshold is None:
            reference = self.banks[np.argmin(np.abs(self.levels - 1))]
            threshold = SIGMAS_ABOVE_NOISE * reference.std() * root
        fewest = max(0.0, threshold - SIGMAS_THAT_HELP * self.banks[-1].std() * root)
        low, high = (int(t * camera.sampling_ghz) for t in (TRIGGER_FROM_NS, TRIGGER_TO_NS))
        self.settings = np.array([
            threshold, low, min(high, n_samples), camera.trigger_sample, camera.n_samples,
            camera.saturation, self.correction, fewest,
        ])  # fmt: skip

    def _bank_number(self, nsb):
        """Fractional bank number whose random rounding has the mean rate ``nsb``."""
        if len(self.levels) == 1:
            return np.zeros(np.shape(nsb))
        return np.interp(nsb, self.levels, np.arange(len(self.levels)))

    def observe(self, pixels, times_ns, seed, response, nsb=1.0):
        """Image of the photo-electrons of one telescope.

        Parameters
        ----------
        pixels : ndarray, shape (n,), int
        times_ns : ndarray, shape (n,)
        seed : int
            All random numbers of this image follow from it.
        response : Response
        nsb : float
            Night-sky background in units of the dark sky.

        Returns
        -------
        TelescopeImage or None
            None without a trigger.
        """
        camera = self.camera
        ghz = camera.sampling_ghz
        shift = float(np.median(times_ns)) if len(times_ns) else 0.0
        times = (np.asarray(times_ns, float) - shift + BEFORE_NS) * ghz
        image = np.zeros(camera.n_pixels, dtype=np.float32)
        peak = np.zeros(camera.n_pixels, dtype=np.float32)
        true_image = np.zeros(camera.n_pixels, dtype=np.int32)
        at = _observe(
            _generator(seed), np.asarray(pixels, np.int32), times, self.banks,
            self._bank_number(nsb * response.nsb), self.pulse, self.first, camera.jitter_ns * ghz,
            response.gain, response.delay * ghz, self.module, self.groups, self.settings,
            self.traces, self.sums, image, peak, true_image,
        )  # fmt: skip
        if at < 0:
            return None
        return TelescopeImage(
            image, peak / np.float32(ghz), true_image, at / ghz - BEFORE_NS + shift
        )
