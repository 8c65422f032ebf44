"""Everything that a GPU machine is wanted for, in calls of some minutes: `python -m benchmarks.gpu --out DIR`.

Needs PyTorch, torchvision and NumPy alone; what else is there (pytest, timm, other libraries) takes part. What is
finished is kept in DIR, a piece at a time, and the next call with the same DIR does what is missing: a long pretraining
goes on from its checkpoint there. `--parts a,b` chooses, and each part is of use by itself. A part runs in a process of
its own, so that what breaks or hangs costs its own piece. Writes `results.json` and `results.md`, anew after every
part. On a CPU, `--device cpu --tiny` shows that the script itself works.

`race` and `table` need `--data`: CIFAR-10, or other images, as prepared arrays (`ssl_core.data.prepared`), or as a
folder or archive with `train/<class>/` and `test/<class>/`.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks import accuracy, agreement, capture, compiling, page, part, published, sharing, step, tests
from benchmarks.page import Section
from benchmarks.part import PACKAGES, Kept, Part, Setting

PARTS: dict[str, Callable[[Setting], Part]] = {
    "tests": tests.part,
    "agreement": agreement.part,
    "capture": capture.part,
    "resnet18": lambda setting: step.part(step.CASES["resnet18"], setting),
    "vit": lambda setting: step.part(step.CASES["vit"], setting),
    "resnet50": lambda setting: step.part(step.CASES["resnet50"], setting),
    "sharing": sharing.part,
    "compiling": compiling.part,
    "race": accuracy.part,
    "table": published.part,
}
"""In the order in which they are done: correctness first."""
CHECKS = ("tests", "agreement", "capture")
NEED_DATA = ("race", "table")
LEAST = 5.0
"""Seconds in which no part is begun."""


def run(name: str, ends: float, options: argparse.Namespace) -> None:
    """Have processes of their own do a part's pieces, until none waits or the time is over."""
    file, made = options.out / f"{name}.json", PARTS[name](_setting(name, options))
    kept = Kept.load(file)
    kept.tried = []
    kept.save(file)
    while Kept.load(file).waiting(made) and (left := ends - time.monotonic()) > LEAST:
        before, begun = kept.tried, time.monotonic()
        ended = _process(name, left, options)
        kept = Kept.load(file)
        kept.seconds += time.monotonic() - begun
        last = kept.tried[-1] if kept.tried != before else "its process"
        if ended and last not in kept.figures and last not in kept.failed:  # not even an exception: it hung or crashed
            kept.failed[last] = ended
        kept.save(file)
        if kept.tried == before:
            return


def _process(name: str, seconds: float, options: argparse.Namespace) -> str:
    """What ended a part's process, if neither its own end nor that of the time did."""
    command = [sys.executable, "-m", "benchmarks.gpu", *sys.argv[1:], "--device", options.device, "--part", name]
    # Compiled code is kept beside the figures, for the next process and the next call.
    environment = {"TORCHINDUCTOR_CACHE_DIR": str((options.out / "inductor").absolute())} | os.environ
    with (options.out / f"{name}.log").open("a") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env=environment
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return ""
        finally:
            with contextlib.suppress(ProcessLookupError):  # what it started too, where it has ended itself
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    last = (options.out / f"{name}.log").read_text().strip().splitlines()[-1:]
    return f"ended with {code}: {' '.join(last)[:200]}" if code else ""


def sections(options: argparse.Namespace) -> dict[str, Section]:
    """The tables of all parts that were begun, now or by an earlier call."""
    begun = {name: options.out / f"{name}.json" for name in PARTS}
    return {
        name: part.section(PARTS[name](_setting(name, options)), Kept.load(file))
        for name, file in begun.items()
        if file.exists()
    }


def write(options: argparse.Namespace) -> None:
    """The results so far."""
    done, machine = sections(options), page.machine(PACKAGES)
    results = {"machine": machine, "parts": {name: asdict(each) for name, each in done.items()}}
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    introduction = f"{machine}\n\nMade by `python -m benchmarks.gpu`."
    (options.out / "results.md").write_text(page.page("On a GPU", introduction, done.values()))


def main() -> int:
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.part:
        file = options.out / f"{options.part}.json"
        return int(not part.work(PARTS[options.part](_setting(options.part, options)), file))
    ends = time.monotonic() + 60 * options.minutes
    for name in options.parts:
        if name in NEED_DATA and not options.data:
            print(f"{name}: not done, it needs --data", flush=True)
        elif ends - time.monotonic() > LEAST:
            run(name, ends, options)
            write(options)
            print(sections(options)[name].markdown(), flush=True)
    checked = [Kept.load(options.out / f"{name}.json") for name in CHECKS]
    return int(any(kept.failed or not all(map(kept.finished, kept.figures)) for kept in checked))


def _setting(name: str, options: argparse.Namespace) -> Setting:
    device = torch.device(options.device)
    return Setting(device=device, tiny=options.tiny, data=options.data, folder=options.out / name)


def _chosen(names: str) -> list[str]:
    unknown = set(names.split(",")) - set(PARTS)
    if unknown:
        raise argparse.ArgumentTypeError(f"{min(unknown)!r} is no part; there are {', '.join(PARTS)}")
    return names.split(",")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Correctness and figures of a GPU machine, in calls of some minutes.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results; what is finished there is kept")
    parser.add_argument("--parts", type=_chosen, default=list(PARTS), help=f"of {','.join(PARTS)}; default: all")
    parser.add_argument("--data", type=Path, help="prepared arrays, or a folder or archive of train/ and test/<class>/")
    parser.add_argument("--minutes", type=float, default=9.0, help="all that this call may take")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="seconds; shows that the script works")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
