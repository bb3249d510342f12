"""What the small model tools share: one-line errors, no traces in the working directory."""

import os
import re
import sys
from abc import abstractmethod
from contextlib import contextmanager
from pathlib import Path as FilePath

from ctapipe.core import Tool, ToolConfigurationError
from ctapipe.core.traits import Path
from tqdm import tqdm
from traitlets import default
from traitlets.config import Configurable

from ..exceptions import GammaLearnError

__all__ = ["InputPath", "ModelTool", "OutputTool", "progress_bar", "say"]

EX_IOERR = 74


def say(text=""):
    """Print a line of results."""
    sys.stdout.write(f"{text}\n")


def progress_bar(total, unit, quiet=False):
    """Bar on the terminal, that leaves nothing behind; none where no one looks."""
    hidden = quiet or not sys.stderr.isatty()
    return tqdm(total=total, unit=unit, disable=hidden, leave=False)


class InputPath(Path):
    """Path of an input that must exist; without it, traitlets' own line would be a long one.

    Parameters
    ----------
    folder_ok : bool
        Whether it may be a folder.
    """

    def __init__(self, folder_ok=False, **kwargs):
        super().__init__(**kwargs)
        self.folder_ok = folder_ok

    def validate(self, obj, value):
        """Absolute path; raises the error that ctapipe shows as it is."""
        path = super().validate(obj, value)
        if isinstance(path, FilePath) and not path.exists():
            raise ToolConfigurationError(f"{value}: no such file")
        if isinstance(path, FilePath) and path.is_dir() and not self.folder_ok:
            raise ToolConfigurationError(f"{value}: a folder; give a file")
        return path


@contextmanager
def _one_line_errors():
    """Errors of ours as the one that ctapipe prints without a traceback, with exit code 2."""
    try:
        yield
    except GammaLearnError as error:
        raise ToolConfigurationError(str(error)) from None


class ModelTool(Tool):
    """Base: subclasses implement `prepare` and `work`, which may raise any error of ours."""

    #: how many arguments without an option, (least, most)
    n_arguments = (0, 0)

    # read by users of the shell only; ask for a log with --provenance-log
    @default("provenance_log")
    def _default_provenance_log(self):
        return FilePath(os.devnull)

    def initialize(self, argv=None):
        """Parse the command line; what traitlets would let pass or end with 1 ends with 2."""
        for word in sys.argv[1:] if argv is None else argv:
            option = re.fullmatch(r"--([A-Za-z][\w.-]*)(=.*)?|-([A-Za-z])", word, re.DOTALL)
            if option and (option[1] or option[3]) not in self._known_options():
                raise ToolConfigurationError(f"{self.name}: unknown option {word}")
        try:
            super().initialize(argv)
        except SystemExit as stop:
            raise SystemExit(2 if stop.code == 1 else stop.code) from None
        except ToolConfigurationError as error:
            raise ToolConfigurationError(" ".join(str(error).split())) from None

    def _known_options(self):
        """Names of aliases, flags and traits."""
        known = {"h", "help", "help-all", "version"}
        for names in (*self.aliases, *self.flags):
            known |= {names} if isinstance(names, str) else set(names)
        # options of components may be given under the names of their bases, too
        for cls in (type(self), *self.classes):
            bases = [base for base in cls.__mro__ if issubclass(base, Configurable)]
            traits = cls.class_trait_names(config=True)
            known |= {f"{base.__name__}.{trait}" for base in bases for trait in traits}
        return known

    def setup(self):
        """Refuse what cannot work; our errors become one line and exit code 2."""
        least, most = self.n_arguments
        if not least <= len(self.extra_args) <= most:
            raise ToolConfigurationError(
                f"{self.name}: expected {least if least == most else f'{least} or more'}"
                f" file or model names, got {len(self.extra_args)}"
            )
        with _one_line_errors():
            self.prepare()

    def prepare(self):
        """Refuse unusable options, input and output before any work."""

    def start(self):
        """Do the work; our errors become one line and exit code 2."""
        try:
            with _one_line_errors():
                self.work()
        except OSError as error:
            self.log.error("%s: cannot be written (%s)", error.filename or "output", error.strerror)
            raise SystemExit(EX_IOERR) from None

    @abstractmethod
    def work(self):
        """Do what the command is for."""

    def finish(self):
        """Nothing to close."""


class OutputTool(ModelTool):
    """Base of the tools that write a model file."""

    #: how its name may end
    suffixes = (".safetensors",)

    output = Path(
        default_value=None,
        allow_none=True,
        directory_ok=False,
        help="Model file to write.",
    ).tag(config=True)

    def prepare(self):
        """Refuse unusable output before any work."""
        if self.output is None:
            raise ToolConfigurationError(f"{self.name}: give the file to write with -o")
        if not self.output.parent.is_dir():
            raise ToolConfigurationError(f"{self.output}: its folder does not exist; make it first")
        if self.output.suffix not in self.suffixes:
            ends = " or ".join(self.suffixes)
            raise ToolConfigurationError(f"{self.output}: the name must end in {ends}")
        self.check_output(self.output)
