"""dvc.lock, read and written as DVC does it, by libyaml.

DVC writes the whole file after every stage, and reads it before with a parser that keeps comments, of which the file
has none: it grows with every stage, and a suite of 40 cells waits minutes for that. This takes a fifth of the time and
leaves the same bytes, or killed those of before.
"""

import io
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvc import dvcfile
from dvc.utils.serialize import dump_yaml, load_yaml
from ruamel.yaml import YAML
from ruamel.yaml.representer import SafeRepresenter

from tasks.stage import atomic_file

_as_dvc_does = dvcfile.modify_yaml
APART = ('"', "''", "\n\n")
"""Where one of these stands in what libyaml wrote, DVC's own writer may quote or fold a text in another way."""


@contextmanager
def modify(path: str, fs: Any = None) -> Iterator[dict[str, Any]]:
    """The content of dvc.lock, which is written when the block ends well; of any other file, as DVC has it."""
    if Path(path).name != dvcfile.LOCK_FILE:
        with _as_dvc_does(path, fs=fs) as content:
            yield content
        return
    content = load_yaml(path) if Path(path).exists() else {}
    yield content
    written = io.StringIO()
    _writer().dump(content, written)
    with atomic_file(Path(path)) as partial:
        if any(mark in written.getvalue() for mark in APART):
            dump_yaml(str(partial), content)
        else:
            partial.write_text(written.getvalue(), encoding="utf-8")


def quicken() -> None:
    """Have DVC, in this process, read and write dvc.lock so."""
    dvcfile.modify_yaml = modify


class _Representer(SafeRepresenter):
    """Takes an ordered mapping for a mapping, as DVC's own does."""


_Representer.add_representer(OrderedDict, SafeRepresenter.represent_dict)


def _writer() -> YAML:
    writer = YAML(typ="safe")
    writer.Representer = _Representer
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    return writer
