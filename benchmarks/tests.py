"""The tests that need a GPU, where what they need is installed."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from benchmarks import part as parts
from benchmarks.part import Figures, Part, Setting, Verdict

PROJECT = Path(__file__).parent.parent
FILES = ("tests/test_pretraining.py", "tests/test_augmentation_recipe.py", "tests/test_precision.py")
NEEDED = ("pytest", "ruamel", "hypothesis", "pydantic")


def part(setting: Setting) -> Part:
    """One piece a file of tests."""
    return Part(
        pieces={file: lambda file=file: _run(file, setting) for file in FILES},
        section=lambda figures: parts.of_checks("Tests on the device", "`pytest -m gpu`.", figures),
        limit=500.0,
    )


def _run(file: str, setting: Setting) -> Figures:
    if absent := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        return Verdict(None, f"{' and '.join(absent)} not installed").figures()
    if setting.device.type != "cuda":
        return Verdict(None, "needs CUDA").figures()
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", file]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    last = (done.stdout + done.stderr).strip().splitlines()[-1:]
    return Verdict(done.returncode == 0, " ".join(last)).figures()
