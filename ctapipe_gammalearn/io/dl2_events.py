"""Simulated events of ctapipe's DL2 files with all their reconstructions, for `irf`."""

from pathlib import Path

import numpy as np
from astropy.coordinates import angular_separation
from ctapipe.instrument import SubarrayDescription

from ..exceptions import IRFError
from ..irf.samples import Reconstruction, Sample, cluster_key
from .dl2_criteria import criteria_mask, quality_mask
from .dl2_settings import combine, opened, read_settings
from .dl2_tables import (
    PARTS,
    match_rows,
    prefix_of,
    read_columns,
    read_reconstruction,
    result_nodes,
)

__all__ = ["KINDS", "read_sample"]

SHOWERS = "/simulation/event/subarray/shower"
#: primaries of each kind of sample
KINDS = {"gamma": 0, "gamma_diffuse": 0, "proton": 101, "electron": 1}


def read_sample(
    paths, kind, reconstructors, level="subarray", quality=(), progress=None, telescopes=(),
    criteria=None,
):  # fmt: skip
    """Events of one kind of particle from any number of files.

    Parameters
    ----------
    paths : list of path-like
        DL2 files of one production, whole runs; in each all reconstructors.
    kind : str
        Of `KINDS`.
    reconstructors : dict of str to dict
        By name the prefixes of ``energy``, ``geometry`` and ``gammaness``.
    level : str
        "subarray": a row is an event. "telescope": a row is an image, and showers count once for
        each telescope, so that effective areas are those of one telescope on average.
    quality : sequence of (str, str)
        Name and expression, as ctapipe's quality queries, of true values, ``multiplicity``
        (triggered telescopes) and image parameters: of the image, or of the brightest one of the
        event. Missing and NaN parameters fail.
    progress : callable, optional
        Called after each file.
    telescopes : sequence of int or str
        Numbers or types of the telescopes whose images count; all if there are none.
    criteria : dict of str to list of (str, str), optional
        By reconstructor names and expressions of ctapipe's selection of DL2 events, see
        `dl2_criteria.criteria_mask`. What fails is not valid for that reconstructor.

    Returns
    -------
    sample : Sample
        In the order of the files; what a reconstructor lacks, or calls invalid, is not valid.
    settings : dl2_settings.Settings

    Raises
    ------
    IRFError
        Damaged or foreign files, unknown prefixes, other particles, mismatched settings.
    """
    if not paths:
        raise IRFError(f"{kind}: no file; give DL2 files")
    settings = combine([read_settings(path) for path in paths])
    pointing = np.deg2rad([settings.az, settings.alt])
    parts, n_tels = [], 1
    for path in paths:
        *found, n = _read_file(
            Path(path), kind, reconstructors, level, quality, telescopes, criteria
        )
        parts.append(_seen_from(pointing, *found))
        n_tels = max(n_tels, n)
        if progress is not None:
            progress()
    columns = _joined_parts(parts)
    if not len(columns["true_energy"]):
        raise IRFError(f"{settings.where}: no event of kind {kind}; give a file that has some")
    reconstructions = {
        name: Reconstruction(**{k[1]: columns.pop(k) for k in list(columns) if k[0] == name})
        for name in reconstructors
    }
    thrown = settings.thrown.part(n_tels)
    return Sample(kind, thrown, **columns, reconstructions=reconstructions), settings


def _seen_from(pointing, events, reconstructions):
    """Columns of `Sample`, and of `Reconstruction` by (name, column), of one file."""
    true = events["az"], events["alt"]
    columns = {
        "true_energy": events["energy"], "true_offset": _separation(*pointing, *true),
        "cluster": _clusters(events), "quality": events["quality"],
    }  # fmt: skip
    for name, found in reconstructions.items():
        reco = found.pop("az"), found.pop("alt")
        found |= {"theta": _separation(*true, *reco), "offset": _separation(*pointing, *reco)}
        columns |= {(name, key): values for key, values in found.items()}
    return columns


def _joined_parts(parts):
    """Columns of all files; of each column there are two copies for a moment, not of all."""
    if len(parts) == 1:
        return parts[0]
    return {key: np.concatenate([part.pop(key) for part in parts]) for key in list(parts[0])}


def _separation(az, alt, az_2, alt_2):
    """Angle between directions (rad), deg."""
    return np.rad2deg(angular_separation(az, alt, az_2, alt_2))


def _clusters(events):
    """Key of the shower of each event."""
    shower = cluster_key(events["primary"], events["obs_id"], events["event_id"] // 100)
    order = np.argsort(shower, kind="stable")
    energy, same = events["energy"][order], np.diff(shower[order]) == 0
    if np.any(np.diff(energy)[same] != 0):
        # event numbers that do not count the uses of a shower
        return cluster_key(events["obs_id"], events["energy"], events["alt"], events["az"])
    return shower


def _read_file(path, kind, reconstructors, level, quality, telescopes, criteria):
    """Truth, reconstructions and number of telescopes of a file."""
    with opened(path) as h5:
        nodes = {
            (name, part): result_nodes(path, h5, level, part, prefix_of(name, prefixes, part))
            for name, prefixes in reconstructors.items()
            for part in PARTS
        }
        truth = read_columns(path, h5, SHOWERS, {
            "obs_id": "", "event_id": "", "true_energy": "TeV", "true_alt": "rad",
            "true_az": "rad", "true_shower_primary_id": "",
        })  # fmt: skip
        tel_ids, rows = None, truth
        if level == "telescope":
            if telescopes:
                nodes = _of_telescopes(path, h5, nodes, telescopes)
            tel_ids = sorted({t for found in nodes.values() for node in found for t in node})
            rows = _images(path, h5, tel_ids)
        index = match_rows(rows, truth, ("obs_id", "event_id"))
        if np.any(index < 0):
            raise IRFError(f"{path}: {np.sum(index < 0)} images of events that {SHOWERS} lacks")
        events = {name: rows[name] for name in rows if name.endswith("_id") and name[0] != "t"}
        events |= {k.removeprefix("true_"): truth[k][index] for k in truth if k[:4] == "true"}
        events["primary"] = events.pop("shower_primary_id")
        if np.any(other := np.abs(events["primary"]) != KINDS[kind]):
            raise IRFError(
                f"{path}: particle {events['primary'][other][0]:g} in a sample of kind {kind}"
                f" ({KINDS[kind]}); give the file to another option"
            )
        found = {
            name: read_reconstruction(path, h5, rows, level, {p: nodes[name, p] for p in PARTS})
            for name in reconstructors
        }
        for name, texts in (criteria or {}).items():
            n_tels = found[name]["multiplicity"]
            found[name]["valid"] &= criteria_mask(path, h5, rows, level, texts, n_tels)
        events["quality"] = quality_mask(path, h5, rows, events, level, quality)
    return events, found, len(tel_ids) if tel_ids else 1


def _of_telescopes(path, h5, nodes, telescopes):
    """Those tables of ``nodes`` that are of some telescopes, given by number or type."""
    try:
        chosen = SubarrayDescription.from_hdf(h5, "EQUIVALENT").get_tel_ids(telescopes)
    except ValueError as error:
        raise IRFError(f"{path}: {' '.join(str(error).split())}; change allowed_tels") from None
    out = {
        key: [{t: node for t, node in tables.items() if t in chosen} for tables in found]
        for key, found in nodes.items()
    }
    if not all(tables for found in out.values() for tables in found):
        raise IRFError(f"{path}: no results of telescopes {telescopes}; change allowed_tels")
    return out


def _images(path, h5, tel_ids):
    """Keys of the images that the telescopes took."""
    node = "/dl1/event/telescope/trigger"
    rows = read_columns(path, h5, node, {"obs_id": "", "event_id": "", "tel_id": ""})
    chosen = np.isin(rows["tel_id"], tel_ids)
    return {name: column[chosen] for name, column in rows.items()}
