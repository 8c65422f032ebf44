"""All that was asked of these images, on one page: `results/index.html`, made from what was shown of each suite."""

import html
import json
from pathlib import Path
from typing import Any

from tasks.configuration import files
from tasks.stage import atomic_file

RESULTS = Path("results")
SHOWN, REPORT = ".shown", "report.html"
"""Beside a suite's results: what was last shown of it, and its report. Both are of the same run."""


def write() -> Path:
    """Write the page anew, and give its file.

    It says of a suite what the suite's report says, whatever has changed since; what only lies there without a report
    is named. Nothing heavy is imported for it.
    """
    file = RESULTS / "index.html"
    found = sorted(folder.name for folder in RESULTS.iterdir() if folder.is_dir() and any(folder.glob("*.*")))
    rest = [name for name in asking() if name not in found]
    style = (Path(__file__).parent / "page.css").read_text()
    others = f"<p class='soft'>Not asked yet: {', '.join(rest)}. <code>make repro SUITE=…</code></p>" if rest else ""
    with atomic_file(file) as partial:
        partial.write_text(
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>What was asked</title>\n'
            f"<style>\n{style}</style>\n</head>\n<body>\n<h1>What was asked of these images</h1>\n"
            f"{''.join(map(_suite, found))}{others}\n</body>\n</html>\n"
        )
    return file


def kept(suite: str) -> dict[str, Any]:
    """What was last shown of a suite; empty where nothing was."""
    file = RESULTS / suite / SHOWN
    return json.loads(file.read_text()) if file.exists() else {}


def asking() -> list[str]:
    """The suites that claim something, by what stands in their files."""
    return [name for name in files.suites() if "\nclaims:" in (files.SUITES / f"{name}.yaml").read_text()]


def not_asked(suite: str, images: str) -> list[str]:
    """The other suites with claims that did not pretrain on these images yet, possible with them or not.

    The one about given weights is not offered: it needs some.
    """
    others = [name for name in asking() if name not in (suite, files.WEIGHTS.stem)]
    return [name for name in others if kept(name).get("summary", {}).get("images", [])[:1] != [images]]


def _suite(name: str) -> str:
    """A suite's part of the page."""
    shown = kept(name).get("summary")
    there = (RESULTS / name / REPORT).exists()
    title = f'<a href="{html.escape(name)}/{REPORT}">{html.escape(name)}</a>' if there else html.escape(name)
    file = files.SUITES / f"{name}.yaml"
    if not file.exists():
        title += f" <small class='soft'>removed: {html.escape(file.as_posix())} is not there</small>"
    if not shown:
        how = "The report is of an older version" if there else "Not shown yet"
        again = f": <code>make repro SUITE={html.escape(name)}</code>" if file.exists() else ""
        return f"<h2>{title}</h2>\n<p class='soft'>{how}{again}</p>\n"
    counts = " · ".join(
        f'<span class="{kind}"><span class="verdict {kind}">{count} {kind}</span></span>'
        for kind, count in shown["verdicts"].items()
        if count
    )
    answer, question, images = (html.escape(shown[key]) for key in ("answer", "question", "where"))
    claims = counts or "<span class='soft'>no claims</span>"
    return (
        f"<h2>{title}</h2>\n<p>{question}</p>\n<p>{answer}</p>\n"
        f"<p>{claims} <span class='soft'>· {images}, {shown['made']}</span></p>\n"
    )
