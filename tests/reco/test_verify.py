"""A full disk must not end with exit code 0."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ctapipe_gammalearn

RESOURCES = Path(ctapipe_gammalearn.__file__).parent / "resources"


def process(output, limit=resource.RLIM_INFINITY):
    """Run ctapipe-process with a limit to the size of files, which acts like a full disk."""

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [
            Path(sys.executable).with_name("ctapipe-process"),
            *("--config", RESOURCES / "dl.yaml", "--input", RESOURCES / "demo_events.dl1.h5"),
            *("--output", output, "--write-images", f"--provenance-log={output}.log"),
            f"--GammaPhysNetReconstructor.model_path={RESOURCES / 'lst_patch.safetensors'}",
        ],
        preexec_fn=limited,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    "kilobytes",
    [
        pytest.param(kb, marks=() if kb == 400 else pytest.mark.slow)
        for kb in (40, 100, 200, 400, 600, 800, 1000, 1200)
    ],
)
def test_full_disk_is_noticed(tmp_path, kilobytes):
    output = tmp_path / "out.dl2.h5"
    done = process(output, 1000 * kilobytes)
    assert done.returncode == 74, done.stderr[-1000:]
    assert "was not written completely" in done.stderr
    assert not output.exists()
    assert (tmp_path / "out.dl2.h5.incomplete").exists()


def test_enough_space_is_no_error(tmp_path):
    output = tmp_path / "out.dl2.h5"
    done = process(output)
    assert done.returncode == 0, done.stderr[-1000:]
    assert output.exists()
    assert not list(tmp_path.glob("*.incomplete"))
