"""Hostile surroundings change nothing: no network, nowhere to write, another hash seed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tables

import ctapipe_gammalearn

RESOURCES = Path(ctapipe_gammalearn.__file__).parent / "resources"
NOWHERE = Path("/proc/nowhere")  # cannot be made, not even by root

#: ctapipe-process in an interpreter whose sockets refuse to connect
OFFLINE = """
import socket, sys

def refuse(*args, **kwargs):
    raise OSError("the network was asked for")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from ctapipe.tools.process import main
main()
"""


def energies(output, cwd, **environment):
    """Process the demonstration events; all bytes of the energy table."""
    done = subprocess.run(
        [
            *(sys.executable, "-c", OFFLINE, "--config", RESOURCES / "dl.yaml"),
            *("--input", RESOURCES / "demo_events.dl1.h5", "--output", output),
            f"--provenance-log={output}.log",
            f"--GammaPhysNetReconstructor.model_path={RESOURCES / 'lst_patch.safetensors'}",
        ],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "the network was asked for" not in done.stderr
    with tables.open_file(output) as file:
        return file.root.dl2.event.subarray.energy.GammaPhysNetEnergy.read().tobytes()


@pytest.mark.skipif(not NOWHERE.parent.is_dir(), reason="needs /proc")
def test_no_network_no_home_no_folder_to_write_and_another_hash_seed(tmp_path):
    expected = energies(tmp_path / "a.h5", tmp_path, PYTHONHASHSEED="0")
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "CTAPIPE_CACHE"), str(NOWHERE))
    ours = energies(tmp_path / "b.h5", NOWHERE.parent, PYTHONHASHSEED="1", **nowhere)
    assert ours == expected
