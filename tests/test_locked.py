"""dvc.lock is what DVC itself would have written, byte for byte."""

from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from dvc import dvcfile
from dvc.utils.serialize import YAMLFileCorruptedError, modify_yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml.representer import RepresenterError

from tasks import locked

# What YAML might take for something else than text: hashes of digits and an e, numbers, dates, words, marks.
HASHES = st.text("0123456789abcdef", min_size=1, max_size=40)
WORDS = st.sampled_from(["12e03", "1e5", "0o17", "017", "1_0", "0x1f", "1.0", ".5", "1.", "12:30:45", "2026-01-01"])
MARKS = st.sampled_from(["yes", "null", "~", "true", "=", "<<", "", "a: b", "- a", " a ", "@x", "#x", "it's", '"q"'])
QUOTES = st.text("ab' \"\n:#\\", max_size=120)
NAMES = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=("C", "Z")), max_size=100)
TEXTS = HASHES | WORDS | MARKS | QUOTES | NAMES
ITEMS = st.fixed_dictionaries({"path": TEXTS, "hash": st.just("md5"), "md5": TEXTS, "size": st.integers()})


def stage(command: str, deps: list[dict[str, object]]) -> OrderedDict[str, object]:
    return OrderedDict([("cmd", command), ("deps", [OrderedDict(item) for item in deps])])


@settings(deadline=None)
@given(first=st.lists(ITEMS, max_size=4), second=st.lists(ITEMS, max_size=4), command=TEXTS)
def test_the_bytes_are_dvcs(first: list[dict[str, object]], second: list[dict[str, object]], command: str) -> None:
    written: list[bytes] = []
    for modify in (modify_yaml, locked.modify):
        with TemporaryDirectory() as folder:
            file = Path(folder) / dvcfile.LOCK_FILE
            with modify(str(file)) as content:
                content.update({"schema": "2.0", "stages": {"pretrain@simclr-0": stage("old", first)}})
            with modify(str(file)) as content:
                content["stages"].update({"embed@simclr-0": stage(command, second)})
            written.append(file.read_bytes())
    assert written[0] == written[1]


def test_dvc_yaml_keeps_its_comments(tmp_path: Path) -> None:
    file = tmp_path / "dvc.yaml"
    file.write_text("# why\nstages: {}\n")
    with locked.modify(str(file)) as content:
        content["plots"] = []
    assert file.read_text().startswith("# why\n")


def test_a_lock_stays_whole_where_its_writing_ends_early(tmp_path: Path) -> None:
    file = tmp_path / dvcfile.LOCK_FILE
    file.write_text("schema: '2.0'\n")
    with pytest.raises(RepresenterError), locked.modify(str(file)) as content:
        content["stages"] = {"a": "b" * 10**6, "c": object()}
    assert [path.name for path in tmp_path.iterdir()] == [dvcfile.LOCK_FILE]
    assert file.read_text() == "schema: '2.0'\n"


def test_what_a_merge_left_is_refused_as_dvc_does(tmp_path: Path) -> None:
    file = tmp_path / dvcfile.LOCK_FILE
    file.write_text("<<<<<<< ours\nschema: '2.0'\n=======\n")
    with pytest.raises(YAMLFileCorruptedError), locked.modify(str(file)):
        pass
