"""Choose what to run, and tell what it costs before it does: `python -m tasks.forecast [--suite NAME] [--hours H]`.

Which cells will run, how long by what such stages took here, and how much disk. What takes more than the hours that are
given, or more disk than is free, is refused before anything runs.
"""

import shutil
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_core.errors import Refused
from tasks.comparison.durations import duration
from tasks.configuration import choose, files, listing
from tasks.configuration import plan as plans
from tasks.configuration.plan import Plan
from tasks.forecasting import disk, doubts, due, lock, seen
from tasks.forecasting.due import Stage
from tasks.stage import stage as command

if TYPE_CHECKING:
    from tasks.configuration.resolve import Configuration


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a stage that is due will take: seconds, and bytes of disk; None where nothing like it is known."""

    stage: Stage
    seconds: float | None
    size: float | None


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a suite will cost: its stages that are due; `notes`: what to know of its claims before they run."""

    plan: Plan
    costs: list[Cost]
    notes: list[str]

    def seconds(self, variants: Collection[str], seeds: Collection[int]) -> float:
        """Of these variants with these seeds, one stage after another, as far as it is known."""
        cells = ((one.stage.cell, one.seconds) for one in self.costs)
        return sum(known or 0 for cell, known in cells if cell and cell.variant in variants and cell.seed in seeds)


def forecast(configuration: "Configuration | None" = None) -> Forecast | None:
    """What the active suite will cost; None while files of weights that it names wait to be weighed.

    Resolves what is written, where it is not given and `configure` would run.
    """
    locked, suite = lock.read(), files.active_suite()
    listing.refresh(files.read(files.PARAMS))
    if configuration is None and plans.file(suite.stem).exists() and due.configured(locked, suite):
        return _of(files.CONFIGS, locked, [])
    from tasks.configuration import configs, resolve  # which takes seconds to import

    configuration = configuration or resolve.load()
    with tempfile.TemporaryDirectory() as made:
        try:
            configs.write(configuration, Path(made))
        except Refused:  # of weights: the first stages of a run read them, and `configure` after these
            return None
        return _of(Path(made), locked, [*doubts.unequal(configuration), *doubts.unasked(configuration)])


def _of(configs: Path, locked: dict[str, lock.Locked], notes: list[str]) -> Forecast:
    """With the configurations in a folder, which stands for the one that DVC owns."""
    plan = plans.read(configs)
    waiting = due.due(due.stages(plan), configs, locked)
    done = seen.read(locked) if waiting else {}
    size = files.read(configs / "prepare" / f"{plan.images[0]}.yaml")["data"]["image_size"]

    def cost(stage: Stage) -> Cost:
        assert stage.cell is not None
        variant = seen.parsed((configs / f"{stage.cell.variant}.yaml").read_bytes())
        names = plan.variants[stage.cell.variant].representations
        work = seen.work(stage.kind, variant, names, stage.images)
        kept = seen.size(work, done)
        if kept is None:
            kept = disk.kept(stage.kind, variant, names, stage.images, size)
        return Cost(stage=stage, seconds=seen.seconds(work, done), size=kept)

    notes = [*notes, *(doubts.undecided(plan.seeds) if waiting else ())]
    return Forecast(plan=plan, costs=[cost(stage) for stage in waiting if stage.cell], notes=notes)


def said(told: Forecast, at_once: int = 1) -> str:
    """What will run, how long, and how much disk, in a line; `at_once`: how many stages run side by side."""
    suite, every = told.plan.suite, len(told.plan.cells)
    cells = {one.stage.cell for one in told.costs}
    if not cells:
        return f"{suite}: nothing to run, all {every} cells are there"
    anew = len({one.stage.cell for one in told.costs if one.stage.kind == "pretrain"})
    pretrained = "" if anew == len(cells) else f", {anew or 'none'} of them from pretraining on"
    least = "" if len(cells) == every else "at least "
    return f"{suite}: {least}{len(cells)} of {every} cells to run{pretrained}; {_time(told, at_once)}; {_disk(told)}"


def _time(told: Forecast, at_once: int) -> str:
    unknown = sorted({one.stage.kind for one in told.costs if one.seconds is None})
    if not any(one.seconds for one in told.costs):
        return "how long is not known, as no cell like these was timed here"
    beside = f", {at_once} at a time" if at_once > 1 else ""
    time = duration(told.seconds(told.plan.variants, told.plan.seeds) / at_once) + beside
    return f"at least {time}, as no {', no '.join(unknown)} was timed here" if unknown else f"about {time}"


def _disk(told: Forecast) -> str:
    needed, free = needed_and_free(told)
    if any(one.size is None for one in told.costs):
        return "how much disk is known once the images are counted"
    return f"about {gigabytes(needed)} of the {gigabytes(free)} of disk that are free"


def needed_and_free(told: Forecast) -> tuple[float, float]:
    """Bytes that the suite takes, in the project and in DVC's cache, as far as they are known; and that are free."""
    return disk.copies() * sum(one.size or 0 for one in told.costs), shutil.disk_usage(".").free


def refuse(told: Forecast, hours: float | None, at_once: int = 1) -> None:
    """Raise `Refused` where the suite takes more disk than is free, or more time than is given."""
    suite = told.plan.suite
    needed, free = needed_and_free(told)
    if needed > free:
        raise Refused(
            f"{suite} would take about {gigabytes(needed)} of disk, and {gigabytes(free)} are free: free some, or take "
            f"variants or seeds out of suites/{suite}.yaml"
        )
    limit, time = (hours or 0) * 3600 * at_once, told.seconds(told.plan.variants, told.plan.seeds)
    if hours is not None and time > limit:
        raise Refused(
            f"{suite} would take about {duration(time / at_once)}, and HOURS is {hours:g}: {_fitting(told, limit)}; "
            f"edit suites/{suite}.yaml, or give it more hours"
        )


def _fitting(told: Forecast, limit: float) -> str:
    """How many seeds of all variants, and how many variants with all seeds, the limit in seconds is enough for."""
    variants, seeds = list(told.plan.variants), told.plan.seeds
    of_seeds = sum(told.seconds(variants, seeds[: i + 1]) <= limit for i in range(len(seeds)))
    of_variants = sum(told.seconds(variants[: i + 1], seeds) <= limit for i in range(len(variants)))
    fits = [f"{of_seeds} of its {len(seeds)} seeds"] if of_seeds else []
    fits += [f"the first {of_variants} of its {len(variants)} variants"] if of_variants else []
    return f"{', or '.join(fits) or 'not one of its seeds or variants'} would fit"


def gigabytes(size: float) -> str:
    """Bytes as 1.4 GB, below a tenth of it as 35 MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"


def tell(configuration: "Configuration | None", hours: str, at_once: Callable[[], int] = lambda: 1) -> None:
    """Print what the suite will cost. Raises `Refused` where it is more than there is, or `hours` is no number.

    `at_once`: how many cells run at once; asked where some will run.
    """
    try:
        given = float(hours) if hours else None
    except ValueError:
        given = -1.0
    if given is not None and not 0 < given < float("inf"):
        raise Refused(f"HOURS is {hours}; a number of hours above 0 is needed")
    told = forecast(configuration)
    if told is None:
        print(f"{files.active_suite().stem}: what will run is known once its files of weights are read", flush=True)
        return
    beside = at_once() if told.costs else 1
    print("\n".join([said(told, beside), *told.notes]), flush=True)
    refuse(told, given, beside)


if __name__ == "__main__":
    parser = choose.arguments("python -m tasks.forecast")
    parser.add_argument("--hours", default="", help="refuse what is predicted to take longer")
    parser.add_argument(
        "--slots", default="1", help="cells at once, on each GPU if any (none: as many as there is room for)"
    )
    chosen = parser.parse_args()

    def at_once() -> int:
        """How many cells run at once, which takes PyTorch to see GPUs."""
        from tasks import slots

        return len(slots.asked(chosen.slots))

    with command():
        tell(choose.main(chosen.suite, chosen.data, chosen.weights, chosen.model), chosen.hours, at_once)
