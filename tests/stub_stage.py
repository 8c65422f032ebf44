"""Stands for a stage where the graph alone is tested: writes a digest of all that dvc.yaml says it reads."""

import hashlib
import re
import sys
from pathlib import Path

from tasks.configuration import files


def paths(stage: str, kind: str, arguments: list[str]) -> list[Path]:
    """The stage's dependencies or outputs, with its arguments and the active suite filled in."""
    filled: dict[str, str] = dict(zip(("item.variant", "item.seed", "item.images"), arguments, strict=False))
    filled |= {"images[0]": files.read(files.PARAMS)["images"][0], "suite": files.active_suite().stem}
    if stage == "prepare":
        filled["item.images"] = arguments[0]
    listed = files.read(files.GRAPH)["stages"][stage][kind]
    return [Path(re.sub(r"\$\{(.+?)\}", lambda found: filled[found[1]], path)) for path in listed]


def digest(stage: str, arguments: list[str]) -> str:
    """Of all that the stage reads; `compare` first does what the real one does."""
    if stage == "compare":
        from tasks.comparison import sources
        from tasks.configuration import plan

        sources.remove_others(plan.read())
    hashed = hashlib.sha256()
    for path in paths(stage, "deps", arguments):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                hashed.update(file.as_posix().encode() + file.read_bytes())
    return hashed.hexdigest()


def main() -> None:
    """Digest what is read into every output."""
    stage, arguments = Path(sys.argv[0]).stem, sys.argv[1:]
    digested = digest(stage, arguments)
    for path in paths(stage, "outs", arguments):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(digested)


if __name__ == "__main__":
    main()
