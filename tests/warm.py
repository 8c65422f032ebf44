"""Commands from a process that has the libraries already: they begin in hundredths of a second, not in seconds.

`tests/conftest.py` starts the server, `warm.py SOCKET`, and puts a `python` and a `dvc` into the PATH that ask it
(`ask.py`). The server forks; the fork runs the module with the asker's arguments, folder, environment and outputs.
They share the libraries alone: each imports the project's own code anew, from its folder.
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
DVC = (
    "dvc.cli.parser",
    "dvc.repo.graph",
    "dvc.repo.index",
    "dvc.repo.reproduce",
    "dvc.rwlock",
    "dvc.scm",
    "dvc_data.hashfile.db.local",
    "dulwich.client",
    "networkx",
    "scmrepo.git",
)
MLFLOW = (
    "mlflow",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "sklearn.metrics",
)
OTHERS = ("jinja2", "matplotlib.pyplot", "pandas", "pydantic", "ruamel.yaml", "scipy.stats")
"""Also what these libraries import themselves when they are first used: a second of a fork that shows or reproduces."""


def serve(address: str) -> None:
    """Fork for whoever asks, until the standard input ends, as it does with the process that holds it.

    The socket's folder is then removed.
    """
    for library in (*TORCH, *DVC, *MLFLOW, *OTHERS):
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
    serve(sys.argv[1])
