"""The loss curve of a pretraining in MLflow while it runs, where it runs for long enough to be watched.

It is a courtesy: what is not sent is delivered afterwards, from the files. So all of it happens in another process, the
courier, which is fed by a pipe that the pretraining never waits for, and which ends with the pretraining.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tasks.cells import Cell

SHORT_SECONDS = 60.0
"""A pretraining that is over by then is not watched: opening MLflow takes seconds of a core."""
FLUSH_SECONDS = 5.0
PATIENCE_SECONDS = 2.0
"""How long the last values may take at the end."""
LOWEST = 19
"""The courier's priority."""
CHUNK = 1 << 16
"""What a pipe takes at once, bytes."""


class Live:
    """Takes what is recorded, and has it sent every few seconds."""

    def __init__(self, cell: Cell, identity: str, dataset: str) -> None:
        self.asked = [cell.variant, str(cell.seed), identity, dataset]
        self.begun = time.monotonic()
        self.unsent = bytearray()
        self.courier: subprocess.Popen[bytes] | None = None

    def record(self, step: int, values: dict[str, float]) -> None:
        """Note a step's values."""
        for name, value in values.items():
            self._say([step, f"pretrain/{name}", float(f"{value:.6g}")])
        if self.courier is None and time.monotonic() - self.begun > SHORT_SECONDS:
            try:
                self.courier = _start([*self.asked, str(FLUSH_SECONDS)])
            except OSError:  # no memory or no process is left for it: the pretraining needs none
                self.begun = math.inf
        if self.courier is not None:
            self._feed(self.courier)

    def end(self, status: str, why: str) -> None:
        """Have what is left sent, and the run ended so, in a moment; then the courier ends in any case."""
        if self.courier is None:
            return
        self._say([status, why])
        until = time.monotonic() + PATIENCE_SECONDS
        while self.courier.poll() is None and time.monotonic() < until:
            self._feed(self.courier)
            time.sleep(0.02)
        self.courier.kill()
        self.courier.wait()
        assert self.courier.stdin
        self.courier.stdin.close()

    def _say(self, line: list[object]) -> None:
        self.unsent += json.dumps(line).encode() + b"\n"

    def _feed(self, courier: subprocess.Popen[bytes]) -> None:
        """Give the courier what the pipe takes now."""
        assert courier.stdin
        try:
            while self.unsent:
                del self.unsent[: os.write(courier.stdin.fileno(), self.unsent[:CHUNK])]
        except BlockingIOError:  # the courier is busy; the rest goes with the next
            pass
        except OSError:  # it is gone: nobody is to be told
            self.unsent.clear()


def _start(arguments: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tasks.tracking.courier", *arguments, str(os.getpid())]
    quiet = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    courier = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=quiet)
    # What the pretraining leaves of the cores is enough for it.
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, courier.pid, LOWEST)
    assert courier.stdin
    os.set_blocking(courier.stdin.fileno(), False)
    return courier


@contextmanager
def live(cell: Cell, identity: str, dataset: str) -> Iterator[Live]:
    """Watch a pretraining; one that fails marks its run so, one that is killed leaves it running for its retry."""
    watched = Live(cell, identity, dataset)
    try:
        yield watched
    except BaseException as error:
        status, why = ("FAILED", str(error)) if isinstance(error, Exception) else ("KILLED", type(error).__name__)
        watched.end(status, why)
        raise
    watched.end("FINISHED", "")
