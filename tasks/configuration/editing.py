"""Changing what a user wrote, in place: comments, order and quotes stay."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from tasks.stage import atomic_file


@contextmanager
def edited(file: Path) -> Iterator[CommentedMap]:
    """The file's content, to be changed; it is written when the block ends well, if it was changed."""
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 4096, True
    yaml.representer.add_representer(type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null"))
    before = file.read_text()
    content = yaml.load(before)
    unchanged = _dumped(yaml, content)
    yield content
    made = _dumped(yaml, content)
    if made != unchanged:
        with atomic_file(file) as opened:
            opened.write_text(made)


def in_flow(**values: object) -> CommentedMap:
    """A mapping that is written in one line."""
    made = CommentedMap(values)
    made.fa.set_flow_style()
    return made


def _dumped(yaml: YAML, content: CommentedMap) -> str:
    written = io.StringIO()
    yaml.dump(content, written)
    return written.getvalue()
