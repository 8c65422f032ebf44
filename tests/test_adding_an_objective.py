"""docs/adding-an-objective.md, followed word for word in a clone."""

import re
from pathlib import Path

import pytest
from conftest import PROJECT, clone, insert, run

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
PAGE = PROJECT / "docs" / "adding-an-objective.md"


def blocks() -> dict[str, str]:
    """The page's pieces of code by the file that they are for."""
    found = re.findall(r"```\w+\n# (\S+)\n(.+?)```", PAGE.read_text(), flags=re.DOTALL)
    return dict(found)


def test_the_page_adds_an_objective_that_keeps_the_contract_and_runs_to_the_table(tmp_path: Path) -> None:
    written = blocks()
    assert set(written) == {
        "ssl_core/objectives/align_uniform.py",
        "ssl_core/objectives/__init__.py",
        "methods.yaml",
        "suites/align_uniform.yaml",
        "README.md",
        "tests/every_objective.py",
        "tests/test_align_uniform.py",
    }
    project = clone(tmp_path)
    for name in (
        "ssl_core/objectives/align_uniform.py",
        "tests/test_align_uniform.py",
        "suites/align_uniform.yaml",
    ):
        (project / name).write_text(written[name])
    insert(project / "ssl_core/objectives/__init__.py", written["ssl_core/objectives/__init__.py"], "OBJECTIVES = {")
    insert(project / "tests/every_objective.py", written["tests/every_objective.py"], "EVERY: dict[str, Any] = {")

    with (project / "methods.yaml").open("a") as methods:
        methods.write(f"\n{written['methods.yaml']}")
    graph = project / "dvc.yaml"
    graph.write_text(re.sub(r"suites/\w+\.yaml:", "suites/align_uniform.yaml:", graph.read_text(), count=1))
    readme, last = project / "README.md", "| `random`, `supervised` |"
    assert readme.read_text().count(last) == 1
    readme.write_text(readme.read_text().replace(last, written["README.md"] + last))
    files = [f"tests/test_{name}.py" for name in ("align_uniform", "objectives", "resume", "cost", "configuration")]
    tested = run("python", "-m", "pytest", "-q", "-k", "align_uniform or readme", *files, cwd=project)
    assert tested.returncode == 0, tested.stdout[-3000:]
    assert int(re.findall(r"(\d+) passed", tested.stdout)[0]) >= 13
    checked = run("ruff", "check", "ssl_core/objectives/align_uniform.py", "tests/test_align_uniform.py", cwd=project)
    assert checked.returncode == 0, checked.stdout
    done = run("dvc", "repro", cwd=project)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "align_uniform" in (project / "results" / "align_uniform" / "comparison.csv").read_text()
