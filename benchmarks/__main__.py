"""All benchmarks, into docs/performance.md: `make bench`.

The page is written anew after every table. Figures of a GPU come from the folder that `python -m benchmarks.gpu` wrote,
here or on another machine.
"""

import argparse
import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import (
    compiling,
    embedding,
    growth,
    page,
    peer_steps,
    peers,
    precision,
    pretraining,
    recording,
    roofline,
    slots,
    stages,
    whole,
)
from benchmarks.page import Section
from tasks.stage import keep_freed_memory

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
PACKAGES = ["torch", "torchvision", "numpy", "kornia", "lightly", "stable-pretraining", "scikit-learn"]
ABSENT = """solo-learn 1.0.2, its only release on PyPI, cannot be installed here; pip: "solo-learn 1.0.2 depends on
torch==1.9.1", of which there are packages up to Python 3.9 alone."""
INTRODUCTION = """How fast Stopgrad is, beside other libraries and beside itself. All contenders of a table were timed
in one run and took turns, A B A B, so that a busy moment slows all of them alike; ratios are taken round by round, and
stand with their spread. Make it again with `{command}`."""


def main() -> None:
    options = _options()
    quick = options.quick
    torch.set_num_threads(options.threads)
    parts: list[Callable[[], list[Section]]] = [
        # First, and shown last: a process's peak memory counts from that of the one that started it.
        lambda: [stages.section()],
        lambda: [peers.views_section(quick)],
        lambda: [pretraining.section(quick)],
        lambda: [roofline.section(quick)],
        lambda: [peer_steps.section(quick)],
        lambda: [whole.section(quick)],
        lambda: [recording.section(quick)],
        lambda: [slots.section(quick)],
        lambda: precision.sections(quick),
        lambda: [compiling.section(quick)],
        lambda: [peers.evaluation_section(quick)],
        lambda: [peers.nearest_section(quick)],
        lambda: [embedding.section(quick)],
        lambda: [growth.section(quick)],
        lambda: of_gpu(options.gpu),
    ]
    keep_freed_memory()  # as the stages do; it serves all contenders
    begun, sections = time.monotonic(), []
    for part in parts:
        torch.set_num_threads(options.threads)  # a part may have measured with others
        made = _made(part)
        sections += made
        print(*(section.markdown() for section in made), sep="\n\n", flush=True)
        write(sections[1:] + sections[:1], options.out, time.monotonic() - begun, quick)


def _made(part: Callable[[], list[Section]]) -> list[Section]:
    """A part's tables; where it breaks, what broke, and the other parts still count."""
    try:
        return part()
    except Exception as error:
        traceback.print_exc()
        return [Section(title="Not measured", measured=f"{type(error).__name__}: {str(error)[:200]}")]


def write(sections: list[Section], file: Path, seconds: float, quick: bool) -> None:
    """The page with the tables so far."""
    command = "python -m benchmarks --quick" if quick else "make bench"
    introduction = [
        INTRODUCTION.format(command=command),
        f"{page.machine(PACKAGES)} All of it took {seconds / 60:.0f} minutes. {ABSENT}",
    ]
    if quick:
        introduction.append("**A look at whether the benchmarks work: one short round each, no figures to cite.**")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page.page("Performance", "\n\n".join(introduction), sections))


def of_gpu(folder: Path) -> list[Section]:
    """What a GPU machine wrote."""
    file = folder / "results.json"
    if not file.exists():
        return [
            Section(title="On a GPU", measured="Not measured: `python -m benchmarks.gpu --out DIR`, then `--gpu DIR`.")
        ]
    results = json.loads(file.read_text())
    first = Section(title="On a GPU", measured=results["machine"])
    return [first, *(Section(**part) for part in results["parts"].values())]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="All benchmarks, into docs/performance.md.")
    parser.add_argument("--quick", action="store_true", help="a look at whether it works")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    parser.add_argument("--gpu", type=Path, default=Path("benchmarks/results/gpu"), help="folder of benchmarks.gpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
