"""Models applied to many files on a cluster: the same results, whatever happens to workers."""

import os
import shutil
import signal
import threading
import time

import psutil
import pytest

from tests.reco.conftest import (  # noqa: F401
    lst_model,
    model_for,
    mono_dl1,
    stereo_dl1,
    subarray,
)

from .test_apply import _no_verification_by_process, apply, assert_same_dl2, few  # noqa: F401


def kill_a_worker(folder):
    """Kill a process of this one as soon as it writes into a folder."""
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        for part in folder.glob(".*.part.h5"):
            pid = int(part.name.split(".")[-4])
            if pid != os.getpid() and psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)
                return
        time.sleep(0.01)


@pytest.mark.long
def test_twenty_files_a_killed_worker_and_a_damaged_file(few, lst_model, tmp_path, capsys):  # noqa: F811
    inputs = [tmp_path / f"run{i:02d}.dl1.h5" for i in range(20)]
    for path in inputs:
        shutil.copy(few, path)
    os.truncate(inputs[7], 50_000)
    options = [f"--model={lst_model}", "--log-level=INFO"]
    alone, many = tmp_path / "alone", tmp_path / "many"
    assert apply(inputs[0], alone, *options) == 0
    options += [f"--input={path}" for path in inputs[1:]]
    options += ["--cluster", "--workers=2"]

    killer = threading.Thread(target=kill_a_worker, args=[many])
    killer.start()
    assert apply(inputs[0], many, *options, raises=False) == 1
    killer.join()
    text = capsys.readouterr().err
    failed = [line for line in text.splitlines() if str(inputs[7]) in line]
    assert len(failed) == 1
    assert "Traceback" not in text
    done = sorted(many.iterdir())
    assert [p.name for p in done] == [f"run{i:02d}.dl2.h5" for i in range(20) if i != 7]
    for path in done:
        assert assert_same_dl2(path, alone / "run00.dl2.h5") > 0

    before = {p: p.stat().st_mtime_ns for p in done}
    shutil.copy(few, inputs[7])
    assert apply(inputs[0], many, *options, raises=False) == 0
    assert {p: p.stat().st_mtime_ns for p in done} == before
    assert len(list(many.iterdir())) == 20
