"""Kernels of notebooks, and other processes, forked from one, so that the libraries are imported once for all of them.

    python -P kernels.py MODULE ARGUMENTS      as `python -m MODULE ARGUMENTS`, forked from the server

Each process of its own would import torch, transformers and the rest anew, which takes as long as most notebooks. The
server starts with a build and ends with it. A process that asks the server for a fork stands for it: each ends with the
other. Where no server answers, it runs the module itself. The standard library alone is needed to stand for a process,
so this file imports nothing else.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path

# Names the socket of the server to all processes of a build.
SERVER = "AVSS_KERNELS"
# The module that is a kernel.
KERNEL = "ipykernel_launcher"
LIBRARIES = (
    "torch",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.models.distilbert.modeling_distilbert",
    "datasets",
    "evaluate",
    "peft",
    "sklearn.linear_model",
    "scipy.stats",
    "pandas",
    "matplotlib.pyplot",
    "seaborn",
    "ipykernel.kernelapp",
    "IPython.display",
    "avss.models",
    "avss.pruning",
    "avss.methods.scoring",
    "avss.runs.experiment",
    "avss.report.figures",
    "avss.report.tables",
)
# The option of prctl by which a process gets a signal when its parent ends.
_PR_SET_PDEATHSIG = 1
# Signals at which the server ends in order.
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)
# Seconds between two looks for forks that have ended.
LOOK = 0.1


def started() -> subprocess.Popen | None:
    """Start a server that lives as long as this process, and name it in the environment. None where there is one.

    Nothing is imported before the first fork. Only on Linux, where libraries bear a fork.
    """
    if SERVER in os.environ or sys.platform != "linux":
        return None
    folder = tempfile.mkdtemp(prefix="avss-kernels-")
    path = os.path.join(folder, "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        command = [sys.executable, "-P", __file__, "--serve", str(listening.fileno()), folder]
        # The forks share the cores by one thread each. A library that has threads already may not be forked.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        server = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[listening.fileno()], env=environment)
    os.environ[SERVER] = path
    return server


def specification(folder: Path) -> None:
    """Write the specification of such a kernel, under the name that notebooks have; JUPYTER_PATH is then `folder`."""
    own = folder / "kernels/python3"
    own.mkdir(parents=True)
    command = [sys.executable, "-P", __file__, KERNEL, "-f", "{connection_file}"]
    told = {"argv": command, "display_name": "Python 3", "language": "python"}
    (own / "kernel.json").write_text(json.dumps(told))


def stand(module: str, *arguments: str) -> None:
    """Stand for a fork of the server that runs this module: end with it, with its exit code."""
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(os.environ.get(SERVER, ""))
        except OSError:
            os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
        if module == KERNEL:
            # No notebook is interrupted, but at its end its kernel is, too.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        asked = {"command": [module, *arguments], "folder": os.getcwd(), "environment": dict(os.environ)}
        told = json.dumps(asked).encode()
        socket.send_fds(server, [len(told).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(told)
        ended = server.recv(2)
    if not ended:
        sys.exit(f"{module}: the server of kernels has ended, or could not start another process; run it again")
    code = int.from_bytes(ended, "big", signed=True)
    if code < 0:
        # As the fork ended, so that a shell says `Killed` of a process that took all memory.
        with contextlib.suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


class _Server:
    """Forks a process for each connection. A connection that closes ends its fork, and the other way round."""

    def __init__(self, listening: socket.socket):
        self.listening, self.ready = listening, False
        self.forks: dict[int, socket.socket] = {}

    def run(self) -> None:
        """Serve until the standard input closes, as the process that started the server ends."""
        with selectors.DefaultSelector() as selector:
            selector.register(0, selectors.EVENT_READ)
            selector.register(self.listening, selectors.EVENT_READ)
            try:
                while True:
                    for key, _ in selector.select(LOOK if self.forks else None):
                        if key.fileobj == 0:
                            return
                        if key.fileobj is self.listening:
                            connection = self.listening.accept()[0]
                            if process := self._forked(connection):
                                self.forks[process] = connection
                                selector.register(connection, selectors.EVENT_READ)
                        else:
                            # The process that stands for a fork says nothing more, so it has ended.
                            selector.unregister(key.fileobj)
                            self._end(key.fileobj)
                    self._reap(selector)
            finally:
                for connection in self.forks.values():
                    self._end(connection)

    def _forked(self, connection: socket.socket) -> int | None:
        """The process of a new fork; None where the process that asked has ended meanwhile, or none can be made."""
        size, descriptors, _, _ = socket.recv_fds(connection, 8, 3)
        told = _received(connection, int.from_bytes(size, "big"))
        if not told:
            connection.close()
            return None
        if not self.ready:
            for name in LIBRARIES:
                # A notebook that needs a missing library fails by itself, with the name of the library.
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
            # The objects of the libraries stay until the end: no fork looks for garbage among them.
            gc.freeze()
            self.ready = True
        try:
            process = os.fork()
        except OSError:
            # No memory, or too many processes. The forks that run go on.
            process = None
            connection.close()
        if process == 0:
            _become(json.loads(told), descriptors, [self.listening, connection, *self.forks.values()])
        for descriptor in descriptors:
            os.close(descriptor)
        return process

    def _end(self, connection: socket.socket) -> None:
        process = next(process for process, known in self.forks.items() if known is connection)
        # One that was forked a moment ago leads no group yet, and has no processes of its own.
        for end in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                end(process, signal.SIGKILL)

    def _reap(self, selector: selectors.BaseSelector) -> None:
        for process, connection in list(self.forks.items()):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                with contextlib.suppress(OSError):
                    connection.send(os.waitstatus_to_exitcode(status).to_bytes(2, "big", signed=True))
                with contextlib.suppress(KeyError):
                    selector.unregister(connection)
                connection.close()
                del self.forks[process]


def _received(connection: socket.socket, size: int) -> bytes:
    """So many bytes; none where the connection closes before."""
    found = b""
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            return b""
        found += part
    return found


def _become(told: dict, descriptors: list[int], connections: list[socket.socket]) -> None:
    """Run the module in this process, a fork of the server, and never return."""
    code, server = 1, os.getppid()
    # At its end this process cleans up what it has made, and not what the server has.
    atexit._clear()
    weakref.finalize._registry.clear()
    weakref.finalize._registered_with_atexit = False
    try:
        os.setsid()
        # This process ends with the server, however that ends.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for ending in _ENDINGS:
            signal.signal(ending, signal.SIG_DFL)
        for connection in connections:
            connection.close()
        for place, descriptor in enumerate(descriptors):
            os.dup2(descriptor, place)
            os.close(descriptor)
        os.environ.clear()
        os.environ |= told["environment"]
        os.chdir(told["folder"])
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
        module, *arguments = sys.argv = told["command"]
        if module == KERNEL:
            from ipykernel.kernelapp import IPKernelApp

            # Without a parent, a kernel tells how to connect to it. It ends when the parent does.
            IPKernelApp.launch_instance([*arguments, f"--IPKernelApp.parent_handle={os.getppid()}"])
        else:
            sys.path.insert(0, told["folder"])
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        # Not the way in which the server ends.
        os._exit(code)


def main() -> None:
    if sys.argv[1] != "--serve":
        stand(*sys.argv[1:])
    folder = sys.argv[3]
    # An interrupt from the keyboard goes to all processes of a build; this one ends with the build.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for ending in _ENDINGS:
        signal.signal(ending, lambda *_: sys.exit(1))
    try:
        _Server(socket.socket(fileno=int(sys.argv[2]))).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
