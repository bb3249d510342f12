"""Simulated events of ctapipe's DL2 files with all their reconstructions, for `irf`."""

import ast
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from astropy.coordinates import angular_separation
from astropy.table import Table
from ctapipe.core import QualityQuery
from ctapipe.instrument import SubarrayDescription
from ctapipe.io import read_table

from ..exceptions import IRFError
from ..irf.samples import Reconstruction, Sample, cluster_key
from .dl2_settings import combine, opened, read_settings

__all__ = ["KINDS", "PARTS", "read_sample"]

CHUNK = 200_000  # rows: all columns of a table in memory at once only of so many
SHOWERS = "/simulation/event/subarray/shower"
#: primaries of each kind of sample
KINDS = {"gamma": 0, "gamma_diffuse": 0, "proton": 101, "electron": 1}
#: what makes a reconstructor, and the groups of DL2 that may hold it: up to ctapipe 0.28 process
#: writes "classification", apply-models "particle_type"; a file may have both
PARTS = {
    "energy": ("energy",),
    "geometry": ("geometry",),
    "gammaness": ("particle_type", "classification"),
}
COLUMNS = {"energy": {"energy": "TeV"}, "geometry": {"alt": "rad", "az": "rad"}}
COLUMNS["gammaness"] = {"prediction": ""}


def read_sample(
    paths, kind, reconstructors, level="subarray", quality=(), progress=None, telescopes=()
):
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
        *found, n = _read_file(Path(path), kind, reconstructors, level, quality, telescopes)
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


def _read_file(path, kind, reconstructors, level, quality, telescopes):
    """Truth, reconstructions and number of telescopes of a file."""
    with opened(path) as h5:
        nodes = {
            (name, part): _nodes(path, h5, level, part, _prefix(name, prefixes, part))
            for name, prefixes in reconstructors.items()
            for part in PARTS
        }
        truth = _columns(path, h5, SHOWERS, {
            "obs_id": "", "event_id": "", "true_energy": "TeV", "true_alt": "rad",
            "true_az": "rad", "true_shower_primary_id": "",
        })  # fmt: skip
        tel_ids, rows = None, truth
        if level == "telescope":
            if telescopes:
                nodes = _of_telescopes(path, h5, nodes, telescopes)
            tel_ids = sorted({t for found in nodes.values() for node in found for t in node})
            rows = _images(path, h5, tel_ids)
        index = _match(rows, truth, ("obs_id", "event_id"))
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
            name: _reconstruction(path, h5, rows, level, {p: nodes[name, p] for p in PARTS})
            for name in reconstructors
        }
        events["quality"] = _quality(path, h5, rows, events, level, quality)
    return events, found, len(tel_ids) if tel_ids else 1


def _prefix(name, prefixes, part):
    """Prefix of a part of a reconstructor."""
    if part not in prefixes:
        raise IRFError(f"reconstructor {name}: no prefix of {part}; give {', '.join(PARTS)}")
    return prefixes[part]


def _nodes(path, h5, level, part, prefix):
    """Tables of a prefix: a list, mostly of one, of dicts from telescope (or None) to path."""
    groups = [f"/dl2/event/{level}/{kind}" for kind in PARTS[part]]
    found = [f"{group}/{prefix}" for group in groups if f"{group}/{prefix}" in h5]
    if not found:
        known = sorted(
            {n for group in groups if group in h5 for n in h5.get_node(group)._v_children}
        )
        close = get_close_matches(prefix, known, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
        raise IRFError(
            f"{path}: no reconstruction {prefix} in {' or '.join(groups)};"
            f" {hint if known else 'the file has none'}"
        )
    if level == "subarray":
        return [{None: node} for node in found]
    return [
        {int(name.removeprefix("tel_")): f"{node}/{name}" for name in h5.get_node(node)._v_children}
        for node in found
    ]


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
    rows = _columns(path, h5, node, {"obs_id": "", "event_id": "", "tel_id": ""})
    chosen = np.isin(rows["tel_id"], tel_ids)
    return {name: column[chosen] for name, column in rows.items()}


def _reconstruction(path, h5, rows, level, nodes):
    """Columns of a reconstructor in the order of ``rows``."""
    suffix = "_tel" if level == "telescope" else ""
    n = len(rows["obs_id"])
    out = {"valid": np.ones(n, bool), "multiplicity": np.full(n, np.iinfo(np.int16).max, np.int16)}
    for part, found in nodes.items():
        prefix = next(iter(found[0].values())).split("/")[5] + suffix
        wanted = {f"{prefix}_{name}": unit for name, unit in COLUMNS[part].items()}
        wanted[f"{prefix}_is_valid"] = ""
        all_nodes = [node for tables in found for node in tables.values()]
        if all(f"{prefix}_telescopes" in h5.get_node(node).colnames for node in all_nodes):
            wanted[f"{prefix}_telescopes"] = ""
        answers = [_joined(path, h5, rows, tables, wanted) for tables in found]
        for name in answers[0]:
            if any(not np.array_equal(a[name], answers[0][name], equal_nan=True) for a in answers):
                raise IRFError(
                    f"{path}: {name} differs between the groups {' and '.join(PARTS[part])};"
                    " leave one of them out"
                )
        answer = answers[0]
        out["valid"] &= answer.pop(f"{prefix}_is_valid") == 1  # NaN where there is no row
        n_tels = np.nan_to_num(answer.pop(f"{prefix}_telescopes", 0.0)).astype(np.int16)
        # as in ctapipe: of the part with the fewest
        out["multiplicity"] = np.minimum(out["multiplicity"], n_tels)
        out |= {k.removeprefix(f"{prefix}_"): v for k, v in answer.items()}
    out["gammaness"] = out.pop("prediction")
    return out


def _joined(path, h5, rows, tables, wanted):
    """Columns of one table for each telescope, in the order of ``rows``; NaN without a row."""
    out = {name: np.full(len(rows["obs_id"]), np.nan) for name in wanted}
    for tel_id, node in tables.items():
        keys = ("obs_id", "event_id") if tel_id is None else ("obs_id", "event_id", "tel_id")
        table = _columns(path, h5, node, dict.fromkeys(keys, "") | wanted)
        if len(tables) == 1 and _same_rows(rows, table, keys):
            return {name: table[name] for name in wanted}
        index = _match(rows, table, keys)
        there = index >= 0
        for name in wanted:
            out[name][there] = table[name][index[there]]
    return out


def _quality(path, h5, rows, events, level, quality):
    """Mask of the selection that all reconstructors share."""
    if not quality:
        return np.ones(len(rows["obs_id"]), bool)
    names = {
        n.id for _, text in quality for n in ast.walk(_parsed(text)) if isinstance(n, ast.Name)
    }
    columns = {f"true_{k}": events[k] for k in ("energy", "alt", "az")}
    columns = {name: columns[name] for name in names & set(columns)}
    triggers = _columns(path, h5, "/dl1/event/telescope/trigger", {"obs_id": "", "event_id": ""})
    if "multiplicity" in names:
        mine = _match(triggers, rows, ("obs_id", "event_id"))
        columns["multiplicity"] = np.bincount(mine[mine >= 0], minlength=len(rows["obs_id"]))
    group = "/dl1/event/telescope/parameters"
    images = h5.get_node(group)._v_children if group in h5 else {}
    known = set(h5.get_node(f"{group}/{next(iter(images))}").colnames) if images else set()
    columns |= _parameters(path, h5, rows, level, sorted(names & known), group)
    query = QualityQuery(quality_criteria=list(quality))
    with np.errstate(invalid="ignore"):
        try:
            return np.asarray(query.get_table_mask(Table(columns)), bool)
        except (NameError, KeyError, ValueError, TypeError, SyntaxError) as error:
            raise IRFError(
                f"{path}: quality selection: {' '.join(str(error).split())}; see the columns of"
                f" {group}"
            ) from None


def _parsed(text):
    """Syntax tree of an expression."""
    try:
        return ast.parse(text, mode="eval")
    except SyntaxError:
        raise IRFError(f"quality selection {text!r}: no expression; give one in Python") from None


def _parameters(path, h5, rows, level, names, group):
    """Image parameters: of the image, or of the brightest one of the event."""
    if not names:
        return {}
    nodes = {int(n.removeprefix("tel_")): f"{group}/{n}" for n in h5.get_node(group)._v_children}
    wanted = dict.fromkeys({*names, "hillas_intensity"}, "")
    if level == "telescope":
        answer = _joined(path, h5, rows, nodes, wanted)
        return {name: answer[name] for name in names}
    out = {name: np.full(len(rows["obs_id"]), np.nan) for name in wanted}
    for node in nodes.values():
        answer = _joined(path, h5, rows, {None: node}, wanted)
        brighter = ~(answer["hillas_intensity"] <= out["hillas_intensity"])
        brighter &= np.isfinite(answer["hillas_intensity"])
        for name in wanted:
            out[name][brighter] = answer[name][brighter]
    return {name: out[name] for name in names}


def _columns(path, h5, node, wanted):
    """Columns of a table in units (numbers with "" as they are), read in chunks."""
    table = h5.get_node(node)
    missing = [name for name in wanted if name not in table.colnames]
    if missing:
        raise IRFError(f"{path}: no column {', '.join(missing)} in {node}; is it of ctapipe?")
    columns = {}
    for start in range(0, max(table.nrows, 1), CHUNK):
        part = read_table(h5, node, start=start, stop=start + CHUNK)
        for name, unit in wanted.items():
            values = _values(part[name], unit)
            if name not in columns:
                columns[name] = np.empty(table.nrows, values.dtype)
            columns[name][start : start + len(values)] = values
    return columns


def _values(column, unit):
    """Plain array; masked values are NaN, and of flags of telescopes there is the number."""
    if column.ndim == 2:
        return np.count_nonzero(np.ma.filled(column, False), axis=1)
    if unit:
        column, factor = np.ma.asarray(column, float), column.unit.to(unit)
        return np.ma.filled(column, np.nan) * factor
    if column.dtype.kind in "iu":
        return np.asarray(column, np.int64)
    return np.ma.filled(np.ma.asarray(column, float), np.nan)


def _same_rows(rows, table, keys):
    """Whether two tables have the same keys in the same order."""
    return all(np.array_equal(rows[key], table[key]) for key in keys)


def _match(rows, table, keys):
    """Row of ``table`` for each of ``rows`` by equal keys, -1 without one; joined by value."""
    if _same_rows(rows, table, keys):
        return np.arange(len(rows[keys[0]]))
    ours, theirs = (np.zeros(len(t[keys[0]]), np.int64) for t in (rows, table))
    for key in keys:
        # numbers so small that three of them fit into 64 bits
        known = np.unique(table[key])
        place = np.searchsorted(known, rows[key]).clip(max=max(len(known) - 1, 0))
        hit = known[place] == rows[key] if len(known) else np.zeros(len(place), bool)
        ours = np.where(hit & (ours >= 0), ours * len(known) + place, -1)
        theirs = theirs * len(known) + np.searchsorted(known, table[key])
    order = np.argsort(theirs, kind="stable")
    if not len(order):
        return np.full(len(ours), -1)
    place = np.searchsorted(theirs[order], ours).clip(max=len(order) - 1)
    return np.where((ours >= 0) & (theirs[order[place]] == ours), order[place], -1)
