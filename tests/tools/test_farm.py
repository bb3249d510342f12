"""Signals end a command, at whatever moment they come."""

import contextlib
import signal
import sys
import time

import pytest

from ctapipe_gammalearn.tools.farm import RETRY_SECONDS, SIGNALS, signals_as_exit


class Closing:
    """As an open node of PyTables: Python code runs when it is thrown away."""

    def __del__(self):
        signal.raise_signal(signal.SIGTERM)


def lost_while_closing():
    """An exception in ``__del__`` goes nowhere."""
    Closing()


def lost_in_a_library():
    """As in compiled code that looks for an attribute and clears all errors."""
    with contextlib.suppress(BaseException):
        signal.raise_signal(signal.SIGTERM)


def wait():
    """Work that takes longer than any test may."""
    time.sleep(60)


@pytest.fixture(autouse=True)
def hook(monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)


def code_of(work):
    """Exit code of a command that gets a signal."""
    with pytest.raises(SystemExit) as caught:
        work()
    return caught.value.code


@pytest.mark.parametrize("lose", [lost_while_closing, lost_in_a_library])
def test_a_signal_is_not_lost_with_its_exception(lose):
    def work():
        with signals_as_exit():
            lose()
            wait()

    signals = (*SIGNALS, signal.SIGALRM)
    before = [signal.getsignal(s) for s in signals]
    assert code_of(work) == 143
    assert [signal.getsignal(s) for s in signals] == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_cleaning_up_is_not_interrupted():
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
                signal.raise_signal(signal.SIGHUP)
                wait()
            finally:
                clean_up()

    assert code_of(work) == 129
    assert done
