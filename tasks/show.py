"""Print the comparison, write its report, and hand the record to MLflow: `python -m tasks.show`. No stage.

`--cell simclr-0` prints instead what made a cell's figures, and where its run is; `--time` where the suite's time went.

Table, verdicts, answer and report are made here from DVC's outputs and the observations, together, so that none is ever
of another run than the others. Where nothing that they are made from has changed, what is printed is printed as it was
kept, at once: `results/<suite>/.shown` holds it with a digest of all that it was made from.
"""

import argparse
import hashlib
import json
import platform
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ssl_core.errors import Refused
from tasks.cells import MADE, PREPARED
from tasks.comparison import index, sources, verdicts
from tasks.comparison.verdicts import Verdicts
from tasks.configuration import files
from tasks.configuration import plan as plans
from tasks.configuration.plan import Plan
from tasks.stage import atomic_file, stage
from tasks.tracking import address, observations

DELIVERED = Path("results/.delivered")
"""What MLflow was last given: of which suite, by what digest, to which store."""
TOOLS = ("torch", "torchvision", "dvc", "mlflow", "prefect")
"""Whose versions the report names."""
BESIDE = ("correct.py", "exporting/loading.py", "tracking/champion.py", "weights.py", "configuration/plan.py")
"""What decides, beside the comparison's own code, what the report says and which cell it offers."""
RESOLVED = ("images", "data", "defaults", "evaluation", "weights")
"""What of params.yaml decides which suite can be asked next."""


def main() -> None:
    """Show the active suite; what is heavy is imported only where there is something to make or to deliver.

    Raises `Refused` where it was not compared yet, where the figures are not those that were compared, and where the
    verdicts are of another comparison or of other claims.
    """
    plan = plans.read()
    digest, kept = made_from(plan), _read(_shown(plan))
    made = (report_file(plan), plan.summary)
    if kept.get("digest") != digest or not all(file.exists() for file in made):
        kept = {"digest": digest, **_make(plan)}
        _write(_shown(plan), kept)
    print(kept["text"])
    all_suites = index.write()
    # What a suite delivers can be superseded by another suite's: the last delivery alone is known to stand.
    delivery_of_this, before = {"suite": plan.suite, "digest": digest, "store": address.known()}, _read(DELIVERED)
    run = before.pop("run", "")
    if not delivery_of_this["store"] or before != delivery_of_this or not address.has(run):
        from tasks.tracking import delivery

        # First: a delivery that ends half-way has changed what the store says.
        DELIVERED.unlink(missing_ok=True)
        if run := delivery.deliver(plan, {claim.name: claim.verdict for claim in _verdicts(plan).claims}):
            _write(DELIVERED, delivery_of_this | {"store": address.known(), "run": run})
    print(f"\nAll suites:    {all_suites}\nLook further:  {_page(plan)}    and the report, {report_file(plan)}")


def _page(plan: Plan) -> str:
    """Where MLflow shows the suite: on the server that has the record, else on the one that `make serve` starts."""
    if not address.known().startswith(("http://", "https://")):
        return "make serve"
    import httpx

    from tasks.tracking import page

    try:
        return page.comparison(address.known(), plan)
    except httpx.HTTPError:
        return "MLflow, when it answers again,"


def report_file(plan: Plan) -> Path:
    """Where the suite's report lies."""
    return plan.results / index.REPORT


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
        *sorted(file for file in (here.parent / "comparison").iterdir() if file.suffix in {".py", ".jinja", ".css"}),
        *(here.parent / name for name in BESIDE),
        *(plan.results / name for name in ("comparison.csv", "troubles.json", "sources.json", "claims.json")),
        *(PREPARED / images / "card.json" for images in plan.images),
        files.asked(plan.suite),
    ]
    for file in small:
        yield file.name, file.read_bytes() if file.exists() else b""
    yield "figures", json.dumps(sources.digests(plan)).encode()
    yield "observations", json.dumps([observations.read(*work) for work in sources.works(plan)]).encode()
    yield "there", json.dumps(list(_there(plan))).encode()
    for file in (*map(_suite, index.not_asked(plan.suite, plan.images[0])), files.METHODS):
        yield file.name, file.read_bytes() if file.exists() else b""
    yield "images", json.dumps([files.read(files.PARAMS).get(key) for key in RESOLVED]).encode()
    yield "tools", json.dumps(versions()).encode()


def _there(plan: Plan) -> Iterator[str]:
    """The large files, which `dvc pull` brings: what is in them their identities say, but not whether they are here."""
    for cell in plan.cells:
        yield from sorted(file.as_posix() for file in (MADE / cell.name).rglob("*"))


def _make(plan: Plan) -> dict[str, Any]:
    """Write the report and its summary; gives what is printed, and what `index` needs."""
    from tasks.comparison import answer, compared, report, sentences, summary, table, verdict_lines

    of_suite = compared.read(plan)
    sources.check(plan)
    verdicts.check(plan)
    judged = _verdicts(plan)
    said = answer.sentences(of_suite, judged, _not_asked(plan))
    report.write(of_suite, judged, said, report_file(plan), versions())
    figures, lines = table.text(of_suite), verdict_lines.lines(judged)
    with atomic_file(plan.summary) as partial:
        partial.write_text(summary.markdown(plan, said, judged, figures))
    parts = [figures, "\n".join(lines), sentences.wrapped(said, verdict_lines.WIDTH)]
    kept = _of_suite(plan, sentences.text(said[:1]), verdict_lines.counted(judged))
    return {"text": "\n\n".join(filter(None, parts)), "summary": kept}


def _of_suite(plan: Plan, answered: str, counts: dict[str, int]) -> dict[str, Any]:
    """What the page of all suites says of this one."""
    seeds = f"{len(plan.seeds)} seed{'s' if len(plan.seeds) > 1 else ''}"
    return {
        "question": plan.question,
        "answer": answered,
        "images": plan.images,
        "where": f"{', '.join(plan.images)}, {seeds}",
        "verdicts": counts,
        "made": date.today().isoformat(),
    }


def _verdicts(plan: Plan) -> Verdicts:
    """The suite's verdicts; none where it claims nothing."""
    if not verdicts.file(plan).exists():
        from tasks.comparison.interval import LEVEL

        return Verdicts(level=LEVEL, looks=1, claims=[], ranking=None)
    return verdicts.read(plan)


def _not_asked(plan: Plan) -> tuple[str, str] | None:
    """The name and the question of the first suite that these images were not asked yet, and can be."""
    names = index.not_asked(plan.suite, plan.images[0])
    name = next((name for name in names if _possible(name, plan.images[0])), None)
    return (name, str(files.read(_suite(name)).get("question"))) if name else None


def _possible(name: str, images: str) -> bool:
    """Whether a suite can be run as params.yaml is, with what these images have."""
    from tasks.configuration import resolve

    card = json.loads((PREPARED / images / "card.json").read_text())
    try:
        needed = [one.variant.objective_class for one in resolve.load(_suite(name)).resolved.values()]
    except Refused:
        return False
    lacking = (card["grey"] and any(one.needs_colours for one in needed)) or (
        not card["classes"] and any(one.needs_labels for one in needed)
    )
    return not (lacking or ("target" in card and any(one.needs_classes for one in needed)))


def _suite(name: str) -> Path:
    return files.SUITES / f"{name}.yaml"


def _shown(plan: Plan) -> Path:
    return plan.results / index.SHOWN


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.exists() else {}


def _write(file: Path, content: dict[str, Any]) -> None:
    with atomic_file(file) as partial:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    with stage():
        asked = argparse.ArgumentParser(prog="python -m tasks.show")
        asked.add_argument("--cell", metavar="CELL", help="print what made a cell's figures, such as those of simclr-0")
        asked.add_argument("--time", action="store_true", help="print where the suite's time went")
        chosen = asked.parse_args()
        if chosen.cell:
            from tasks.tracking import lineage

            print(lineage.text(plans.read(), chosen.cell))
        elif chosen.time:
            from tasks.comparison import times

            print(times.text(times.of_suite(plans.read())))
        else:
            main()
