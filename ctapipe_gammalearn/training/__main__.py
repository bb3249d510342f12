"""Train on array folders, without ctapipe: ``python -m ctapipe_gammalearn.training``."""

import argparse
import logging
import os
import sys

from ..exceptions import GammaLearnError

__all__ = ["main"]

EX_USAGE, EX_IOERR, EX_INTERRUPT = 2, 74, 130


def options():
    """Parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ctapipe_gammalearn.training",
        description="Train a network on array folders; the same command resumes.",
        allow_abbrev=False,
    )
    parser.add_argument("--recipe", help="YAML file; default: the recipe of the package")
    parser.add_argument(
        "--arrays", nargs="+", required=True, help="array folders, gammas and background"
    )
    parser.add_argument("-o", "--output", required=True, help="folder of the run")
    parser.add_argument("--init-from", help="model file to start from")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    return parser


def work(arguments):
    """Read, train, write; returns the model file."""
    from .arrays import ImageArrays, join
    from .fit import fit
    from .settings import Recipe, read_recipe

    recipe = Recipe() if arguments.recipe is None else read_recipe(arguments.recipe)
    images = join([ImageArrays(folder) for folder in arguments.arrays])
    return fit(recipe, images, arguments.output, init_from=arguments.init_from)


def main(argv=None):
    """Entry point; returns the exit code (0, 2, 74 or 130)."""
    arguments = options().parse_args(argv)
    level = logging.ERROR if arguments.quiet else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        work(arguments)
    except GammaLearnError as error:
        return _fail(error, EX_USAGE)
    except OSError as error:
        return _fail(f"{error.filename or arguments.output}: {error.strerror}", EX_IOERR)
    except KeyboardInterrupt:
        return _fail(f"{arguments.output}: interrupted; the same command goes on", EX_INTERRUPT)
    return os.EX_OK


def _fail(message, code):
    """One line on the standard error."""
    sys.stderr.write(f"{message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
