"""Commands from a process that has the libraries already: they begin in hundredths of a second, not in seconds.

`tests/conftest.py` starts the server, `warm.py serve SOCKET`, and puts a `python` and a `dvc` into the PATH that ask
it, `warm.py ask SOCKET ARGUMENTS`. The server forks; the fork runs the module with the asker's arguments, folder,
environment and outputs. They share the libraries alone: each imports the project's own code anew, from its folder.
"""

import atexit
import gc
import json
import os
import runpy
import select
import shutil
import socket
import sys
import threading
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

TORCH = ("torch", "torch._dynamo", "torch.export", "torchvision", "timm", "safetensors.torch")
DVC = ("dvc.cli", "dvc.commands.repro", "dvc.repo.reproduce")
OTHERS = ("matplotlib.pyplot", "mlflow", "pandas", "pydantic", "ruamel.yaml", "scipy.stats", "sklearn")
PACKAGES = ("dvc", "tasks")
"""Whose modules are run by the server; any other command is the interpreter's."""


def ask(address: str, *command: str) -> None:
    """Have the server run `-m MODULE ARGUMENTS`, and end as it ends."""
    if len(command) < 2 or command[0] != "-m" or command[1].partition(".")[0] not in PACKAGES:
        os.execv(sys.executable, [sys.executable, *command])
    asked = {"arguments": command[1:], "folder": str(Path.cwd()), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [b" "], [0, 1, 2])
        server.sendall(json.dumps(asked).encode())
        server.shutdown(socket.SHUT_WR)
        sys.exit(int(server.recv(8) or 1))


def serve(address: str) -> None:
    """Fork for whoever asks, until the standard input ends, as it does with the process that holds it.

    The socket's folder is then removed.
    """
    for library in (*TORCH, *DVC, *OTHERS):
        import_module(library)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
            asker, _ = listening.accept()
            if not os.fork():
                listening.close()
                answer(asker)
            asker.close()
            reap()
    shutil.rmtree(Path(address).parent)


def reap() -> None:
    """Let go of the forks that have ended, whose seconds count as the server's."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def answer(asker: socket.socket) -> NoReturn:
    """In a fork of the server: run what is asked, tell the exit code, and end."""
    _, outputs, *_ = socket.recv_fds(asker, 1, 3)
    asked = json.loads(asker.makefile().read())
    for number, given in enumerate(outputs):
        os.dup2(given, number)
        os.close(given)
    try:
        become(**asked)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    # The interpreter's own end would touch, and so copy, every object that is shared with the server.
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    asker.sendall(str(code).encode())
    os._exit(code)


def become(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Run the module as `python -m` does."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:1] = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    {"ask": ask, "serve": serve}[sys.argv[1]](*sys.argv[2:])
