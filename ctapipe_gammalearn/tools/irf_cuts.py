"""Cuts of ``ctapipe-gammalearn-irf`` from files."""

from ..exceptions import IRFError
from ..io.dl2_tables import PARTS
from ..irf.cuts_file import read_cuts
from .base import say

__all__ = ["dl2_prefixes", "file_cuts"]


def dl2_prefixes(reconstructor, level):
    """Prefixes by part of a reconstructor as ctapipe has them at that level of DL2."""
    suffix = "_tel" if level == "telescope" else ""
    return {part: reconstructor[part] + suffix for part in PARTS}


def file_cuts(mode, paths, reconstructors, level):
    """Cuts and criteria by reconstructor: from the file that names its gammaness.

    Parameters
    ----------
    mode : str
        Of the cuts; without files unless "file".
    paths : list of path-like
    reconstructors : dict of str to dict
    level : str

    Returns
    -------
    cuts : dict of str to Cuts
    criteria : dict of str to list of (str, str)
        Names and expressions of its selection of events, without those that we apply anyway: that
        its parts be valid.

    Raises
    ------
    IRFError
        See `read_cuts`; a reconstructor without a file or with two, or a file for none of them.
    """
    if (mode == "file") != bool(paths):
        raise IRFError(f"cuts: mode {mode} with {len(paths)} files; give --cuts with mode file")
    wanted = {n: dl2_prefixes(r, level) for n, r in reconstructors.items()}
    found, selections = {}, {}
    for path in paths:
        cuts, classifier, criteria = read_cuts(path)
        names = [n for n, prefixes in wanted.items() if prefixes["gammaness"] == classifier]
        if not names:
            known = ", ".join(sorted({p["gammaness"] for p in wanted.values()}))
            raise IRFError(f"{path}: cuts in the gammaness of {classifier}, not of {known}")
        for name in names:
            if name in found:
                raise IRFError(f"{path}: a second file of cuts for {name}; give one of them")
            found[name] = cuts
            known = {f"{prefix}_is_valid" for prefix in wanted[name].values()}
            if others := [c for c in criteria if c[1] not in known]:
                selections[name] = others
                words = ", ".join(f"{title!r} ({text})" for title, text in others)
                say(f"{path}: events of {name} have to pass {words}")
    if missing := [name for name in reconstructors if paths and name not in found]:
        raise IRFError(f"cuts: no file for the gammaness of {missing[0]}; add one with --cuts")
    return found, selections
