"""What passes between machines by the project's DVC remote: `python -m tasks.elsewhere fetch|take|give STAGE…`.

`fetch` brings what dvc.lock names of stages, `take` what any machine gave that ran them with the same inputs, and
`give` leaves it there. None of them runs a stage. What was observed of a stage (`tasks.tracking.observations`) goes
with what it made, in a folder of the remote beside DVC's own.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from dvc.dvcfile import load_file
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.stage import Stage
from dvc.stage.cache import RunCacheNotFoundError, _can_hash, _get_stage_hash
from dvc_data.hashfile.db import HashFileDB
from dvc_objects.fs.generic import copy
from dvc_objects.fs.local import localfs

from ssl_core.errors import Refused
from tasks import workspace
from tasks.cells import FIGURES
from tasks.configuration import files
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
    left as it is, with those that stand on it. dvc.lock is written once: writing takes as long as it has stages.
    """
    remote, graph, restored = repo.cloud.get_remote(), load_file(repo, files.GRAPH.name), []
    try:
        for name in names:
            restored += _restored(repo, remote.legacy_odb, graph.stages, name)
    finally:
        graph.dump_stages(restored, update_pipeline=False)
    for here, there in _observed(graph.stages[name] for name in names):
        if not here.exists():
            with suppress(FileNotFoundError), atomic_file(here) as partial:
                copy(remote.fs, remote.fs.join(remote.path, *there), localfs, str(partial))


def give(repo: Repo, names: list[str]) -> None:
    """Leave what these stages made and cost on the remote, then, once all is there, how it is found: the run-cache."""
    repo.push(targets=names)
    remote, stages = repo.cloud.get_remote(), load_file(repo, files.GRAPH.name).stages
    for here, there in _observed(stages[name] for name in names):
        if here.exists():
            copy(localfs, str(here), remote.fs, remote.fs.join(remote.path, *there))
    for name in names:
        _copy_entries(stages[name], repo.cache.legacy, remote.legacy_odb)


def _restored(repo: Repo, remote: HashFileDB, stages: Mapping[str, Stage], name: str) -> list[Stage]:
    """The stage, restored as the remote has it; none where it has not, or where nothing is to be done."""
    found = stages[name]
    if not found.changed():
        return []
    try:
        if not all(dependency.exists for dependency in found.deps):
            raise RunCacheNotFoundError(found)
        # Of a copy, as the stage itself must know what it was made of when dvc.lock was written.
        _copy_entries(stages[name], remote, repo.cache.legacy)
        repo.stage_cache.restore(found, pull=True)
    except RunCacheNotFoundError:
        print(f"{name} is not on the remote", flush=True)
        return []
    found.save()
    found.commit()
    return [found]


def _copy_entries(stage: Stage, source: HashFileDB, target: HashFileDB) -> None:
    """Copy from one run-cache to another how the stage was made with the inputs that are here.

    DVC's own commands copy the run-cache whole, both ways: a cell's costs would grow with those that came before it.
    """
    stage.save_deps()
    if _can_hash(stage):
        key = _get_stage_hash(stage)
        folder = ("runs", key[:2], key)
        for entry in source.fs.find(source.fs.join(source.path, *folder)):
            copy(source.fs, entry, target.fs, target.fs.join(target.path, *folder, source.fs.name(entry)))


def _observed(stages: Iterable[Stage]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Where the observations of these stages, as far as their figures are here, lie here, and where on the remote."""
    for out in (Path(str(out)) for one in stages for out in one.outs):
        identity = out / observations.IDENTITY
        if out.parts[0] == FIGURES.name and identity.exists():
            file = observations.file(out.parts[2], identity.read_text().strip())
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
