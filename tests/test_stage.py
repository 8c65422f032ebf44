"""What a stage's command does when something goes wrong: one sentence, exit code 1, no half-written output."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_core.errors import Refused
from tasks.stage import atomic_file, atomic_folder, sentence

PROJECT = Path(__file__).parent.parent


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with atomic_folder(out) as folder:
        (folder / "a").write_text("1")
        assert not out.exists()
    assert (out / "a").read_text() == "1"

    def interrupted() -> None:
        with atomic_folder(out) as folder:
            (folder / "a").write_text("2")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        interrupted()
    assert (out / "a").read_text() == "1"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_what_a_killed_run_left_is_not_mixed_in(tmp_path: Path) -> None:
    left = tmp_path / ".out.partial"
    left.mkdir()
    (left / "old").touch()
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.csv"
    with atomic_file(out) as file:
        file.write_text("1")

    def interrupted() -> None:
        with atomic_file(out) as file:
            file.write_text("2")
            raise Refused("no")

    with pytest.raises(Refused):
        interrupted()
    assert out.read_text() == "1"
    assert [path.name for path in out.parent.iterdir()] == ["out.csv"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "data/x"), "the disk is full (data/x): free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "data/x"), "no permission to write or read (data/x)"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), "No such file or directory (x)"),
        (Refused("the sentence"), "the sentence"),
    ],
)
def test_errors_become_one_sentence(error: OSError | Refused, said: str) -> None:
    assert sentence(error).startswith(said)
    assert "\n" not in sentence(error)


def test_the_command_says_the_sentence_and_exits_with_1(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tasks.pretrain", "simclr", "0", "small"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "stopgrad: 'simclr' is in no configuration (configs/simclr.yaml is missing): run `dvc repro`, or `python -m "
        "tasks.configure` first"
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("told", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_told_to_end_within_a_librarys_callback_it_ends_all_the_same(
    told: signal.Signals, code: int, tmp_path: Path
) -> None:
    work = f"""
import pathlib, signal, time, weakref
from tasks.stage import atomic_folder, stage
signal.signal({told}, signal.SIG_DFL)  # what started the tests may have it ignored, as nohup does
class Thing: pass
with stage(), atomic_folder(pathlib.Path({str(tmp_path / "out")!r})) as folder:
    (folder / "half").touch()
    thing = Thing()
    kept = weakref.ref(thing, lambda _: signal.raise_signal({told}))
    del thing
    print("swallowed", flush=True)
    time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", work], cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, "swallowed\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_command_in_a_session_of_its_own_hears_ctrl_c_also_where_its_starter_ignores_it(tmp_path: Path) -> None:
    for name in ("__init__", "parent"):
        (tmp_path / "tasks").mkdir(exist_ok=True)
        shutil.copy(PROJECT / "tasks" / f"{name}.py", tmp_path / "tasks")
    (tmp_path / "tasks" / "hears.py").write_text("import signal\nprint(signal.getsignal(signal.SIGINT).__class__)\n")
    starts = """
import os, subprocess, sys
for own in (True, False):
    environment = os.environ | {"STOPGRAD_STARTER": str(os.getpid())}
    subprocess.run([sys.executable, "-m", "tasks.hears"], env=environment, start_new_session=own)
"""
    deaf = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    done = subprocess.run([*deaf, sys.executable, "-c", starts], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["<class 'builtin_function_or_method'>", "<enum 'Handlers'>"], done.stderr
