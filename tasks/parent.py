"""A stage dies with what started it (Linux), from its first instruction on, so that no orphan goes on writing.

A killed `dvc` leaves the command of its stage running, a killed torchrun its processes. The system tells a child of its
parent's death, by a signal that the child chooses (prctl(2), PR_SET_PDEATHSIG). It is SIGKILL: one that a process may
handle waits for the library that computes, or has hung. What is then half written lies beside its place, and the next
run removes it.

The package's `__init__` calls `follow`, before PyTorch, whose import takes seconds, with the standard library alone.
What a user starts by hand follows nobody: `nohup` and `&` mean that it shall outlive its shell.
"""

import os
import signal
import sys
from pathlib import Path

STARTER = "STOPGRAD_STARTER"
"""Names the process that started this one, where it is one of Stopgrad's."""
STAGE = "DVC_STAGE"
"""What DVC puts into the environment of what it starts."""
MARKS = (STAGE, "LOCAL_RANK", "PREFECT__FLOW_RUN_ID")
"""Those of DVC, torchrun and a worker of Prefect's."""
PR_SET_PDEATHSIG = 1


def follow() -> None:
    """Have this process die with what started it, at once where that is dead already.

    Only where it is the command `python -m tasks.…`, and DVC, torchrun or another of Stopgrad's commands started it.
    """
    if sys.platform != "linux" or not _is_command():
        return
    starter = os.environ.pop(STARTER, "")
    if not starter and not any(mark in os.environ for mark in MARKS):
        return
    die_with_parent()
    if starter:
        if os.getppid() != int(starter):
            os._exit(1)
        # No terminal interrupts the leader of a session but what started it, which may ignore Ctrl-C itself (`&`).
        if os.getsid(0) == os.getpid():
            signal.signal(signal.SIGINT, signal.default_int_handler)
    # The leader of a group of its own (a process of torchrun's) has a parent that follows DVC itself.
    elif STAGE in os.environ and os.getpgrp() != os.getpid():
        _die_with_dvc()


def die_with_parent() -> None:
    """Have the system kill this process when the one (precisely, the thread) that started it ends; Linux only."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _is_command() -> bool:
    words = [*sys.orig_argv, "", ""]
    return "-m" in words and words[words.index("-m") + 1].startswith("tasks.")


def _die_with_dvc() -> None:
    """Where a shell stays between DVC and its stage (dash does, bash does not), DVC's death is not the parent's."""
    dvc = os.getppid()
    try:
        while _of_stage(dvc):
            dvc = _parent_of(dvc)
        # Whoever adopts an orphan is of another group.
        orphan = os.getpgid(dvc) != os.getpgrp()
        watched = None if orphan or dvc == os.getppid() else os.pidfd_open(dvc)
    except (FileNotFoundError, ProcessLookupError):
        orphan, watched = True, None
    if orphan:
        os._exit(1)
    if watched is not None:
        import threading

        threading.Thread(target=_die_with, args=(watched,), daemon=True).start()


def _die_with(watched: int) -> None:
    import select

    select.select([watched], [], [])
    os.kill(os.getpid(), signal.SIGKILL)


def _of_stage(pid: int) -> bool:
    """Whether a process was started for the stage that this one was started for."""
    try:
        return f"{STAGE}={os.environ[STAGE]}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except PermissionError:  # another user's
        return False


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
