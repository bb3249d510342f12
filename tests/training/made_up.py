"""Made-up array folders: noise with a blob that lies where energy and direction say."""

import numpy as np

from ctapipe_gammalearn.training.arrays import EVENT_DTYPE, write_arrays
from ctapipe_gammalearn.training.selection import fill_summaries
from ctapipe_gammalearn.training.split import shower_keys

FOCAL_LENGTH_M = 28.0


def made_up_images(n, lattice, particle=0, seed=1):
    """Images, peak times and events of ``n`` blobs on any camera."""
    rng = np.random.default_rng([seed, particle])
    positions = np.column_stack([lattice.pix_x, lattice.pix_y])
    centre = positions[rng.integers(lattice.n_pixels, size=n)] * 0.6
    distance = np.hypot(*(positions[None] - centre[:, None]).transpose(2, 0, 1))
    events = np.zeros(n, EVENT_DTYPE)
    events["obs_id"], events["tel_id"], events["particle"] = 7 + particle, 1, particle
    events["event_id"] = 100 * (np.arange(n) // 2) + np.arange(n) % 2  # each shower twice
    energy = np.repeat(10 ** rng.uniform(-1.5, 0.5, (n + 1) // 2), 2)[:n]
    events["log10_energy"] = np.log10(energy)
    events["shower"] = shower_keys(events["obs_id"], energy)
    events["direction"] = np.rad2deg(centre / FOCAL_LENGTH_M)
    events["impact"] = rng.normal(0, 1, (n, 2))
    size = (200 * energy)[:, None]
    image = size * np.exp(-0.5 * (distance / (1.2 * lattice.pitch_m)) ** 2)
    image = (image + rng.normal(0, 1, image.shape)).astype(np.float32)
    peak_time = rng.normal(10, 2, image.shape).astype(np.float32)
    fill_summaries(events, image, lattice)
    return image, peak_time, events


def made_up_meta(lattice, seed=1, **changes):
    """Content of meta.json without the numbers that the writer adds."""
    source = {
        "file": "made_up.dl1.h5", "sha256": f"{seed:064x}", "obs_ids": [7], "primary": "gamma",
        "spectral_index": -2.0, "energy_TeV": [0.03, 3.2], "viewcone_deg": [0.0, 2.0],
        "pointing_alt_az_deg": [70.0, 180.0],
    }  # fmt: skip
    meta = {
        "camera": "MadeUpCam",
        "focal_length_m": FOCAL_LENGTH_M,
        "shape": lattice.shape,
        "sources": [source],
    }
    return meta | changes


def made_up_arrays(folder, n, lattice, particle=0, seed=1, **changes):
    """Array folder of ``n`` blobs."""
    blocks = [made_up_images(n, lattice, particle, seed)]
    pixels = np.column_stack([lattice.pix_x, lattice.pix_y])
    return write_arrays(
        folder, blocks, pixels, made_up_meta(lattice, seed + 1000 * particle, **changes)
    )
