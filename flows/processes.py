"""One stage of dvc.yaml as a process: started, watched and ended as a whole."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

SKIPPED = "didn't change, skipping"
PROGRESS_SECONDS = 10.0
"""How often a progress bar, which rewrites its line several times a second, is worth a line of the log."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a stage's process ended: its exit code, whether DVC found nothing to do, and its last words."""

    code: int
    unchanged: bool
    last_line: str


class Processes:
    """The stages' processes that run now, each in a session of its own, so that a stage ends with all it started."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen[str]] = set()
        self.lock = threading.Lock()
        self.ended = False

    def run(self, stage: str, environment: dict[str, str], say: Callable[[str], None]) -> Outcome:
        """Run one stage by DVC and wait for it, in the caller's thread; every line of its output goes to `say`.

        `--wait-for-lock` and `--single-item` let several run side by side without losing an update of dvc.lock.
        """
        with self.lock:
            if self.ended:
                return Outcome(code=1, unchanged=False, last_line="the flow was ended")
            process = subprocess.Popen(
                ["dvc", "--wait-for-lock", "repro", "--single-item", stage],
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            self.running.add(process)
        try:
            lines: list[str] = []
            said_progress = 0.0
            for line in filter(None, (line.strip() for line in process.stdout or ())):
                lines.append(line)
                if "%|" not in line:
                    say(line)
                elif time.monotonic() - said_progress > PROGRESS_SECONDS:
                    said_progress = time.monotonic()
                    say(line)
            said = [line for line in lines if line.startswith("stopgrad:")] or lines
            return Outcome(
                code=process.wait(),
                unchanged=any(SKIPPED in line for line in lines),
                last_line=said[-1] if said else "no output",
            )
        finally:
            self.running.discard(process)

    def end(self) -> None:
        """End every process that runs, with what it started; none starts after."""
        with self.lock:
            self.ended = True
            running = list(self.running)
        for process in running:
            _signal_group(process, signal.SIGTERM)
        for process in running:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                _signal_group(process, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
