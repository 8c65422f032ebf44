"""Print the comparison, write its report, and hand the record to MLflow: `python -m tasks.show`. No stage.

Table and report are made here from DVC's outputs and the observations, together, so that neither is ever of another run
than the other. Where nothing that they are made from has changed, the table is printed as it was kept, at once:
`results/<suite>/.shown` holds it with a digest of all that it was made from.
"""

import hashlib
import json
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.cells import MADE, PREPARED
from tasks.comparison import sources
from tasks.configuration import plan as plans
from tasks.configuration.plan import Plan
from tasks.stage import atomic_file, stage
from tasks.tracking import observations, store

DELIVERED = Path("results/.delivered")
"""What MLflow was last given: of which suite, by what digest, to which store."""
TOOLS = ("torch", "torchvision", "dvc", "mlflow", "prefect")
"""Whose versions the report names."""
CHAMPIONS = ("exporting/loading.py", "tracking/record.py", "weights.py", "configuration/plan.py")
"""What decides, beside the comparison's own code, which cell the report offers and what it says of it."""


def main() -> None:
    """Show the active suite; what is heavy is imported only where there is something to make or to deliver.

    Raises `Refused` where it was not compared yet, or where the figures are not those that were compared.
    """
    plan = plans.read()
    digest, kept = made_from(plan), _read(_shown(plan))
    if kept.get("digest") != digest or not report_file(plan).exists():
        kept = {"digest": digest, "text": _make(plan)}
        _write(_shown(plan), kept)
    print(kept["text"])
    # What a suite delivers can be superseded by another suite's: the last delivery alone is known to stand.
    delivery_of_this = {"suite": plan.suite, "digest": digest, "store": store.known()}
    if not delivery_of_this["store"] or _read(DELIVERED) != delivery_of_this:
        from tasks.tracking import delivery

        if delivery.deliver(plan):
            _write(DELIVERED, delivery_of_this | {"store": store.known()})
    print(f"\nLook further:  make ui    and the report, {report_file(plan)}")


def report_file(plan: Plan) -> Path:
    """Where the suite's report lies."""
    return plan.results / "report.html"


def versions() -> dict[str, str]:
    """Of Python and the tools."""
    return {"python": platform.python_version(), **{tool: version(tool) for tool in TOOLS}}


def made_from(plan: Plan) -> str:
    """A digest of everything that table and report are made from; of large files, the identities of what made them."""
    digest = hashlib.sha256()
    for name, content in _parts(plan):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _parts(plan: Plan) -> Iterator[tuple[str, bytes]]:
    here = Path(__file__)
    small = [
        here,
        *sorted(file for file in (here.parent / "comparison").iterdir() if file.suffix in {".py", ".jinja"}),
        *(here.parent / name for name in CHAMPIONS),
        *(plan.results / name for name in ("comparison.csv", "troubles.json", "sources.json")),
        *(PREPARED / images / "card.json" for images in plan.images),
    ]
    for file in small:
        yield file.name, file.read_bytes() if file.exists() else b""
    yield "figures", json.dumps(sources.digests(plan)).encode()
    yield "observations", json.dumps([observations.read(*work) for work in sources.works(plan)]).encode()
    yield "there", json.dumps(list(_there(plan))).encode()
    yield "tools", json.dumps(versions()).encode()


def _there(plan: Plan) -> Iterator[str]:
    """The large files, which `dvc pull` brings: what is in them their identities say, but not whether they are here."""
    for cell in plan.cells:
        yield from sorted(file.as_posix() for file in (MADE / cell.name).rglob("*"))


def _make(plan: Plan) -> str:
    """Write the report, and return the table."""
    from tasks.comparison import compared, report, table

    of_suite = compared.read(plan)
    sources.check(plan)
    report.write(of_suite, report_file(plan), versions())
    return table.text(of_suite)


def _shown(plan: Plan) -> Path:
    return plan.results / ".shown"


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.exists() else {}


def _write(file: Path, content: dict[str, Any]) -> None:
    with atomic_file(file) as partial:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    with stage():
        main()
