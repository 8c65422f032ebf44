"""DVC, as Stopgrad starts it: `python -m tasks.dvc …` is `dvc …` that dies with what started it, and sooner done.

Where another process has DVC's locks, DVC advises to delete them; that process is named instead.
"""

import logging
import os
import re
import signal
import sys
from pathlib import Path

from dvc.cli import main as dvc
from dvc.lock import LockError

from tasks import locked, workspace
from tasks.parent import STARTER


class NamingTheHolder(logging.Filter):
    """Says which process has the lock, in the place of DVC's own words."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record of such a failure."""
        error = record.exc_info[1] if record.exc_info else None
        while error and not isinstance(error, LockError):
            error = error.__cause__ or error.__context__
        if error:
            record.msg, record.args, record.exc_info = f"stopgrad: {workspace.busy(holder(error))}", (), None
        return True


def holder(error: LockError) -> str:
    """The process that holds the lock of a path, as DVC says, or that of all, as is written there."""
    named = re.search(r"\(PID (\d+)\)", str(error))
    lock = Path(".dvc/tmp/lock")
    return named[1] if named else lock.read_text().strip() if lock.exists() else ""


if __name__ == "__main__":
    os.environ.pop(STARTER, None)  # a stage's own is DVC
    locked.quicken()
    # A terminal that closes tells DVC's stage too; DVC lives until that has ended, as on Ctrl-C.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    for handler in logging.getLogger("dvc").handlers:
        handler.addFilter(NamingTheHolder())
    sys.exit(dvc(sys.argv[1:]))
