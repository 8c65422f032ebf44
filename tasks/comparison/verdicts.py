"""What the verdict stage found, as table, report and record read it: `results/<suite>/claims.json`."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ssl_core.errors import Refused
from tasks.configuration import files
from tasks.configuration.plan import Plan
from tasks.stage import atomic_file


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A weighted difference of figures, with its interval at the claim's level; all in points.

    `weights`: by what is compared, in words (`simclr`, `simclr, fine-tuned, 10 % of the labels`), above 0 on the better
    side. `images`: whether the interval counts that the test images are a sample; else it is of the seeds alone.
    `lower` and `upper` are None with one seed.
    """

    weights: dict[str, float]
    effect: float
    lower: float | None
    upper: float | None
    images: bool


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A claim's verdict. `effect` is its least or greatest contrast, whichever decides; in points, as `more_than`.

    `why`: what a reader must know beside the figures, a sentence; empty where nothing. `seeds_to_decide`: how many
    seeds would, in all; None where it is decided, or no number up to 30 would (`why` says so). `cells`: whose figures
    it is made of. `effect` is None where a figure is missing, which `why` names.
    """

    name: str
    says: str
    source: str
    verdict: Literal["supported", "refuted", "undecided"]
    why: str
    effect: float | None
    lower: float | None
    upper: float | None
    more_than: float
    seeds: list[int]
    contrasts: list[Contrast]
    seeds_to_decide: int | None
    cells: list[str]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Variants by the main figure, best first, and those of them that are not shown to be below another."""

    order: list[str]
    best: list[str]


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Of a suite: `level` is what each look may err by, `looks` how often the suite is looked at in all."""

    level: float
    looks: int
    claims: list[Verdict]
    ranking: Ranking | None


def file(plan: Plan) -> Path:
    """Where the verdicts lie."""
    return plan.results / "claims.json"


def write(plan: Plan, found: Verdicts) -> None:
    """Write the verdicts, by the claims' names, with what they were decided from."""
    made = {"made_from": _made_from(plan), **dataclasses.asdict(found)}
    made["claims"] = {one.pop("name"): one for one in made["claims"]}
    with atomic_file(file(plan)) as partial:
        partial.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n")


def check(plan: Plan) -> None:
    """Raise `Refused` where claims were not decided, or not from the comparison and the claims that are there now."""
    if not file(plan).exists():
        asked = files.asked(plan.suite)
        if asked.exists() and files.read(asked).get("claims"):
            raise Refused(f"{file(plan)} is missing, and {plan.suite} has claims: run `dvc repro`, which decides them")
        return
    kept = json.loads(file(plan).read_text()).get("made_from", {})
    differing = [path for path, digest in _made_from(plan).items() if kept.get(path) != digest]
    if differing:
        raise Refused(f"{file(plan)} was decided from another {differing[0]} than is there now: run `dvc repro`")


def _made_from(plan: Plan) -> dict[str, str]:
    """The SHA-256 of the comparison and of what the suite asks, by path; empty of a file that is not there."""
    made = (plan.results / "comparison.csv", files.asked(plan.suite))
    return {one.as_posix(): hashlib.sha256(one.read_bytes()).hexdigest() if one.exists() else "" for one in made}


def read(plan: Plan) -> Verdicts:
    """What the verdict stage wrote."""
    written: dict[str, Any] = json.loads(file(plan).read_text())
    claims = [
        Verdict(name=name, **one | {"contrasts": [Contrast(**contrast) for contrast in one["contrasts"]]})
        for name, one in written["claims"].items()
    ]
    ranking = Ranking(**written["ranking"]) if written["ranking"] else None
    return Verdicts(level=written["level"], looks=written["looks"], claims=claims, ranking=ranking)
