"""What passes between machines by the project's DVC remote: `python -m tasks.elsewhere fetch|take|give STAGE…`.

`fetch` brings what dvc.lock names of stages, `take` what any machine gave that ran them with the same inputs, and
`give` leaves it there. None of them runs a stage. What was observed of a stage (`tasks.tracking.observations`) goes
with what it made, in a folder of the remote beside DVC's own.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.stage.cache import RunCacheNotFoundError, _can_hash, _get_stage_hash
from dvc_objects.fs.generic import copy
from dvc_objects.fs.local import localfs

from ssl_core.errors import Refused
from tasks import workspace
from tasks.cells import FIGURES
from tasks.dvc import holder
from tasks.stage import atomic_file, stage
from tasks.tracking import observations

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

    In the order that is given, that of the graph: what a stage reads is restored before it. A stage that it lacks is
    left as it is, with those that stand on it.
    """
    remote, cache = repo.cloud.get_remote(), repo.cache.legacy
    for name in names:
        found = repo.stage.load_one(name=name)
        if not found.changed():
            continue
        try:
            if not all(dependency.exists for dependency in found.deps):
                raise RunCacheNotFoundError(found)
            folder = _entries(repo, name)
            for entry in remote.fs.find(remote.fs.join(remote.path, *folder)):
                copy(remote.fs, entry, cache.fs, cache.fs.join(cache.path, *folder, remote.fs.name(entry)))
            repo.stage_cache.restore(found, pull=True)
            repo.commit(name, force=True)
        except RunCacheNotFoundError:
            print(f"{name} is not on the remote", flush=True)
    for here, there in _observed(repo, names):
        if not here.exists():
            with suppress(FileNotFoundError), atomic_file(here) as partial:
                copy(remote.fs, remote.fs.join(remote.path, *there), localfs, str(partial))


def give(repo: Repo, names: list[str]) -> None:
    """Leave what these stages made and cost on the remote, then, once all is there, how it is found: the run-cache."""
    repo.push(targets=names)
    remote, cache = repo.cloud.get_remote(), repo.cache.legacy
    for here, there in _observed(repo, names):
        if here.exists():
            copy(localfs, str(here), remote.fs, remote.fs.join(remote.path, *there))
    for folder in (_entries(repo, name) for name in names):
        for entry in cache.fs.find(cache.fs.join(cache.path, *folder)) if folder else ():
            copy(cache.fs, entry, remote.fs, remote.fs.join(remote.path, *folder, cache.fs.name(entry)))


def _entries(repo: Repo, name: str) -> tuple[str, ...]:
    """The folder of a run-cache that has how a stage was made with the inputs that are here; none of one always run.

    DVC's own commands copy the run-cache whole, both ways: a cell's costs would grow with those that came before it.
    """
    found = repo.stage.load_one(name=name)
    found.save_deps()
    if not _can_hash(found):
        return ()
    key = _get_stage_hash(found)
    return "runs", key[:2], key


def _observed(repo: Repo, names: list[str]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Where the observations of these stages, as far as their figures are here, lie here, and where on the remote."""
    for name in names:
        for out in map(str, repo.stage.load_one(name=name).outs):
            identity = Path(out) / observations.IDENTITY
            if Path(out).parts[0] == FIGURES.name and identity.exists():
                file = observations.file(Path(out).parts[2], identity.read_text().strip())
                yield file, file.parts[-3:]


def main(word: str, names: list[str]) -> None:
    """Do it. Raises `Refused` where the remote refuses, is full, or cannot be reached."""
    causes = Causes()
    for library in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(library).addHandler(causes)
    with Repo() as repo:
        remote = repo.config["core"].get("remote")
        if not remote:
            raise Refused("there is no DVC remote, by which machines give each other what they made: dvc remote add -d")
        url = repo.config["remote"][remote]["url"]
        where = f"the DVC remote {remote} ({url})"
        if url.startswith(("http:", "https:")):
            raise Refused(f"{where} cannot be asked what it has, as it is one of HTTP: take a folder, ssh or S3")
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
