"""``ctapipe-gammalearn-models``: list, inspect, verify, fetch, convert, make, calibrate, export."""

import sys
from importlib import import_module

__all__ = ["COMMANDS", "main"]

#: module and class of each command, imported only when used
COMMANDS = {
    "list": ("zoo", "ListModels"),
    "info": ("info", "ModelInfo"),
    "verify": ("info", "VerifyModels"),
    "fetch": ("zoo", "FetchModels"),
    "convert": ("convert", "ConvertCheckpoint"),
    "init": ("init", "InitModel"),
    "calibrate": ("calibrate", "CalibrateModel"),
    "export": ("export", "ExportModel"),
}
USAGE = f"usage: ctapipe-gammalearn-models {{{'|'.join(COMMANDS)}}} [options]  (--help for more)"


def main(argv=None):
    """Run the command that the first word names; exits with 0, or 2 for wrong usage."""
    command, *rest = [*(sys.argv[1:] if argv is None else argv)] or [""]
    if command in ("-h", "--help"):
        sys.stdout.write(f"{__doc__}\n\n{USAGE}\n")
        sys.exit(0)
    if command not in COMMANDS:
        problem = f"unknown command {command!r}; " if command else ""
        sys.stderr.write(f"{problem}{USAGE}\n")
        sys.exit(2)
    module, name = COMMANDS[command]
    getattr(import_module(f".{module}", __package__), name)().run(rest)
