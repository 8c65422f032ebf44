"""Where a variant's figures come from: its configuration, the stages of its cells, and how they are found again."""

import json
from typing import Any

from tasks.cells import Cell
from tasks.comparison.compared import Compared
from tasks.comparison.durations import duration
from tasks.comparison.table import UNKNOWN
from tasks.configuration import files
from tasks.configuration.plan import Plan
from tasks.main_figure import ACCURACY, MAIN

STAGES = ("pretrain", "embed", "probe", "fine_tune")


def of_variant(compared: Compared, name: str) -> dict[str, Any]:
    """What a variant is, all that it was run with, what was chosen for it, a sentence a choice, and its cells."""
    plan = compared.plan
    planned, file = plan.variants[name], files.CONFIGS / f"{name}.yaml"
    cells = [cell for cell in plan.cells if cell.variant == name]
    return {
        "family": planned.family,
        "method": planned.method,
        "changes": json.dumps(planned.changes, ensure_ascii=False) if planned.changes else "",
        "file": file,
        "configuration": file.read_text() if file.exists() else "",
        "choices": [said for images in plan.images for said in _choices(plan, cells[0], images)],
        "stages": [stage for stage in STAGES if stage != "fine_tune" or name in plan.fine_tune],
        "cells": {cell.name: _cell(compared, cell) for cell in cells},
        "troubles": [said for said in compared.troubles if any(f": {cell.name}{end}" in said for cell in cells
                                                               for end in ",:")],
    }  # fmt: skip


def _cell(compared: Compared, cell: Cell) -> dict[str, Any]:
    """The seconds of a cell's stages on all data sets, and what made it; dashes where it was not observed here."""
    seconds = []
    for stage in STAGES:
        if stage == "fine_tune" and cell.variant not in compared.plan.fine_tune:
            continue
        seen = compared.costs.get((cell.variant, stage), {}).get(cell.seed, [])
        whole = bool(seen) and all("seconds" in one for one in seen)
        seconds.append(duration(sum(float(one["seconds"]) for one in seen)) if whole else UNKNOWN)
    made = next(iter(compared.costs.get((cell.variant, "pretrain"), {}).get(cell.seed, [])), {})
    dirty = " and edits" if made.get("dirty") == "true" else ""
    return {
        "seconds": seconds,
        "commit": f"{made['commit'][:10]}{dirty}" if "commit" in made else UNKNOWN,
        "started": made.get("started", UNKNOWN)[:16].replace("T", " "),
        "machine": made.get("machine", UNKNOWN),
    }


def _choices(plan: Plan, cell: Cell, images: str) -> list[str]:
    said = []
    for stage in ("probe", "fine_tune"):
        chosen = cell.figures(stage, images) / "choices.json"
        for representation, fractions in json.loads(chosen.read_text()).items() if chosen.exists() else ():
            where = [representation, *([f"on {images}"] if len(plan.images) > 1 else [])]
            for fraction, one in fractions.items():
                if stage == "probe":
                    choice = f"weight decay {one['linear']['weight_decay']:g}"
                else:
                    choice = f"fine-tuning learning rate {one['learning_rate']:g}, step {one['step']} of {one['steps']}"
                    choice += f", {_on_val(one)}"
                share = f"{100 * float(fraction):g} % of the labels ({one['labelled_images']} images)"
                said.append(f"{' '.join(where)}, {share}: {choice}")
    return said


def _on_val(chosen: dict[str, Any]) -> str:
    """What a fine-tuned state reached on val."""
    metric = next(metric for metric in MAIN if f"val_{metric}" in chosen)
    percent = f"{100 * chosen[f'val_{metric}']:.1f} %"
    return f"{percent} of val right" if metric == ACCURACY else f"{MAIN[metric]} of {percent} on val"
