"""Fixtures of the tests of the generated kernels."""

from dataclasses import replace

import pytest

from ctapipe_gammalearn.nn.engines import runtiled
from ctapipe_gammalearn.nn.runtiled import processor


@pytest.fixture
def strict(monkeypatch):
    """No fallback to another engine."""
    monkeypatch.setattr(runtiled, "_warn", pytest.fail)


@pytest.fixture(params=[("x86-64", 4, "+sse2"), ("x86-64-v3", 8, "+avx2")], ids=lambda p: p[0])
def smaller_processor(request, monkeypatch):
    """Code as for a processor with shorter vectors than this one may have."""
    level, lanes, feature = request.param
    if feature not in processor().features:
        pytest.skip("not this kind of processor")
    host = replace(processor(), name=level, features="", lanes=lanes, accumulators=12)
    monkeypatch.setattr("ctapipe_gammalearn.nn.runtiled.processor", lambda: host)
