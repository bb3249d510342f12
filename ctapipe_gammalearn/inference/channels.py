"""From camera images to network input: pixel order, missing values, limits."""

import numpy as np

__all__ = ["MAX_BAD_FRACTION", "MAX_VALUE", "network_input"]

#: images with a larger fraction of non-finite charges are not used
MAX_BAD_FRACTION = 0.1
#: charges (p.e.) and times (ns) are cut off here, so that no layer overflows
MAX_VALUE = 1e6


def network_input(image, peak_time=None, *, order=None, nan_image=0.0, nan_time=0.0):
    """Network input of a batch of images.

    Parameters
    ----------
    image : ndarray, shape (n_images, n_pixels), p.e.
        Charges in file order.  Non-finite ones become ``nan_image``.
    peak_time : ndarray, shape (n_images, n_pixels), ns, optional
        Without it the input has the charge channel only.  Non-finite times become
        ``nan_time``.
    order : ndarray, shape (n_pixels,), int, optional
        File pixel of each model pixel; default: the file has the model's order.
    nan_image, nan_time : float
        What the model was trained with.

    Returns
    -------
    x : ndarray, shape (n_images, n_channels, n_pixels), float32
        Finite everywhere, model order.
    usable : ndarray, shape (n_images,), bool
        False where more than a tenth of the charges, or all times, are missing.
    """
    image = np.asarray(image)
    n_channels = 1 if peak_time is None else 2
    x = np.empty((len(image), n_channels, image.shape[1]), dtype=np.float32)
    good = _fill(x[:, 0], image, nan_image)
    usable = (~good).sum(axis=1) <= MAX_BAD_FRACTION * image.shape[1]
    if peak_time is not None:
        usable &= _fill(x[:, 1], np.asarray(peak_time), nan_time).any(axis=1)
    return x if order is None else x.take(order, axis=2), usable


def _fill(channel, values, missing):
    """Put limited values, or what replaces them, into a channel; where they were finite."""
    if values.dtype != np.float32:
        values = values.astype(np.float64)
    good = np.isfinite(values)
    np.clip(values, -MAX_VALUE, MAX_VALUE, out=channel, casting="same_kind")
    if not good.all():
        channel[~good] = np.clip(missing, -MAX_VALUE, MAX_VALUE)
    return good
