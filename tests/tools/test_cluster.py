"""Jobs on a cluster: what is begun again, what is reported, and that nothing stays behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from ctapipe_gammalearn.exceptions import ClusterError, GammaLearnError
from ctapipe_gammalearn.tools import cluster_settings
from ctapipe_gammalearn.tools.cluster_farm import ClusterFarm
from ctapipe_gammalearn.tools.cluster_settings import ClusterSettings, read_settings
from ctapipe_gammalearn.tools.cluster_start import batch_cluster
from ctapipe_gammalearn.tools.worker import Failure

from .test_simulate import COMMAND, all_contents, environment, simulate

EXAMPLES = Path(__file__).parents[2] / "examples"
GPUS = ["7", "MIG-9"]


def work(path, seconds=0.0):
    """A job that notes each start; its process and its GPU."""
    with open(path, "a") as file:
        file.write("started\n")
    time.sleep(seconds)
    return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]


def starts(path):
    """How often a job was begun."""
    return path.read_text().count("started")


def refuse(path):
    work(path)
    raise GammaLearnError(f"{path}: no images; give another file")


def break_down(path):
    work(path)
    raise KeyError("column")


def disk_trouble(path, n):
    work(path)
    if starts(path) <= n:
        raise OSError(5, "Input/output error", str(path))
    return "written"


def killed(path, n):
    work(path)
    if starts(path) <= n:
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


@pytest.fixture(scope="module")
def shared_farm():
    """Two workers with a pretended GPU each."""
    seen = []
    with ClusterFarm(ClusterSettings(workers=2), seen.append, GPUS) as farm:
        yield farm
    assert not multiprocessing.active_children()


@pytest.fixture
def results(shared_farm, tmp_path):
    """Function that runs jobs (function, arguments); results by name, and the failure or ''."""

    def run(*jobs):
        done = {}
        for i, (function, *args) in enumerate(jobs):
            shared_farm.submit(partial(done.__setitem__, i), function, tmp_path / str(i), *args)
        try:
            shared_farm.run()
        except Failure as failure:
            return done, str(failure)
        return done, ""

    return run


def test_each_worker_has_a_gpu_of_its_own(results):
    done, failure = results(*[(work, 0.3)] * 6)
    assert not failure
    assert len(done) == 6
    assert sorted(gpu for _, gpu in set(done.values())) == GPUS


def test_failed_jobs_are_named_and_the_others_go_on(results, tmp_path):
    done, failure = results((work,), (refuse,), (work,), (break_down,), (work,))
    assert set(done) == {0, 2, 4}
    lines = failure.splitlines()
    assert sorted(lines) == [
        f"{tmp_path / '1'}: no images; give another file",
        f"{tmp_path / '3'}: KeyError: 'column'",
    ]
    assert starts(tmp_path / "1") == starts(tmp_path / "3") == 1


def test_a_fault_of_the_disk_gets_a_second_chance_only(results, tmp_path):
    done, failure = results((disk_trouble, 1), (disk_trouble, 9))
    assert done == {0: "written"}
    assert failure == f"{tmp_path / '1'}: Input/output error"
    assert [starts(tmp_path / name) for name in "01"] == [2, 2]


def test_jobs_of_a_killed_worker_are_begun_again(results, tmp_path):
    done, failure = results((killed, 1), *[(work, 0.1)] * 4, (killed, 99))
    assert set(done) == {0, 1, 2, 3, 4}
    assert failure == (
        f"{tmp_path / '5'}: its workers died again and again (killed, or out of memory)"
    )
    assert starts(tmp_path / "5") == 3


def test_nothing_listens_beyond_this_machine(shared_farm):
    me = psutil.Process()
    listening = [
        connection.laddr.ip
        for process in [me, *me.children(recursive=True)]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert set(listening) == {"127.0.0.1"}


BAD = {
    "no such file": None,
    "not a YAML file": "a: [",
    "expected lines": "slurm",
    "unknown key queue": "queue: short",
    "is not one of": "system: cloud",
    "is not usable": "workers: many",
    "workers: -1": "workers: -1",
    "retries: True": "retries: true",
    "number of jobs": "system: slurm",
}


@pytest.mark.parametrize("text", BAD.values(), ids=list(BAD))
def test_unusable_settings_are_refused(tmp_path, text, request):
    path = tmp_path / "cluster.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ClusterError, match=f"{path}: ") as error:
        read_settings(str(path))
    reason = request.node.callspec.id
    assert reason in str(error.value).replace("No such file", "no such file")


def test_workers_of_the_command_line_come_first(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("workers: 3\nretries: 0\n")
    assert read_settings(str(path)) == ClusterSettings(workers=3, retries=0)
    assert read_settings(str(path), 5).workers == 5
    assert read_settings("local") == ClusterSettings()


def test_without_dask_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cluster_settings, "find_spec", lambda name: None)
    assert simulate("-o", tmp_path / "d", "--cluster") == 2
    text = capsys.readouterr().err
    assert "pip install 'ctapipe_gammalearn[cluster]'" in text
    assert "Traceback" not in text
    assert not (tmp_path / "d").exists()


@pytest.mark.long
def test_simulated_files_are_those_of_a_run_without_cluster(tmp_path):
    options = ["--samples=train_gamma_diffuse", "--scale=0.05", "--images-only", "--jobs=1"]
    assert simulate("-o", tmp_path / "a", *options) == 0
    assert simulate("-o", tmp_path / "b", *options, "--cluster") == 0
    assert all_contents(tmp_path / "b") == all_contents(tmp_path / "a")
    assert not (tmp_path / "b" / ".parts").exists()


@pytest.mark.slow
@pytest.mark.parametrize("signum, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_command_leaves_no_processes(tmp_path, signum, code):
    """Ctrl-C reaches all processes of a terminal, SIGTERM only the command."""
    command = [*COMMAND, "--scale=5", "--cluster", "--jobs=2", "-o", str(tmp_path / "d")]
    process = subprocess.Popen(
        command, env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    limit = time.monotonic() + 90
    while not list(tmp_path.glob("d/.parts/.*.part.h5")) and time.monotonic() < limit:
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    if signum == signal.SIGINT:
        os.killpg(process.pid, signum)
    else:
        process.send_signal(signum)
    text = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert "Traceback" not in text
    assert not psutil.wait_procs(children, timeout=3)[1]
    assert not list(tmp_path.glob("d/.parts/.*.part.h5"))


@pytest.mark.parametrize(
    "name, lines",
    [
        ("slurm", ["#SBATCH -p short", "#SBATCH -t 04:00:00", "#SBATCH --mem=4G"]),
        ("htcondor", ["RequestCpus = MY.DaskWorkerCores", "RequestMemory = "]),
    ],
)
def test_examples_make_job_scripts(name, lines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cluster = batch_cluster(read_settings(str(EXAMPLES / f"cluster_{name}.yaml")))
    try:
        script = cluster.job_script()
    finally:
        cluster.close()
    assert sys.executable in script
    assert "--nthreads 1" in script
    assert not [line for line in lines if line not in script]


def test_options_that_dask_does_not_know_are_one_line():
    with pytest.raises(ClusterError, match=r"^slurm: options not usable") as error:
        batch_cluster(ClusterSettings("slurm", 1, 2, {"memory": "2GB", "colour": "red"}))
    assert "\n" not in str(error.value)


def program(path, text):
    """A program of a pretended batch system."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def slurm(tmp_path, monkeypatch, sbatch):
    """Settings of a batch system that runs jobs on this machine."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    program(tmp_path / "sbatch", sbatch)
    program(tmp_path / "scancel", 'kill -- -"$1"')
    return ClusterSettings("slurm", 2, 2, {"memory": "2GB", "interface": "lo"})


@pytest.mark.slow
def test_files_are_worked_on_by_batch_jobs(tmp_path, monkeypatch):
    copy = f'cp "$1" {tmp_path}/job.$$; setsid sh {tmp_path}/job.$$ >{tmp_path}/log.$$ 2>&1 &'
    settings = slurm(tmp_path, monkeypatch, f'{copy}\necho "Submitted batch job $!"')
    done = []
    with ClusterFarm(settings, lambda n: None) as farm:
        for i in range(4):
            farm.submit(done.append, os.path.basename, f"folder/{i}")
        farm.run()
    assert sorted(done) == ["0", "1", "2", "3"]
    assert len(list(tmp_path.glob("job.*"))) == 2
    time.sleep(1)
    command_lines = [p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"])]
    assert not [words for words in command_lines if f"{tmp_path}/job." in " ".join(words)]


def test_a_batch_system_that_refuses_is_quoted(tmp_path, monkeypatch):
    settings = slurm(tmp_path, monkeypatch, "echo invalid partition >&2; exit 1")
    with (
        pytest.raises(ClusterError, match=r"sbatch: jobs cannot be submitted .invalid partition"),
        ClusterFarm(settings, lambda n: None),
    ):
        pass


def test_job_array_takes_every_nth_file(tmp_path):
    (tmp_path / "files.txt").write_text("".join(f"a {i}.dl1.h5\n" for i in range(1, 8)))
    program(tmp_path / "ctapipe-gammalearn-apply", 'echo "$@"; [ "$2" != "a 2.dl1.h5" ]')
    done = subprocess.run(
        ["sh", EXAMPLES / "apply_job_array.sh", "files.txt", "dl2", "--model=m"],
        cwd=tmp_path,
        env={
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "SLURM_ARRAY_TASK_ID": "2",
            "SLURM_ARRAY_TASK_COUNT": "3",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [f"-i a {i}.dl1.h5 -o dl2 --model=m" for i in (2, 5)]
    assert done.returncode == 1
