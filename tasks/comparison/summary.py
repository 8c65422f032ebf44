"""What came of a suite on one page of Markdown, for the places that show it: MLflow's run and Prefect's artifacts."""

from tasks.comparison import verdict_lines
from tasks.comparison.sentences import Sentence, text
from tasks.comparison.verdicts import Verdicts
from tasks.configuration.plan import Plan


def markdown(plan: Plan, said: list[Sentence], verdicts: Verdicts, table: str) -> str:
    """The question, the answer, the verdicts, and the comparison's tables as they stand in a terminal."""
    parts = [f"# {_escaped(plan.question)}", _escaped(text(said))]
    rows = verdict_lines.rows(verdicts)
    if rows:
        lines = [f"| {' | '.join(rows[0])} |", "|" + " --- |" * len(rows[0])]
        lines += [f"| {' | '.join(map(_escaped, row.values()))} |" for row in rows]
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, f"```\n{table}\n```"]) + "\n"


def _escaped(said: str) -> str:
    return said.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
