"""Where a cell's figures come from, as `python -m tasks.show --cell simclr-0` prints it."""

import difflib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from ssl_core.errors import Refused
from tasks import main_figure
from tasks.cells import PREPARED, Cell
from tasks.configuration import files
from tasks.configuration.plan import Plan
from tasks.tracking import address, delivery, observations, record
from tasks.tracking.reasons import reason

MAIN = (*(f"{main.section}/" for main in main_figure.MAIN.values()), f"{record.COLLAPSE}/")
VERSIONS = ("python", "torch", "device")
UNKNOWN = "not observed here: a cache gave it"


def text(plan: Plan, name: str) -> str:
    """All that made a cell of the suite, a line each. Raises `Refused` where the suite has no such cell."""
    cell = _cell(plan, name)
    parts = [
        (f"{cell.name} of the suite {plan.suite}", [f"{key}  {value:.4g}" for key, value in _figures(plan, cell)]),
        ("stages", list(_stages(plan, cell))),
        ("made from", [*_configuration(cell), *_data(plan)]),
        ("weights", list(_weights(cell))),
        ("MLflow", [_run(plan, cell)]),
    ]
    return "\n".join(line for heading, lines in parts for line in (heading, *(f"  {line}" for line in lines)))


def _cell(plan: Plan, name: str) -> Cell:
    named = {cell.name: cell for cell in plan.cells}
    if name not in named:
        near = difflib.get_close_matches(name, named, n=3, cutoff=0.0)
        raise Refused(f"the suite {plan.suite} has no cell '{name}'; the nearest are {', '.join(near)}")
    return named[name]


def _figures(plan: Plan, cell: Cell) -> list[tuple[str, float]]:
    found = record.figures(plan, cell)
    if not found:
        raise Refused(f"{cell.name} has no figures yet: run `make repro` (or `dvc repro`) first")
    return sorted((key, value) for key, value in found.items() if key.startswith(MAIN))


def _stages(plan: Plan, cell: Cell) -> Iterator[str]:
    """Each stage's identity, when it ran, for how long, where, from which commit, with what."""
    for work, seen in record.observed(plan, cell).items():
        stage, _, images = work.partition(" ")
        identity = (cell.figures(stage, images) / observations.IDENTITY).read_text().strip()
        if not seen:
            yield f"{work}  {identity}  {UNKNOWN}"
            continue
        edits = " and edits" if seen.get("dirty") == "true" else ""
        made = f"commit {seen['commit']}{edits}" if "commit" in seen else "no commit: not in a git repository"
        versions = ", ".join(f"{key} {seen[key]}" for key in VERSIONS if key in seen)
        seconds = f"{float(seen['seconds']):.1f} s" if "seconds" in seen else ""
        said = (identity, seen.get("started", ""), seconds, f"on {seen.get('machine', 'an unknown machine')}", made)
        yield "  ".join(filter(None, (work, *said, versions)))


def _configuration(cell: Cell) -> Iterator[str]:
    for file in (files.CONFIGS / f"{cell.variant}.yaml", files.CONFIGS / "evaluation" / "probe.yaml"):
        if file.exists():
            yield f"{file}  sha256 {_digest(file)}"


def _data(plan: Plan) -> Iterator[str]:
    """The card of each data set has the digests of its arrays and sources, so that its own stands for all of them."""
    for images in plan.images:
        file = PREPARED / images / "card.json"
        yield f"{file}  sha256 {_digest(file)}" if file.exists() else f"{file}  is not here: `dvc pull` brings it"


def _weights(cell: Cell) -> Iterator[str]:
    found = sorted(cell.folder("pretrain").glob("*.safetensors"))
    yield from (f"{file}  sha256 {_digest(file)}" for file in found)
    if not found:
        yield "are not here: `dvc pull` brings them"


def _run(plan: Plan, cell: Cell) -> str:
    """The cell's run: its id and where it is; or why it is not known."""
    if not address.known():
        return "has no run yet: `python -m tasks.show` delivers it"
    try:
        found = delivery.find(plan, cell)
    except Exception as error:  # whatever is wrong with MLflow, the other lines stand
        return f"cannot be asked now ({reason(error)})"
    if found is None:
        return "has no run of these figures yet: `python -m tasks.show` delivers it"
    run_id, page = found
    return f"run {run_id}  {page or '`make serve` shows it'}"


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
