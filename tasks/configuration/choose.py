"""Choose the active suite, the images, and the weights that a suite is about:
`python -m tasks.configuration.choose [--suite NAME] [--data DATA] [--weights FILE [--model MODEL]]`.

Whatever is chosen, the form of what is written is checked, before DVC reads it.
"""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml.comments import CommentedMap

from ssl_core.errors import Refused
from tasks.configuration import editing, files, form
from tasks.stage import atomic_file, stage

if TYPE_CHECKING:
    from tasks.configuration.resolve import Configuration


def main(suite: str, data: str, weights: str = "", model: str = "", seeds: int = 0) -> "Configuration | None":
    """Change dvc.yaml's first line, params.yaml's images and weights, and the suite's backbone, as chosen; then say so.

    `seeds`: how many the suite shall have, 0 for those that it has.

    Gives all that is written, resolved, where it was changed; else nothing is resolved. Raises `Refused`, and leaves
    the files as they were, where the suite cannot be had with these images and weights.
    """
    if suite:
        form.check_suite_name(suite)
    file = files.SUITES / f"{suite}.yaml" if suite else files.active_suite()
    form.check_suite(file, files.read_suite(file))
    params = files.read(files.PARAMS)
    form.check_params(params)
    form.check_methods(files.read(files.METHODS))
    if (weights or model) and file != files.WEIGHTS:
        raise Refused(f"WEIGHTS and MODEL are for {files.WEIGHTS}, and the suite is {file}: say SUITE=weights too")
    if model and not weights:
        raise Refused(f"MODEL is {model}, and says of which network WEIGHTS are: give it too, a file or pretrained")
    before = {changed: changed.read_bytes() for changed in (files.GRAPH, files.PARAMS, file)}
    made = None
    try:
        changes = [*_choose(data, weights, model), *(choose_suite(file) if suite else [])]
        changes += choose_seeds(file, seeds) if seeds else []
        if any(changed.read_bytes() != content for changed, content in before.items()):
            made = _resolved()
    except BaseException:  # a key pressed, or a mistake here, is no reason to leave the user's files half changed
        _put_back(before)
        raise
    for change in changes:
        print(change)
    return made


def _choose(data: str, weights: str, model: str) -> list[str]:
    """Change what params.yaml and the suite `weights` say of images and weights; what was changed."""
    changes = choose_data(data) if data else []
    if weights:
        from tasks.configuration.choose_weights import choose_weights  # which takes seconds to import

        changes += choose_weights(weights, model)
    return changes


def _resolved() -> "Configuration":
    """What was chosen; impossible things are refused."""
    from tasks.configuration import resolve

    return resolve.load()


def _put_back(before: dict[Path, bytes]) -> None:
    changed = [file for file, content in before.items() if file.read_bytes() != content]
    for file in changed:
        with atomic_file(file) as opened:
            opened.write_bytes(before[file])
    if changed:
        print("nothing was changed")


def choose_suite(file: Path) -> list[str]:
    """Have the first line of dvc.yaml name a suite's file; what was changed."""
    before = files.active_suite()
    if before == file:
        return []
    first, _, rest = files.GRAPH.read_text().partition("\n")
    with atomic_file(files.GRAPH) as opened:
        opened.write_text(f"{first.replace(before.as_posix(), file.as_posix(), 1)}\n{rest}")
    return [f"{files.GRAPH}: the active suite is {file}, and was {before}"]


def choose_seeds(file: Path, count: int) -> list[str]:
    """Have a suite's seeds be 0 … count - 1; what was changed."""
    wanted = list(range(count))
    with editing.edited(file) as written:
        before = list(written["seeds"])
        if before == wanted:
            return []
        written["seeds"][:] = wanted
    return [f"{file}: seeds is {wanted}, and was {before}"]


def choose_data(data: str) -> list[str]:
    """Have params.yaml's images be these, comma-separated: names of its data sets, folders or archives.

    A folder or an archive that is no data set yet becomes one. Gives what was changed. Raises `Refused` where there is
    nothing of that name.
    """
    changes: list[str] = []
    with editing.edited(files.PARAMS) as written:
        names = [_named(one.strip(), written["data"], changes) for one in data.split(",")]
        for name in names:
            if names.count(name) > 1:
                raise Refused(f"DATA names {name} twice: {data}")
        if list(written["images"]) != names:
            changes.append(f"{files.PARAMS}: images is {names}, and was {list(written['images'])}")
            written["images"][:] = names
    return changes


def _named(given: str, known: CommentedMap, changes: list[str]) -> str:
    """The name of a data set; a folder or an archive is found again by its path, or added, which `changes` then say."""
    if given in known:
        return given
    path = Path(given).expanduser()
    if not given or not path.exists():
        near = files.allowed(given, list(known))
        raise Refused(f"DATA is '{given}', which is neither a folder or archive nor a data set of {files.PARAMS}{near}")
    for name, one in known.items():
        if one.get("source") == "folder" and Path(str(one.get("path"))).expanduser().resolve() == path.resolve():
            return str(name)
    from ssl_core.data import folder

    name = files.free(re.sub(r"\W", "_", path.resolve().name.split(".")[0], flags=re.ASCII) or "images", known)
    added = editing.in_flow(source="folder", path=str(path.resolve()), image_size=folder.peek(path))
    known.insert(0, name, added)
    changes.append(f"{files.PARAMS}: data has {name}: {dict(added)}")
    return name


def arguments(prog: str) -> argparse.ArgumentParser:
    """What a command takes that chooses."""
    parser = argparse.ArgumentParser(prog=prog)
    parser.add_argument("--suite", default="", help="the name of a file in suites")
    parser.add_argument("--data", default="", help="data sets of params.yaml, folders or archives, comma-separated")
    parser.add_argument("--weights", default="", help="a file of weights, or its name in params.yaml, or pretrained")
    parser.add_argument("--model", default="", help="the weights' network: timm's name, or torchvision/NAME")
    return parser


if __name__ == "__main__":
    chosen = arguments("python -m tasks.configuration.choose").parse_args()
    with stage():
        main(chosen.suite, chosen.data, chosen.weights, chosen.model)
