"""What came of a suite, as artifacts of the flow's run: Prefect's page shows the answer, and a table of verdicts."""

import subprocess
import sys

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.comparison import verdict_lines, verdicts
from tasks.configuration import plan as plans


def publish() -> None:
    """Show what came of the active suite, as `make repro` does at its end, and publish it; in a flow's run.

    Keys are by suite, so that Prefect keeps each suite's history. Raises where it cannot be shown.
    """
    subprocess.run([sys.executable, "-m", "tasks.show"], check=True)
    plan = plans.read()
    suite = plan.suite.lower().replace("_", "-")  # Prefect's keys have neither
    create_markdown_artifact(plan.summary.read_text(), key=f"answer-{suite}", description=plan.question)
    if rows := verdict_lines.rows(verdicts.read(plan)):
        create_table_artifact(rows, key=f"verdicts-{suite}", description=plan.question)
