"""Choose the active suite and the images: `python -m tasks.configuration.choose [--suite NAME] [--data DATA]`.

Whatever is chosen, the form of what is written is checked, before DVC reads it.
"""

import argparse
import io
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from ssl_core.errors import Refused
from tasks.configuration import files, form
from tasks.stage import atomic_file, stage


def main(suite: str, data: str) -> None:
    """Change dvc.yaml's first line, and params.yaml's images, where something is chosen; say what was changed.

    Raises `Refused`, and leaves both files as they were, where the suite cannot be had with these images.
    """
    if suite:
        form.check_suite_name(suite)
    file = files.SUITES / f"{suite}.yaml" if suite else files.active_suite()
    form.check_suite(file, files.read_suite(file))
    params = files.read(files.PARAMS)
    form.check_params(params)
    form.check_methods(files.read(files.METHODS))
    before = {changed: changed.read_bytes() for changed in (files.GRAPH, files.PARAMS)}
    if data:
        choose_data(data)
    if suite:
        choose_suite(file)
    if any(changed.read_bytes() != content for changed, content in before.items()):
        _refuse_impossible(before)


def _refuse_impossible(before: dict[Path, bytes]) -> None:
    """Configure what was chosen; where that is refused, put the files back."""
    from tasks.configuration import resolve

    try:
        resolve.load()
    except Refused:
        for changed, content in before.items():
            with atomic_file(changed) as opened:
                opened.write_bytes(content)
        print("nothing was changed")
        raise


def choose_suite(file: Path) -> None:
    """Have the first line of dvc.yaml name a suite's file."""
    before = files.active_suite()
    if before == file:
        return
    first, _, rest = files.GRAPH.read_text().partition("\n")
    with atomic_file(files.GRAPH) as opened:
        opened.write_text(f"{first.replace(before.as_posix(), file.as_posix(), 1)}\n{rest}")
    print(f"{files.GRAPH}: the active suite is {file}, and was {before}")


def choose_data(data: str) -> None:
    """Have params.yaml's images be these, comma-separated: names of its data sets, folders or archives.

    A folder or an archive that is no data set yet becomes one. Raises `Refused` where there is nothing of that name.
    """
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 4096, True
    yaml.representer.add_representer(type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null"))
    written = yaml.load(files.PARAMS.read_text())
    names = [_named(one.strip(), written["data"]) for one in data.split(",")]
    for name in names:
        if names.count(name) > 1:
            raise Refused(f"DATA names {name} twice: {data}")
    if list(written["images"]) == names:
        return
    print(f"{files.PARAMS}: images is {names}, and was {list(written['images'])}")
    written["images"][:] = names
    made = io.StringIO()
    yaml.dump(written, made)
    with atomic_file(files.PARAMS) as opened:
        opened.write_text(made.getvalue())


def _named(given: str, known: CommentedMap) -> str:
    """The name of a data set; a folder or an archive is found again by its path, or added."""
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

    name = _free(re.sub(r"\W", "_", path.resolve().name.split(".")[0], flags=re.ASCII) or "images", known)
    added: Any = CommentedMap(source="folder", path=str(path.resolve()), image_size=folder.peek(path))
    added.fa.set_flow_style()
    known.insert(0, name, added)
    print(f"{files.PARAMS}: data has {name}: {dict(added)}")
    return name


def _free(name: str, known: CommentedMap) -> str:
    return next(tried for i in range(len(known) + 1) if (tried := f"{name}_{i + 1}" if i else name) not in known)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tasks.configuration.choose")
    parser.add_argument("--suite", default="", help="the name of a file in suites")
    parser.add_argument("--data", default="", help="data sets of params.yaml, folders or archives, comma-separated")
    chosen = parser.parse_args()
    with stage():
        main(chosen.suite, chosen.data)
