"""Shower-like images for self-tests and for the statistics of untrained networks."""

import numpy as np

__all__ = ["synthetic_images"]


def synthetic_images(lattice, n_images, num_channels=2, seed=0):
    """Elliptic blobs of light on noise, with a time gradient along the major axis.

    Parameters
    ----------
    lattice : CameraLattice
    n_images : int
    num_channels : {1, 2}
        Charge (p.e.), peak time (ns).
    seed : int

    Returns
    -------
    ndarray, shape (n_images, num_channels, n_pixels), float32
    """
    rng = np.random.default_rng(seed)
    xy = np.stack([lattice.pix_x, lattice.pix_y])[:, None]  # (2, 1, n_pixels)
    centre = xy.mean(axis=2, keepdims=True)
    radius = np.hypot(*(xy - centre)).max()

    def draw(low, high):
        return rng.uniform(low, high, (n_images, 1))

    distance, phi, psi = 0.75 * radius * np.sqrt(draw(0, 1)), draw(0, 2 * np.pi), draw(0, np.pi)
    x, y = xy - centre - np.stack([distance * np.cos(phi), distance * np.sin(phi)])
    along, across = x * np.cos(psi) + y * np.sin(psi), y * np.cos(psi) - x * np.sin(psi)
    length = radius * draw(0.08, 0.25)
    width = np.maximum(length * draw(0.25, 0.6), lattice.pitch_m)
    light = np.exp(-0.5 * ((along / length) ** 2 + (across / width) ** 2))
    light *= 10 ** draw(1.7, 3.7) / light.sum(axis=1, keepdims=True).clip(1e-9)
    image = light + rng.normal(0, 1.5, light.shape)
    time = 18 + draw(-6, 6) * along / (length + radius) + rng.normal(0, 1, light.shape)
    time = np.where(light > 2, time, rng.uniform(2, 35, light.shape))
    return np.stack([image, time][:num_channels], axis=1).astype(np.float32)
