"""What a command starts and ends: processes of the project that die with it, each with all that it started."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

from tasks.parent import STARTER

PATIENCE_SECONDS = 10.0
"""How long what is asked to end may take, before it is killed."""


def environment() -> dict[str, str]:
    """This process's, for a `python -m tasks.…` that shall die with it."""
    return {**os.environ, STARTER: str(os.getpid())}


def run(*command: str) -> int:
    """Run `python -m` with these words, in this process's terminal, and give its exit code.

    It ends with this process: on Ctrl-C the terminal has told both, for any other reason it is asked to. One that a
    signal ended has the code that a shell gives it, 128 + the signal.
    """
    process = subprocess.Popen(["python", "-m", *command], env=environment())
    # Where this process ignores Ctrl-C (`&` in a script), so does that one.
    asked = signal.SIGTERM if signal.getsignal(signal.SIGINT) == signal.SIG_IGN else signal.SIGINT
    try:
        code = process.wait()
        return code if code >= 0 else 128 - code
    except KeyboardInterrupt:
        end([process], asked=None)
        raise
    finally:
        end([process], asked)


def end(processes: Iterable[subprocess.Popen], asked: signal.Signals | None = signal.SIGINT) -> None:
    """End processes with all that they started: asked as by Ctrl-C, and killed where that takes too long.

    Ctrl-C is what DVC leaves to its stage, which then removes what it has half written: any other signal ends `dvc` at
    once, and that kills the stage.
    """
    trees = [one for process in processes if process.poll() is None for one in _tree(process.pid)]
    if asked:
        _send(trees, asked)
    until = time.monotonic() + PATIENCE_SECONDS
    while (living := [one for one in trees if _lives(one)]) and time.monotonic() < until:
        time.sleep(0.05)
    _send(living, signal.SIGKILL)


def _tree(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    return []


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
