"""Everything that a GPU machine is wanted for, in some minutes: `python -m benchmarks.gpu --out DIR`.

Needs PyTorch, torchvision and NumPy alone. Correctness first, then the figures, then, with `--data` (a folder of arrays
as `ssl_core.data.prepared` describes), the race to 90 % k-NN accuracy. Every part is a process of its own with a share
of the time: what breaks or hangs costs its own part, and what does not fit is said. Writes `results.json` and
`results.md`, anew after every part. On a CPU, `--device cpu --tiny` shows that the script itself works.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks import accuracy, agreement, page, sharing, step
from benchmarks.page import Section

SHARES = {"agreement": 3.0, "resnet18": 1.3, "resnet50": 1.3, "vit": 1.2, "sharing": 1.2, "accuracy": 4.0}
"""The parts, in order, and the share of the time that is left which each may take of those not yet begun."""
TITLES = {"agreement": "Correctness on the device", "accuracy": "Towards 90% k-NN accuracy"}


def make_part(options: argparse.Namespace) -> None:
    """In a part's own process: write its table after each change."""
    file, device = options.out / f"{options.part}.json", torch.device(options.device)
    ends = time.monotonic() + 0.9 * options.seconds

    def left() -> float:
        return ends - time.monotonic()

    def report(section: Section) -> None:
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(section)))
        partial.replace(file)

    match options.part:
        case "agreement":
            agreement.table(device, left, report)
        case "sharing":
            sharing.table(options.tiny, device, left, report)
        case "accuracy":
            accuracy.table(options.data, device, options.tiny, left, report)
        case name:
            step.table(step.TINY if options.tiny else step.CASES[name], device, left, report)


def run_part(name: str, seconds: float, options: argparse.Namespace) -> Section:
    """Start a part's process, end it when its time is over, and give what it has written."""
    file = options.out / f"{name}.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu", *sys.argv[1:], "--device", options.device, "--part", name]
    with (options.out / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--seconds", str(seconds)], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            ended = f"ended with {process.returncode}" if process.wait(seconds) else ""
        except subprocess.TimeoutExpired:
            ended = f"ended after {seconds:.0f} s, its share of the time"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    empty = Section(title=TITLES.get(name, name), measured="")
    section = Section(**json.loads(file.read_text())) if file.exists() else empty
    if ended:
        last = (options.out / f"{name}.log").read_text().strip().splitlines()[-1:]
        section.meaning = f"**Not complete: {ended}.** {' '.join(last)}"
    return section


def write(sections: dict[str, Section], seconds: dict[str, float], options: argparse.Namespace) -> None:
    """The results so far."""
    machine = page.machine(["torch", "torchvision", "numpy"])
    results = {"machine": machine, "seconds": seconds, "parts": {name: asdict(s) for name, s in sections.items()}}
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    introduction = f"{machine}\n\nMade by `python -m benchmarks.gpu` in {sum(seconds.values()):.0f} s."
    (options.out / "results.md").write_text(page.page("On a GPU", introduction, sections.values()))


def main() -> int:
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.part:
        make_part(options)
        return 0
    begun = time.monotonic()
    sections: dict[str, Section] = {}
    seconds: dict[str, float] = {}
    names = [name for name in SHARES if not (options.tiny and name in ("resnet50", "vit"))]
    for number, name in enumerate(names):
        if name == "accuracy" and not options.data:
            sections[name] = Section(title=TITLES[name], measured="Not done: no --data.")
        else:
            started = time.monotonic()
            remaining = 60 * options.minutes - (started - begun)
            after = [each for each in names[number:] if options.data or each != "accuracy"]
            share = remaining * SHARES[name] / sum(SHARES[each] for each in after)
            print(f"{name}: at most {share:.0f} s", flush=True)
            sections[name] = run_part(name, max(share, 1.0), options)
            seconds[name] = round(time.monotonic() - started, 1)
        write(sections, seconds, options)
        print(sections[name].markdown(), flush=True)
    checks = sections["agreement"].figures
    return int(not checks or any(check["kept"] is False for check in checks.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Correctness and figures of a GPU machine, in some minutes.")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.json and results.md")
    parser.add_argument(
        "--data", type=Path, help="folder of prepared arrays: train_images.npy, train_labels.npy, val_, test_"
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="all that it may take")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="seconds; shows that the script works")
    parser.add_argument("--part", choices=SHARES, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=60.0, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
