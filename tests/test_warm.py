"""A command that the tests' server of libraries answers is what the interpreter would have run."""

from pathlib import Path

import pytest
from conftest import cold, run, warm_path

ENDS = {
    "well": "pass",
    "with a code": "sys.exit(3)",
    "with a sentence": "sys.exit('a sentence')",
    "with an error": "raise ValueError('an error')",
    "as a thread ends": "threading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()",
    "with what was left to do": "atexit.register(print, 'the last')",
}


@pytest.mark.parametrize("ending", ENDS.values(), ids=ENDS)
def test_it_says_and_ends_the_same(ending: str, tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "word.py").write_text("WORD = 'ours'\n")
    (tmp_path / "tasks" / "spoken.py").write_text(
        "import atexit, os, sys, threading, time\nfrom tasks.word import WORD\n"
        f"print(WORD, sys.argv, os.getcwd(), os.environ['SAID'], sys.path[0], flush=True)\n{ending}\n"
    )
    command = ("python", "-m", "tasks.spoken", "a b", "c")
    warm, bare = (how(*command, cwd=tmp_path, SAID="word") for how in (run, cold))
    assert warm.returncode == bare.returncode
    first, *others = bare.stdout.splitlines()
    assert first.startswith("ours [")
    assert warm.stdout.splitlines()[0] == first
    # A traceback begins in the server's file.
    assert warm.stdout.splitlines()[-1:] == [first, *others][-1:]


def test_a_killed_one_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "killed.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert run("python", "-m", "tasks.killed", cwd=tmp_path).returncode != 0


def test_it_has_the_libraries_and_what_is_no_command_of_the_project_does_not(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    asks = "import sys; print('torch' in sys.modules)"
    (tmp_path / "tasks" / "loaded.py").write_text(asks)
    served = warm_path() != cold("sh", "-c", "echo $PATH", cwd=tmp_path).stdout.strip()
    assert run("python", "-m", "tasks.loaded", cwd=tmp_path).stdout.strip() == str(served)
    assert run("python", "-c", asks, cwd=tmp_path).stdout.strip() == "False"
