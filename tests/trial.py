"""A project that is killed at random instants, what must be so after each, and how it must have ended at last."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import ENVIRONMENT
from left import left, until_none_is_left
from mlflow import MlflowClient
from ruamel.yaml import YAML

SEED = int(os.environ.get("STOPGRAD_SEED", "15"))
STAGES = ("configure", "prepare", "pretrain", "embed", "probe", "fine_tune", "compare", "verdict")
MADE = ("configs", "cells", "figures", "data/prepared")
WRITERS = ("flows.repro", "flows.pipeline", "prefect.engine", "tasks.")
"""Commands that write in the project."""
COMMAND, EVERYTHING = "the command", "everything"
OF_STAGES = {"DVC": ("tasks.dvc",), "a stage": tuple(f"tasks.{name} " for name in STAGES)}
LOADERS = {"a stage's process": ("tasks.loader", "compile_worker", "tasks.tracking.")}
GOES_ON = OF_STAGES | LOADERS
"""What is killed alone: a stage is tried again, or its cell fails alone."""
VICTIMS = {COMMAND: ("flows.repro", "flows.pipeline"), **OF_STAGES, EVERYTHING: ("",)}
SERVED = {
    COMMAND: ("flows.serve",),
    "the worker": ("prefect worker",),
    "the flow": ("prefect.engine",),
    "Prefect's server": ("prefect server",),
    "MLflow's server": ("mlflow server", "uvicorn"),
    EVERYTHING: ("",),
}
"""Of what `make serve` starts: with each of them the run ends."""


@dataclass
class Trial:
    """What is killed: how it is started, how long it takes, and how it must end."""

    template: Path
    command: tuple[str, ...]
    seconds: float
    expected: dict[str, Any]
    victims: dict[str, tuple[str, ...]]
    environment: dict[str, str] = field(default_factory=dict)
    begun: str = ""
    """What the command says when that begins which is killed; nothing where it is the command itself."""
    generator: random.Random = field(default_factory=lambda: random.Random(SEED))

    def kill(self, project: Path, count: int) -> None:
        """Start and kill until so many are killed; then let it end, and compare.

        The order of the victims is drawn: each is struck, where there are as many kills.
        """
        kinds = list(self.victims)
        rounds = [self.generator.sample(kinds, len(kinds)) for _ in range(0, count, len(kinds))]
        names = [name for drawn in rounds for name in drawn][:count]
        over = 0
        while True:
            process = self.start(project)
            killed = self.disturb(project, process, names)
            code = process.wait(timeout=600)
            until_none_is_left(project, 5)
            assert code == 0 or killed, (project / "said").read_text()[-5000:]
            names, over = names[killed:], over + (not killed)
            assert over <= count, f"there is hardly ever {names}"
            if code == 0:
                self.compare(project)
                if not names:
                    return
                shutil.rmtree(project)
                shutil.copytree(self.template, project, symlinks=True)

    def disturb(self, project: Path, process: subprocess.Popen[bytes], names: list[str]) -> int:
        """Kill these in turn, until one is killed without whom the run ends, or it is over; says how many."""
        for number, name in enumerate(names):
            instant = self.generator.uniform(0.1, self.seconds)
            print(f"seed {SEED}, {len(names) - number} to kill: {name} after {instant:.2f} s: ", end="", flush=True)
            if not self.strike(project, process, name, instant):
                print("it was over")
                return number
            if name not in GOES_ON:
                begun = time.monotonic()
                until_none_is_left(project, 5, WRITERS)
                print(f"{time.monotonic() - begun:.1f} s later nobody writes")
                return number + 1
            print("it goes on")
        return len(names)

    def start(self, project: Path) -> subprocess.Popen[bytes]:
        """Start it, and wait until that has begun which is killed."""
        said = project / "said"
        with said.open("w") as file:
            process = subprocess.Popen(
                self.command, cwd=project, env=ENVIRONMENT | self.environment, stdout=file, stderr=file
            )
        while self.begun not in said.read_text():
            assert process.poll() is None, said.read_text()[-5000:]
            time.sleep(0.1)
        return process

    def strike(self, project: Path, process: subprocess.Popen[bytes], name: str, seconds: float) -> bool:
        """After so many seconds kill one of a kind, or all, as soon as there is one; says whether there was."""
        place = self.generator.random()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=seconds)
        while process.poll() is None:
            running = left(project).items()
            there = sorted(pid for pid, command in running if any(word in command for word in self.victims[name]))
            for pid in there if name == EVERYTHING else there[int(place * len(there)) :][:1]:
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(pid, signal.SIGKILL)
            if there:
                return True
            time.sleep(0.02)
        return False

    def compare(self, project: Path) -> None:
        """It is as one that nobody disturbed."""
        found = state(project)
        assert found["stages"] == self.expected["stages"]
        assert found == self.expected


def state(project: Path) -> dict[str, Any]:
    """All that DVC determines, by content; and what must not be: stages that ran twice, what is half written."""
    files = [file for folder in MADE for file in sorted((project / folder).rglob("*")) if file.is_file()]
    results = [file for name in ("comparison.csv", "claims.json") for file in sorted(project.glob(f"results/*/{name}"))]
    return {
        "stages": YAML(typ="safe").load(project / "dvc.lock")["stages"],
        "files": {str(file.relative_to(project)): digest(file) for file in files + results},
        "twice": [file.name for file in project.glob("witness/* ran twice")],
        "half": [str(file) for folder in MADE for file in (project / folder).rglob(".*.partial")],
    }


def digest(file: Path) -> str:
    """Of its content."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def runs(project: Path) -> list[tuple[str, str]]:
    """MLflow's, by name and status: none twice, none that runs for ever."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    found = [(run.info.run_name or "", run.info.status) for run in client.search_runs(experiments)]
    assert {status for _, status in found} == {"FINISHED"}
    assert len(dict(found)) == len(found)
    return sorted(found)
