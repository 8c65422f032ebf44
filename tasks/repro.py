"""Run what was not run, and show it: `python -m tasks.repro`, which is `make repro`.

A forecast, `dvc repro` and the table, by one writer (`tasks.workspace`), with whom they end however it ends.
"""

import sys

from tasks import children, workspace
from tasks.stage import stage


def main(*arguments: str) -> None:
    """Forecast (which takes the arguments), run, show; the first that fails gives the exit code."""
    with workspace.writing():
        for command in (("tasks.forecast", *arguments), ("tasks.dvc", "repro"), ("tasks.show",)):
            if code := children.run(*command):
                raise SystemExit(code)


if __name__ == "__main__":
    with stage():
        main(*sys.argv[1:])
