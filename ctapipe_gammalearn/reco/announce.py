"""What a run says about its models before the first event."""

from ctapipe.core import Provenance

__all__ = ["announce"]


def announce(models, subarray, device, log):
    """Log which model serves which telescopes, with what is unusual about it as a warning.

    Parameters
    ----------
    models : ModelSet
    subarray : ctapipe.instrument.SubarrayDescription
    device : str
        As configured.
    log : logging.Logger
    """
    for path, predictor in models.predictors.items():
        tel_ids = [i for i, m in models.by_telescope.items() if m.predictor is predictor]
        log.info(
            "%s (weights %s): %s, tasks %s, on %s, %d images per batch",
            path.name,
            predictor.card.weights_sha256[:12],
            _telescopes(tel_ids, subarray),
            ", ".join(predictor.tasks),
            predictor.device,
            predictor.batch_size,
        )
        trained_for = predictor.card.validity["telescopes"]
        if foreign := [i for i in tel_ids if not _named(str(subarray.tel[i]), trained_for)]:
            log.warning(
                "%s was trained for %s, not for %s",
                path.name,
                ", ".join(trained_for),
                _telescopes(foreign, subarray),
            )
        if predictor.card.status != "trained":
            log.warning("%s is %s: its results mean nothing", path.name, predictor.card.status)
        if Provenance().current_activity is not None:
            Provenance().add_input_file(path, role="dl-model", add_meta=False)
    if models.left_out:
        log.warning("No prediction for %s: no model fits", _telescopes(models.left_out, subarray))
    if device == "auto" and all(str(p.device) == "cpu" for p in models.predictors.values()):
        log.warning("No GPU found, the network runs on the CPU; device=cpu avoids this warning")


def _telescopes(tel_ids, subarray):
    """Telescopes by type: '4 x LST_LST_LSTCam, 2 x MST_MST_NectarCam'."""
    names = [str(subarray.tel[tel_id]) for tel_id in tel_ids]
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))


def _named(telescope, names):
    """Whether a telescope type contains one of the names; without names all do."""
    return not names or any(name.lower() in telescope.lower() for name in names)
