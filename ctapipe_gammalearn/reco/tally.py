"""Count what became of the images of a run, by reason."""

from collections import Counter
from contextlib import contextmanager

__all__ = ["Tally"]

RECONSTRUCTED = "reconstructed"
QUALITY_CUT = "quality cut"
NO_MODEL = "no model for the telescope"
NO_IMAGE = "no image"
NO_PEAK_TIME = "no peak times"
NO_PARAMETERS = "no image parameters for the quality cut"
WRONG_SIZE = "wrong number of pixels"
BAD_INPUT = "too many non-finite pixels"
BAD_OUTPUT = "no credible network output"
NO_DIRECTION = "no credible direction or no pointing"

#: Expected reasons: a cut that the user set, and telescopes named at the start.
EXPECTED = (RECONSTRUCTED, QUALITY_CUT, NO_MODEL)
#: Warn when more than this share of so many images is lost for other reasons.
MAX_REFUSED, MIN_IMAGES = 0.5, 100


class Tally:
    """Numbers of telescope images by outcome; one line at the end of a run."""

    def __init__(self):
        self.counts = Counter()

    def count(self, outcome, n=1):
        """Add ``n`` images with this outcome."""
        self.counts[outcome] += n

    @property
    def suspicious(self):
        """Whether most images were refused although telescope and quality cut accept them."""
        refused = sum(n for outcome, n in self.counts.items() if outcome not in EXPECTED)
        total = self.counts.total() - self.counts[NO_MODEL]
        return total >= MIN_IMAGES and refused > MAX_REFUSED * total

    def report(self, log):
        """Log all numbers in one line, as a warning if `suspicious`; nothing without images."""
        if not self.counts:
            return
        listed = ", ".join(f"{n} {outcome}" for outcome, n in self.counts.most_common())
        text = f"{self.counts.total()} telescope images: {listed}"
        if self.suspicious:
            log.warning("%s. Most images were refused: check model, calibration and input", text)
        else:
            log.info("%s", text)

    @contextmanager
    def reported(self, log):
        """Report at the end of the block, whatever ends it."""
        try:
            yield
        finally:
            self.report(log)
