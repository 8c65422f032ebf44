"""Compare the suite's cells: `python -m tasks.compare`.

It depends on the folder of all figures, and DVC counts whatever lies in that. What another suite left is therefore
removed first (DVC's cache keeps it and gives it back): the dependency is then on the active suite's figures alone, and
two clones end with the same dvc.lock, whatever suites they ran before.
"""

import json
from typing import Any

import pandas as pd

from tasks.cells import Cell
from tasks.comparison import frame, sources, troubles
from tasks.comparison.troubles import Trouble
from tasks.configuration import plan as plans
from tasks.configuration.plan import Plan
from tasks.main_figure import MAIN
from tasks.stage import atomic_file, atomic_folder, stage


def main() -> None:
    """Write in `results/<suite>` what the figures determine, and nothing that was observed."""
    plan = plans.read()
    sources.remove_others(plan)
    figures = frame.gather(plan)
    frame.write(figures, plan.results / "comparison.csv")
    with atomic_file(plan.results / "metrics.json") as file:
        file.write_text(json.dumps(metrics(plan, figures), indent=2, ensure_ascii=False) + "\n")
    troubles.write(plan, in_trouble(plan))
    with atomic_folder(plan.results / "curves") as folder:
        for variant in plan.variants:
            curve = loss_curve([cell for cell in plan.cells if cell.variant == variant])
            if len(curve):
                curve.to_csv(folder / f"{variant}.csv", lineterminator="\n", float_format="%.6g")
    sources.write(plan)


def metrics(plan: Plan, figures: pd.DataFrame) -> dict[str, float]:
    """The main figure of each variant: test accuracy of the linear probe with the most labels, a mean over seeds.

    Of the first data set and the variant's first representation. Where its images have several labels, or a number,
    what they are compared by (`main_figure`); where they have none, RankMe, on test too.
    """
    main = figures[figures["images"] == plan.images[0]]
    probe = main[
        (main["protocol"] == "feature_extraction")
        & (main["head"] == "linear")
        & main["metric"].isin(MAIN)
        & (main["split"] == "test")
    ]
    if probe.empty:
        shown = main[(main["metric"] == "rankme") & (main["split"] == "test")]
    else:
        shown = probe[probe["label_fraction"] == probe["label_fraction"].max()]
    found = {}
    for name, variant in plan.variants.items():
        of_variant = (shown["variant"] == name) & (shown["representation"] == variant.representations[0])
        found[name] = round(float(shown[of_variant]["value"].mean()), 6)
    return found


def loss_curve(cells: list[Cell]) -> pd.DataFrame:
    """The loss of pretraining, indexed by `step` and `epoch`: a mean over the seeds, at the steps that all recorded."""
    curves = [pd.read_csv(cell.figures("pretrain") / "curves.csv") for cell in cells]
    losses = [curve[curve["name"] == "loss"].set_index(["step", "epoch"])["value"] for curve in curves]
    return pd.concat(losses, axis=1, join="inner").mean(axis=1).sort_index().to_frame("loss")


def in_trouble(plan: Plan) -> list[Trouble]:
    """Each cell that ended early, and each of its representations that collapsed."""
    found = []
    for cell in plan.cells:
        outcome = _read(cell, "pretrain", "", "outcome.json")
        if outcome["stopped"]:
            says = f"Ended early: {cell.name}: {outcome['stopped']}."
            found.append(Trouble(cell=cell.name, representation="", images="", says=says))
        for images in plan.images:
            on = f" on {images}" if len(plan.images) > 1 else ""
            for representation, verdict in _read(cell, "probe", images, "verdict.json").items():
                if verdict["collapsed"]:
                    says = f"Collapsed: {cell.name}, {representation}{on}: {verdict['why']}."
                    found.append(Trouble(cell=cell.name, representation=representation, images=images, says=says))
    return found


def _read(cell: Cell, stage: str, images: str, name: str) -> dict[str, Any]:
    return json.loads((cell.figures(stage, images) / name).read_text())


if __name__ == "__main__":
    with stage():
        main()
