"""Kernels and other processes forked from a server: they are as any other, and nothing of them is left behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

import avss
from avss.runs import kernels
from avss.runs.notebook import execute

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone")

TELL = """
import json, os, sys
loaded = "datasets" in sys.modules
import torch
print(json.dumps([os.getppid(), os.getpid(), loaded, os.getcwd(), os.environ["TOLD"], torch.get_num_threads()]))
"""


@pytest.fixture(scope="module")
def server():
    found = kernels.started()
    yield found
    del os.environ[kernels.SERVER]
    found.stdin.close()
    assert found.wait(10) == 0


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("TOLD", "this")
    monkeypatch.chdir(tmp_path)

    def executed(source: str):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(notebook, "asked.ipynb")
        execute(Path("asked.ipynb"), Path("answered.ipynb"), Path("log"), {})
        return json.loads(nbformat.read("answered.ipynb", 4).cells[-1].outputs[0].text)

    return executed


def gone(process: int, seconds: float = 10) -> bool:
    """Whether a process ends within this time."""
    for _ in range(int(seconds * 20)):
        if not Path(f"/proc/{process}").exists():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.long
def test_kernels_of_a_server_have_its_libraries_and_their_own_surroundings(server, run, tmp_path):
    first, second = run(TELL), run(TELL)
    for parent, process, loaded, folder, told, threads in (first, second):
        assert parent == server.pid
        assert gone(process)
        assert loaded
        assert (folder, told, threads) == (str(tmp_path), "this", 1)
    assert first[1] != second[1]
    assert not Path("log").read_text()
    assert "JUPYTER_PATH" not in os.environ


def test_a_kernel_that_dies_fails_its_notebook_alone(server, run):
    with pytest.raises(avss.InputError, match=r"answered.ipynb: .*[Kk]ernel"):
        run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert run(TELL)[0] == server.pid


def test_an_error_of_a_notebook_is_its_own(server, run):
    with pytest.raises(avss.InputError, match="ValueError: no such thing"):
        run("raise ValueError('no such thing')")


def test_a_kernel_ends_with_the_process_that_stands_for_it(server, tmp_path):
    connection = tmp_path / "kernel.json"
    written = "from jupyter_client.connect import write_connection_file; write_connection_file({!r})"
    subprocess.run([sys.executable, "-c", written.format(str(connection))], check=True)
    stand_in = subprocess.Popen(
        [sys.executable, "-P", kernels.__file__, kernels.KERNEL, "-f", str(connection)], start_new_session=True
    )
    for _ in range(400):
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        if children:
            break
        time.sleep(0.05)
    (kernel,) = map(int, children)
    os.killpg(stand_in.pid, signal.SIGKILL)
    stand_in.wait()
    assert gone(kernel)


def test_a_kernel_that_leads_no_group_yet_is_ended_too():
    """One whose stand-in ends between the fork and the first line of the kernel."""
    kernel, connection = subprocess.Popen(["sleep", "60"]), object()
    server = kernels._Server(None)
    server.forks = {kernel.pid: connection}
    server._end(connection)
    try:
        assert kernel.wait(10) == -signal.SIGKILL
    finally:
        kernel.kill()


def test_a_server_ends_with_the_process_that_started_it(tmp_path):
    told = "import os; from avss.runs import kernels; found = kernels.started(); print(found.pid, os.environ['{}'])"
    variables = {name: value for name, value in os.environ.items() if name != kernels.SERVER}
    command = [sys.executable, "-c", told.format(kernels.SERVER)]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=True)
    process, path = done.stdout.split()
    assert gone(int(process))
    assert not Path(path).parent.exists()


MODULE = """
import atexit, os, sys
from pathlib import Path
atexit.register(Path("cleaned").touch)
import tempfile
kept = tempfile.TemporaryDirectory(dir=".", prefix="kept-")
print(os.getppid(), "datasets" in sys.modules, __name__, *sys.argv[1:], flush=True)
if sys.argv[1:] == ["stop"]:
    sys.exit("stopped: one line")
import time
time.sleep(60 * (sys.argv[1:] == ["wait"]))
if sys.argv[1:] == ["die"]:
    import signal
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The command that runs a module of this folder."""
    (tmp_path / "told_by.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return lambda argument: [sys.executable, "-P", kernels.__file__, "told_by", argument]


def test_a_module_runs_in_a_fork_as_it_would_alone(server, module, monkeypatch, tmp_path):
    done = subprocess.run(module("go on"), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{server.pid} True __main__ go on\n", "")
    (tmp_path / "cleaned").unlink()
    done = subprocess.run(module("stop"), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "stopped: one line\n")
    assert (tmp_path / "cleaned").exists()
    assert not list(tmp_path.glob("kept-*"))
    monkeypatch.setenv(kernels.SERVER, str(tmp_path / "nothing"))
    alone = subprocess.run(module("stop"), capture_output=True, text=True)
    assert (alone.returncode, alone.stderr) == (1, "stopped: one line\n")
    assert alone.stdout.split()[1:] == ["False", "__main__", "stop"]


def test_a_module_that_is_killed_is_seen_to_be_killed(server, module):
    assert subprocess.run(module("die"), capture_output=True).returncode == -signal.SIGKILL


def test_where_nothing_can_be_forked_one_process_is_told_and_the_others_go_on(monkeypatch):
    def refused():
        raise BlockingIOError("too many processes")

    server, (here, there) = kernels._Server(None), socket.socketpair()
    server.ready, told = True, b"{}"
    socket.send_fds(there, [len(told).to_bytes(8, "big")], [0, 1, 2])
    there.sendall(told)
    monkeypatch.setattr(os, "fork", refused)
    assert server._forked(here) is None
    assert there.recv(2) == b""


@pytest.mark.parametrize(
    "ending",
    [signal.SIGTERM, *(pytest.param(ending, marks=pytest.mark.long) for ending in (signal.SIGHUP, signal.SIGKILL))],
)
def test_a_module_ends_with_the_server(module, monkeypatch, ending):
    """As where a terminal closes, or a job of a cluster is stopped."""
    monkeypatch.delenv(kernels.SERVER, raising=False)
    own = kernels.started()
    folder = Path(os.environ[kernels.SERVER]).parent
    stand_in = subprocess.Popen(module("wait"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert stand_in.stdout.readline().startswith(str(own.pid))
    (fork,) = map(int, Path(f"/proc/{own.pid}/task/{own.pid}/children").read_text().split())
    own.send_signal(ending)
    own.wait(10)
    assert gone(fork)
    assert "the server of kernels has ended" in stand_in.communicate(timeout=10)[1]
    assert stand_in.returncode == 1
    assert folder.exists() == (ending == signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def test_an_interrupt_ends_a_module_with_the_process_that_stands_for_it(server, module):
    stand_in = subprocess.Popen(module("wait"), stdout=subprocess.PIPE, text=True)
    assert stand_in.stdout.readline().startswith(str(server.pid))
    (fork,) = map(int, Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split())
    stand_in.send_signal(signal.SIGINT)
    assert stand_in.wait(10)
    assert gone(fork)


def test_without_an_answer_a_notebook_has_a_kernel_of_its_own(run, monkeypatch, tmp_path):
    monkeypatch.setenv(kernels.SERVER, str(tmp_path / "nothing"))
    parent, _, loaded, *_ = run(TELL)
    assert parent == os.getpid()
    assert not loaded
