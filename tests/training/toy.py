"""A toy telescope: hexagonal camera, elongated images whose truth is known, array folders."""

import numpy as np

from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.training.arrays import EVENT_DTYPE, ImageArrays, join, write_arrays
from ctapipe_gammalearn.training.selection import fill_summaries
from ctapipe_gammalearn.training.settings import Recipe
from ctapipe_gammalearn.training.split import shower_keys

FOCAL_LENGTH, PITCH = 28.0, 0.05
# names of the showers: 100 and 97 of 150 are in the largest of three parts of 60, 20 and 20 %
OFFSET = 112_000


class Stop(Exception):
    """Stands for the end of the process."""


def pixels(rings=7):
    """Pixel centres of a hexagonal camera, shape (n_pixels, 2), m."""
    q, r = np.mgrid[-rings : rings + 1, -rings : rings + 1].reshape(2, -1)
    inside = np.abs(q + r) <= rings
    q, r = q[inside], r[inside]
    return PITCH * np.stack([q + 0.5 * r, np.sqrt(0.75) * r], axis=1)


def sample(n, particle, seed, rings=7):
    """Images (n, n_pixels) p.e., times ns, and events.

    The image lies between the source and a point opposite to the impact; gammas are narrow,
    their brightness grows with the energy, and times grow along the axis.
    """
    rng = np.random.default_rng(seed)
    xy = np.rad2deg(pixels(rings) / FOCAL_LENGTH)
    events = np.zeros(n, EVENT_DTYPE)
    events["obs_id"], events["event_id"] = seed, np.arange(n)
    events["tel_id"], events["particle"] = 1, particle
    energy = 10 ** rng.uniform(-1, 1, n)
    events["log10_energy"] = np.log10(energy)
    # not of the energy, whose last bit is not the same on all processors
    events["shower"] = shower_keys(events["obs_id"], np.arange(n) + OFFSET)
    angle, offset = rng.uniform(0, 2 * np.pi, n), 0.25 * np.sqrt(rng.random(n))
    axis = np.stack([np.cos(angle), np.sin(angle)], 1)
    phi = rng.uniform(0, 2 * np.pi, n)
    direction = offset[:, None] * np.stack([np.cos(phi), np.sin(phi)], 1)
    events["direction"], events["impact"] = direction, -axis * rng.uniform(0.5, 1.5, n)[:, None]
    centre = direction + 0.2 * axis
    d = xy[None] - centre[:, None]
    along = (d * axis[:, None]).sum(-1)
    across = d[..., 0] * axis[:, 1:] - d[..., 1] * axis[:, :1]
    width = (0.08 if particle == 0 else 0.2) * np.ones((n, 1))
    shape = np.exp(-0.5 * (along / 0.25) ** 2 - 0.5 * (across / width) ** 2)
    image = 80 * energy[:, None] ** 0.5 * shape + rng.normal(0, 1, shape.shape)
    time = 20 + 15 * along + rng.normal(0, 0.5, shape.shape)
    return image.astype(np.float32), time.astype(np.float32), events


def write_sample(folder, n, particle, seed, rings=7, **source):
    """An array folder of `sample`."""
    image, time, events = sample(n, particle, seed, rings)
    xy = pixels(rings)
    fill_summaries(events, image, CameraLattice.from_positions(*xy.T))
    name = "gamma" if particle == 0 else "proton"
    meta = {
        "camera": "ToyCam",
        "focal_length_m": FOCAL_LENGTH,
        "shape": "hexagonal",
        "sources": [
            {"file": f"{name}{seed}.dl1.h5", "primary": name, "sha256": f"{seed:064d}", **source}
        ],
    }
    return write_arrays(folder, [(image, time, events)], xy, meta)


def toy_images(folder, n=600, rings=7):
    """Gammas and protons, ``n`` of each."""
    for name, particle, seed in (("gamma", 0, 1), ("proton", 101, 2)):
        if not (folder / name).exists():
            write_sample(folder / name, n, particle, seed, rings)
    return join([ImageArrays(folder / name) for name in ("gamma", "proton")])


def small_recipe(**sections):
    """A recipe for a few steps of a tiny network."""
    values = {
        "network": {"block_features": [4, 6], "fc_width": 16, "modes": 2},
        "shower": {"crop": 8, "rotations": 1},
        "optimiser": {"warmup_steps": 2},
        "selection": {"max_leakage": 1.0},
        "data": {"batch_size": 16},
        "run": {"epochs": 2, "max_steps": 12, "save_every": 1, "log_every": 2, "device": "cpu"},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return Recipe.from_dict(values)
