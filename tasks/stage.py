"""What every stage's command does around its work: one sentence for what a user can put right, and whole outputs."""

import ctypes
import errno
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssl_core.errors import Refused
from tasks import workspace
from tasks.parent import STAGE

AGAIN_SECONDS = 0.1
"""Until what was swallowed is raised again: the callback has ended by then."""
PATIENCE_SECONDS = 2.0
"""Of a data-parallel process: where all refuse the same, the first one's sentence ends the others before they speak."""


@contextmanager
def stage() -> Iterator[None]:
    """Run a command's work: what a user can put right becomes one line on stderr and exit code 1.

    Told to end, by SIGTERM or by a terminal that closes, it ends as by Ctrl-C. One that DVC runs refuses where another
    writes in the folder (`tasks.workspace`).
    """
    if sys.platform == "linux":
        keep_freed_memory()
    _end_as_by_ctrl_c()
    try:
        with workspace.written_by_stage():
            yield
    except (Refused, OSError) as error:
        if os.environ.get("RANK", "0") != "0":
            time.sleep(PATIENCE_SECONDS)
        print(f"stopgrad: {sentence(error)}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def arguments(*names: str) -> list[str]:
    """The command's arguments. Raises `Refused`, naming them, where they are not as many."""
    given = sys.argv[1:]
    if len(given) != len(names):
        command = f"python -m tasks.{Path(sys.argv[0]).stem}"
        raise Refused(f"{command} needs {', '.join(names)}, and was given {' '.join(given) or 'nothing'}")
    return given


def sentence(error: Refused | OSError) -> str:
    """What went wrong and where, in one sentence."""
    if not isinstance(error, OSError):
        return str(error)
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{where}: free some space and run the same command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to write or read{where}: give this user access, or work in another folder"
    return f"{error.strerror or error}{where}"


def root() -> Path:
    """The project's folder, also for a stage that DVC runs in a temporary copy of it (`dvc exp run --temp`)."""
    return Path(os.environ.get("DVC_ROOT", "")).resolve()


def experiment() -> str:
    """The name of the experiment that the stage runs in (`dvc exp run`); empty where it runs in none."""
    return os.environ.get("DVC_EXP_NAME", "")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder to write in that becomes `path` when the block ends well; otherwise it is removed and `path` stays."""
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A file to write that becomes `path` when the block ends well; otherwise it is removed and `path` stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _end_as_by_ctrl_c() -> None:
    """Have what this process is told to end by raise in its main thread, so that what is half written is removed.

    What is ignored stays so, as nohup has it. A stage is told twice, by a terminal and by what started it: while it
    removes what it has written it is not disturbed again. What a library's callback happens to run, Python swallows the
    exception of (an import's was seen to); it is raised again then.
    """
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def end(number: int, _: object) -> None:
        for other in ends if STAGE in os.environ else ():
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def swallowed(what: "sys.UnraisableHookArgs") -> None:
        error = what.exc_value
        if not isinstance(error, KeyboardInterrupt | SystemExit):
            sys.__unraisablehook__(what)
            return

        def again(*_: object) -> None:
            raise error

        signal.signal(signal.SIGALRM, again)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)

    sys.unraisablehook = swallowed
    for number in ends:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)


def keep_freed_memory() -> None:
    """Have glibc, where it is, keep large tensors' memory for the next step: fetching it anew took a tenth of the time.

    The largest, of 32 MiB and more, go back at once: kept, they were seen to fragment the heap to three times its size.
    """
    trim_threshold, mmap_threshold = -1, -3
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(mmap_threshold, 2**25)
        libc.mallopt(trim_threshold, 2**31 - 1)
