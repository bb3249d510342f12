"""Signals end a command, at whatever moment they come."""

import contextlib
import signal
import sys
import time

import pytest

from ctapipe_gammalearn.tools.farm import RETRY_SECONDS, SIGNALS, signals_as_exit


class Closing:
    """As an open node of PyTables: Python code runs when it is thrown away."""

    def __init__(self, signum):
        self.signum = signum

    def __del__(self):
        signal.raise_signal(self.signum)


def lost_while_closing(signum):
    """An exception in ``__del__`` goes nowhere."""
    Closing(signum)


def lost_in_a_library(signum):
    """As in compiled code that looks for an attribute and clears all errors."""
    with contextlib.suppress(BaseException):
        signal.raise_signal(signum)


def wait():
    """Work that takes longer than any test may."""
    time.sleep(60)


@pytest.fixture(autouse=True)
def hook(monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)


def code_of(work):
    """Exit code of a command that gets a signal; that of ctapipe's tools for Ctrl-C."""
    with pytest.raises((SystemExit, KeyboardInterrupt)) as caught:
        work()
    return 130 if caught.type is KeyboardInterrupt else caught.value.code


@pytest.mark.parametrize("lose", [lost_while_closing, lost_in_a_library])
@pytest.mark.parametrize("signum, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_not_lost_with_its_exception(lose, signum, code):
    def work():
        with signals_as_exit():
            lose(signum)
            wait()

    signals = (*SIGNALS, signal.SIGALRM)
    before = [signal.getsignal(s) for s in signals]
    assert code_of(work) == code
    assert [signal.getsignal(s) for s in signals] == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


@pytest.mark.parametrize("signum", SIGNALS)
def test_what_is_ignored_stays_ignored(signum):
    """As SIGHUP is after ``nohup``, and SIGINT in the background of a script."""
    old = signal.signal(signum, signal.SIG_IGN)
    try:
        with signals_as_exit():
            signal.raise_signal(signum)
            time.sleep(2 * RETRY_SECONDS)
        assert signal.getsignal(signum) == signal.SIG_IGN
    finally:
        signal.signal(signum, old)


@pytest.mark.parametrize("signum, code", [(signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_cleaning_up_is_not_interrupted(signum, code):
    done = []

    def clean_up():
        try:
            raise KeyError
        except KeyError:
            time.sleep(3 * RETRY_SECONDS)
        time.sleep(3 * RETRY_SECONDS)
        done.append(True)

    def work():
        with signals_as_exit():
            try:
                signal.raise_signal(signum)
                wait()
            finally:
                signal.raise_signal(signum)  # an impatient user
                clean_up()

    assert code_of(work) == code
    assert done
