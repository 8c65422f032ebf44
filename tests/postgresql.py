"""A PostgreSQL server with empty databases."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports import free_port

PROGRAMS = Path("/usr/lib/postgresql/15/bin")


@contextmanager
def postgresql(*databases: str) -> Iterator[str]:
    """Gives `user@host:port`; skips the test where PostgreSQL is not, or cannot be started as another user."""
    if not PROGRAMS.exists() or os.geteuid() != 0:
        pytest.skip(f"PostgreSQL is not in {PROGRAMS}, or this is not root, who starts it as another user")
    folder = Path("/tmp") / f"postgres-{os.getpid()}"
    folder.mkdir()
    shutil.chown(folder, "nobody")
    port = free_port()

    def nobody(*command: str) -> None:
        subprocess.run(command, check=True, user="nobody", cwd=folder, stdout=subprocess.DEVNULL)

    nobody(str(PROGRAMS / "initdb"), "-D", f"{folder}/data", "-A", "trust", "-U", "stopgrad")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = [str(PROGRAMS / "pg_ctl"), "-D", f"{folder}/data", "-l", f"{folder}/log", "-w"]
    nobody(*control, "-o", options, "start")
    try:
        for name in databases:
            nobody(str(PROGRAMS / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "stopgrad", name)
        yield f"stopgrad@127.0.0.1:{port}"
    finally:
        nobody(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder)
