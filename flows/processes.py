"""One stage of dvc.yaml as a process: started, watched and ended as a whole."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tasks import children

SKIPPED = "didn't change, skipping"
KILLED = re.compile(r"exited with (-9|137)$")
"""How DVC says that a stage was killed: with the signal, or as a shell tells it."""
PROGRESS_SECONDS = 10.0
"""How often a progress bar, which rewrites its line several times a second, is worth a line of the log."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a stage's process ended: its exit code, whether DVC found nothing to do, and its last words.

    `killed`: it, or its DVC, was ended by SIGKILL, as the system does where memory runs out: another try may do.
    """

    code: int
    unchanged: bool
    last_line: str
    killed: bool = False


class Processes:
    """The stages' processes that run now, each in a session of its own, so that a stage ends with all it started."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen[str]] = set()
        self.lock = threading.Lock()
        self.ended = False

    def run(self, stage: str, environment: dict[str, str], say: Callable[[str], None]) -> Outcome:
        """Run one stage by DVC and wait for it, as `command` does.

        `--wait-for-lock` and `--single-item` let several run side by side without losing an update of dvc.lock.
        """
        words = ["tasks.dvc", "--wait-for-lock", "repro", "--single-item", stage]
        return self.command(words, environment, say)

    def command(self, words: list[str], environment: dict[str, str], say: Callable[[str], None]) -> Outcome:
        """Run `python -m` with these words in the caller's thread; every line of its output goes to `say`.

        It ends, with all that it started, when this thread ends.
        """
        with self.lock:
            if self.ended:
                return Outcome(code=1, unchanged=False, last_line="the flow was ended")
            process = subprocess.Popen(
                ["python", "-m", *words],
                env=children.environment() | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            self.running.add(process)
        try:
            with process:
                lines = list(_said(process.stdout or (), say))
                code = process.wait()
        finally:
            self.running.discard(process)
        said = [line for line in lines if line.startswith("stopgrad:")] or list(filter(None, lines)) or ["no output"]
        return Outcome(
            code=code,
            unchanged=any(SKIPPED in line for line in lines),
            last_line=said[-1],
            killed=code == -9 or any(KILLED.search(line) for line in lines),
        )

    def end(self) -> None:
        """End every process that runs, with what it started; none starts after."""
        with self.lock:
            self.ended = True
            running = list(self.running)
        children.end(running)


def _said(output: Iterable[str], say: Callable[[str], None]) -> Iterator[str]:
    """The lines of an output as they come, each said; of a progress bar, one now and then."""
    said_progress = 0.0
    for line in map(str.rstrip, output):
        if "%|" not in line:
            yield line
            say(line)
        elif time.monotonic() - said_progress > PROGRESS_SECONDS:
            said_progress = time.monotonic()
            say(line)
