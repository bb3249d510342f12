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
    image = np.asarray(image, dtype=np.float64)
    good = np.isfinite(image)
    usable = (~good).sum(axis=1) <= MAX_BAD_FRACTION * image.shape[1]
    channels = [np.where(good, image, nan_image)]
    if peak_time is not None:
        peak_time = np.asarray(peak_time, dtype=np.float64)
        good = np.isfinite(peak_time)
        usable &= good.any(axis=1)
        channels.append(np.where(good, peak_time, nan_time))
    x = np.stack(channels, axis=1)
    if order is not None:
        x = x[..., order]
    return x.clip(-MAX_VALUE, MAX_VALUE).astype(np.float32), usable
