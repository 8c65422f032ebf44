"""What passes between machines by the project's DVC remote: `python -m tasks.elsewhere fetch|take|give STAGE…`.

`fetch` brings what dvc.lock names of stages, `take` what any machine gave that ran them with the same inputs, and
`give` leaves it there. None of them runs a stage.
"""

import logging
import sys

from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.stage.cache import RunCacheNotFoundError

from ssl_core.errors import Refused
from tasks import workspace
from tasks.dvc import holder
from tasks.stage import stage

WORDS = ("fetch", "take", "give")


class Causes(logging.Handler):
    """Keeps why single files could not be brought: DVC raises only how many."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's exception, or its text."""
        error = record.exc_info[1] if record.exc_info else None
        self.said.append(" ".join(str(error or record.getMessage()).split()))


def fetch(repo: Repo, names: list[str]) -> None:
    """Bring the outputs that dvc.lock names of these stages, into the cache and the workspace."""
    repo.pull(targets=names)


def take(repo: Repo, names: list[str]) -> None:
    """Restore from the run-cache of the remote which of these stages it has with the inputs that are here.

    In the order that is given, that of the graph: what a stage reads is restored before it. The run-cache is copied
    whole, once. A stage that it lacks is left as it is, with those that stand on it.
    """
    repo.stage_cache.pull(None)
    for name in names:
        found = repo.stage.load_one(name=name)
        if not found.changed():
            continue
        try:
            if not all(dependency.exists for dependency in found.deps):
                raise RunCacheNotFoundError(found)
            repo.stage_cache.restore(found, pull=True)
            repo.commit(name, force=True)
        except RunCacheNotFoundError:
            print(f"{name} is not on the remote", flush=True)


def give(repo: Repo, names: list[str]) -> None:
    """Leave the outputs of these stages on the remote, then, once all are there, how they were made: the run-cache."""
    repo.push(targets=names)
    repo.push(targets=names, run_cache=True)


def main(word: str, names: list[str]) -> None:
    """Do it. Raises `Refused` where the remote refuses, is full, or cannot be reached."""
    causes = Causes()
    for library in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(library).addHandler(causes)
    with Repo() as repo:
        remote = repo.config["core"].get("remote")
        if not remote:
            raise Refused("there is no DVC remote, by which machines give each other what they made: dvc remote add -d")
        where = f"the DVC remote {remote} ({repo.config['remote'][remote].get('url')})"
        try:
            with lock_repo(repo):
                {"fetch": fetch, "take": take, "give": give}[word](repo, names)
        except LockError as error:
            raise Refused(workspace.busy(holder(error))) from None
        except (DvcException, OSError) as error:
            why = causes.said[-1] if causes.said else " ".join(str(error).split())
            did = "did not take what was made here" if word == "give" else "does not give what is needed"
            raise Refused(f"{where} {did}: {why}") from None


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in WORDS:
        sys.exit(f"usage: python -m tasks.elsewhere {'|'.join(WORDS)} STAGE…")
    with stage(), workspace.writing():
        main(sys.argv[1], sys.argv[2:])
