"""One file of ``ctapipe-gammalearn-apply``, from DL1 images to verified DL2."""

__all__ = ["apply_file"]


def apply_file(input, output, settings):  # noqa: A002
    """Reconstruct one file; may be called in any process.

    Parameters
    ----------
    input : str
        DL1 file of ctapipe with images.
    output : str
        File to write.
    settings : dict
        Plain values. ``config``: configuration of the components, as in the file given to
        ctapipe-process. ``copy``: which parts of the input to copy, see
        `ctapipe_gammalearn.io.copied_files.PARTS`. ``overwrite``: bool.

    Returns
    -------
    dict
        ``images``, ``reconstructed``, ``events``: int; ``seconds``: float; ``skipped``: bool.

    Raises
    ------
    GammaLearnError
        Input, model or settings cannot be used; one line.
    OSError
        The output cannot be written.
    """
    raise NotImplementedError
