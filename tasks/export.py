"""Write what leaves the project: `python -m tasks.export VARIANT [--seed SEED] [--into PLACE] [--embed [IMAGES]]`.

A folder with the weights, an ONNX graph that takes raw pixels, and a model card with the comparison's figures; or, with
`--embed`, a parquet file of representations with the names of the images' files. No stage: what it writes is not DVC's.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from safetensors.torch import load_file

from ssl_core.backbones import Backbone
from ssl_core.data import prepared
from ssl_core.errors import Refused
from tasks import cells, weights
from tasks.cells import PREPARED, Cell
from tasks.comparison import compared, table
from tasks.comparison.compared import Compared
from tasks.configuration import configs, files
from tasks.configuration import plan as plans
from tasks.configuration.configs import Embedding, Pretraining
from tasks.configuration.plan import Plan
from tasks.exporting import embeddings, graph, loading, model_card, places, timm_config
from tasks.exporting.embeddings import Source
from tasks.stage import atomic_file, atomic_folder, stage
from tasks.tracking import observations

FOLDER, ROWS = "exported", "embeddings.parquet"
"""Where an export goes if nothing is said: of weights, of representations."""


def main(variant: str, seed: str, into: Path, onnx: bool) -> None:
    """Write the folder `into`, whole or not at all: weights, model card, graph; for timm's networks, its config.json.

    Raises `Refused` where the cell is not of the active suite, or not pretrained or not compared yet; where `into` is
    something else than an export; and where the network has no ONNX graph that agrees with PyTorch.
    """
    plan = plans.read()
    cell = pretrained(plan, variant, seed)
    places.check_folder(into)
    representation, file = exported(plan, cell)
    of_suite, kept = compared.read(plan), weights.load(file.parent, representation)
    described = weights.metadata(file) | commits(cell)
    said = ""
    with atomic_folder(into) as folder:
        weights.write(load_file(file), folder / loading.FILE, described)
        difference = graph.write(kept, folder / loading.GRAPH, described) if onnx else None
        if difference is not None:
            said = f", {loading.GRAPH} (differs from PyTorch by {difference:.1g} of the largest value)"
        if described["library"] == "timm":
            timm_config.write(cast("Backbone", kept.network).network, described, folder / "config.json")
        (folder / "README.md").write_text(card(of_suite, cell, representation, described, difference))
    print(f"{cell.name}, {representation}: {into}/{loading.FILE}{said}, README.md")


def embed(variant: str, seed: str, images: str, into: Path) -> None:
    """Write `into`, a parquet file of the cell's representations of images, each with its split, file and class.

    `images`: a data set of the suite (empty: the one pretrained on), or a folder or an archive. Raises `Refused` as
    `main` does, and where there are no images.
    """
    plan = plans.read()
    cell = pretrained(plan, variant, seed)
    places.check_rows(into)
    representation, file = exported(plan, cell)
    device, kept = configs.read(Embedding, variant).compute.use(), weights.load(file.parent, representation)
    source = _source(plan, images, kept.image_size)
    with atomic_file(into) as partial:
        count = embeddings.write(source, kept, device, partial, weights.metadata(file) | commits(cell))
    print(f"{cell.name}, {representation}: {count:,} images in {into}")


def pretrained(plan: Plan, variant: str, seed: str) -> Cell:
    """The cell that is asked for. Raises `Refused` where the suite has none, or where it is not pretrained yet."""
    if variant not in plan.variants:
        near = files.allowed(variant, list(plan.variants))
        raise Refused(f"the active suite, {plan.suite}, has no variant '{variant}'{near}")
    cell = cells.named(variant, seed)
    if cell.seed not in plan.seeds:
        raise Refused(
            f"the active suite, {plan.suite}, has no seed {seed}; allowed are {', '.join(map(str, plan.seeds))}"
        )
    if not (cell.folder("pretrain") / "backbone.safetensors").exists():
        raise Refused(f"{cell.name} is not pretrained yet: run `make repro`, or `dvc repro pretrain@{cell.name}`")
    return cell


def exported(plan: Plan, cell: Cell) -> tuple[str, Path]:
    """The plan's `exported`. Raises `Refused` where a cell has none."""
    found = plan.exported(cell)
    if not found:
        raise Refused(
            f"of {cell.variant}, the projector's output alone is evaluated: evaluate the backbone or teacher too"
        )
    return found


def commits(cell: Cell) -> dict[str, str]:
    """The project's commits when the cell was pretrained, if that was observed here, and now."""
    now, then = observations.commit(), observations.read(cell, "pretrain")
    unknown = {"pretrained": "not observed here", "exported": "no repository"}
    found = {"pretrained": then, "exported": now}
    changed = {name: " with changes" if of_one.get("dirty") == "true" else "" for name, of_one in found.items()}
    return {f"{name}_at_commit": of_one.get("commit", unknown[name]) + changed[name] for name, of_one in found.items()}


def card(of_suite: Compared, cell: Cell, kind: str, described: Mapping[str, str], difference: float | None) -> str:
    """The model card, with the comparison's figures of the variant and of the baselines."""
    plan = of_suite.plan
    shown = {cell.variant, *(name for name, one in plan.variants.items() if one.family == "baseline")}
    return model_card.text(
        dict(described),
        cell=cell,
        representation=kind,
        planned=plan.variants[cell.variant],
        data=prepared.load(PREPARED / plan.images[0]).card,
        configuration=configs.file(Pretraining, cell.variant).read_text(),
        tables=[_table(of_suite, images, shown) for images in plan.images],
        seeds=plan.seeds,
        labelled=bool(of_suite.fractions(plan.images[0])),
        question=plan.question,
        notes=table.notes(of_suite),
        cost=_cost(of_suite, cell),
        code="\n".join([loading.imports(described), *loading.lines(described)]),
        graph="\n".join(["import onnxruntime", *loading.graph_lines()]) if difference is not None else "",
        difference=difference,
        torch=observations.read(cell, "pretrain").get("torch", "of a version that was not observed here"),
    )


def _cost(of_suite: Compared, cell: Cell) -> str:
    seconds = of_suite.cost(cell.variant, "pretrain", "seconds")
    if seconds is None:
        return "Not observed on this machine: the weights came from a cache."
    device = observations.read(cell, "pretrain").get("device", "a machine like this")
    return f"Pretraining took {seconds.mean:,.0f} seconds on {device}, a mean over seeds."


def _table(of_suite: Compared, images: str, shown: set[str]) -> tuple[str, str]:
    heading = "" if images == of_suite.plan.images[0] else table.heading(of_suite, images)
    return heading, model_card.markdown(table.rows(of_suite, images), shown)


def _source(plan: Plan, images: str, image_size: int) -> Source:
    name = images or plan.images[0]
    if name in plan.images:
        return embeddings.prepared_images(prepared.load(PREPARED / name))
    path = Path(images).expanduser()
    if not path.exists():
        near = files.allowed(images, plan.images)
        raise Refused(f"EMBED is '{images}', which is neither a folder or archive nor a data set of the suite{near}")
    return embeddings.users_images(path, image_size)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tasks.export")
    parser.add_argument("variant", help="a variant of the active suite")
    parser.add_argument("--seed", default="0", help="one of the suite's; 0")
    parser.add_argument("--into", default="", help=f"a folder ({FOLDER}), or with --embed a file ({ROWS})")
    parser.add_argument("--no-onnx", action="store_true", help="leave the graph out")
    parser.add_argument(
        "--embed", nargs="?", const="", metavar="IMAGES", help="a data set of the suite, a folder or an archive"
    )
    asked = parser.parse_args()
    with stage():
        place = Path(asked.into or (FOLDER if asked.embed is None else ROWS)).expanduser().resolve()
        if asked.embed is None:
            main(asked.variant, asked.seed, place, not asked.no_onnx)
        else:
            embed(asked.variant, asked.seed, asked.embed, place)
