"""Whether events were in the training of a reconstructor, and what remains of a verdict then.

A network or forest that has seen a shower in its training knows it by heart: on such events it
looks better than it is.  Two things are compared: runs, by their numbers and settings, and
showers, by fingerprints that do not depend on core positions, file names or event numbers.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Training", "compared", "disclosed", "withheld"]

#: expected number that gives none in 5 % of all cases
NONE_95 = 3.0


@dataclass(frozen=True, eq=False)
class Training:
    """What is known of the training of a reconstructor.

    Attributes
    ----------
    runs : list of dict or None
        Records of its files; None if unknown.
    prints : ndarray, shape (k,), uint64, or None
        Fingerprints of its showers, rising: of all, or the smallest ones.
    n : int
        Showers that the fingerprints stand for.
    """

    runs: list | None = None
    prints: np.ndarray | None = None
    n: int = 0

    @property
    def complete(self):
        """Whether all showers of the training are known."""
        return self.prints is not None and len(self.prints) == self.n


def compared(label, training, showers, same_runs):
    """Compare the events of all samples with a training.

    Parameters
    ----------
    label : str
        Of the reconstructor.
    training : Training
    showers : dict of str to ndarray, shape (n,), uint64
        Fingerprints of each sample, rising, each once.
    same_runs : list of str
        Sentences on runs that may be the same. Where all showers are known, these decide: parts
        of a run may be told apart by showers.

    Returns
    -------
    dict
        ``overlap`` (bool, or None if nothing is known), ``showers_known`` and ``of`` (showers of
        the training), ``shared`` by sample (``showers`` of it, ``found``, ``estimate``, and if
        none is found, below how many they are with 95 % confidence: ``below``), ``runs``,
        ``sentences``.
    """
    shared = {}
    if training.prints is not None:
        shared = {kind: _shared(prints, training) for kind, prints in showers.items()}
    found = any(s["found"] for s in shared.values())
    known = bool(training.runs) or training.prints is not None
    overlap = found or bool(same_runs and not training.complete)
    return {
        "overlap": overlap if known else None,
        "showers_known": 0 if training.prints is None else len(training.prints),
        "of": training.n,
        "shared": shared,
        "runs": list(same_runs),
        "sentences": _sentences(label, training, shared, same_runs, known),
    }


def _shared(prints, training):
    """Showers of a sample that the training had, too."""
    found = int(np.isin(training.prints, prints, assume_unique=True).sum())
    factor = training.n / max(len(training.prints), 1)
    estimate = round(found * factor)
    below = 0 if training.complete else int(np.ceil(NONE_95 * factor))
    return {
        "showers": len(prints), "found": found, "estimate": estimate,
        "below": None if found else below,
    }  # fmt: skip


def _sentences(label, training, shared, same_runs, known):
    """Result in words."""
    if not known:
        return [f"training of {label} unknown: whether it had these showers was not checked"]
    lines = []
    for kind, s in shared.items():
        if s["found"]:
            about = "" if training.complete else "about "
            lines.append(
                f"{label} was trained on {about}{s['estimate']} of the {s['showers']} showers of"
                f" {kind}"
            )
    lines += [f"{label}: {text}" for text in same_runs]
    if training.prints is None:
        return [*lines, f"{label}: single showers were not compared, its training lists none"]
    if any(s["found"] for s in shared.values()):
        return lines
    if training.complete:
        return [*lines, f"{label}: none of the {training.n} showers of its training is here"]
    below = max((s["below"] for s in shared.values()), default=0)
    return [
        *lines,
        f"{label}: none of {len(training.prints)} of the {training.n} showers of its training is"
        f" here: with 95 % confidence fewer than {below} are shared",
    ]


def withheld(rows, headline, overlapping):
    """Take back a verdict on events that were trained on.

    Parameters
    ----------
    rows : list of dict
        From `verdict.verdict`.
    headline : str
    overlapping : list of str
        Labels of the reconstructors that know the events; nothing changes if there are none.

    Returns
    -------
    rows : list of dict
        Their outcome ``withheld``; the numbers stay.
    headline : str
    """
    if not overlapping:
        return rows, headline
    sentence = f"withheld: these events overlap with the training of {' and '.join(overlapping)}"
    rows = [row | {"outcome": "withheld", "sentence": f"{row['name']}: {sentence}"} for row in rows]
    return rows, f"Verdict {sentence}; compare on others"


def disclosed(headline, overlapping):
    """Headline of a verdict that stands in spite of an overlap."""
    if not overlapping:
        return headline
    return f"In spite of an overlap with the training of {' and '.join(overlapping)}: {headline}"
