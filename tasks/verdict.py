"""Decide the suite's claims: `python -m tasks.verdict`.

A stage of its own, so that an edited claim runs nothing else: `compare` does not know of claims.
"""

from tasks.comparison import claims, measured, troubles, verdicts
from tasks.comparison.interval import POCOCK
from tasks.comparison.measured import Measured
from tasks.comparison.ranking import ranking
from tasks.comparison.verdicts import Verdicts
from tasks.configuration import asking
from tasks.configuration import plan as plans
from tasks.configuration.asking import Asked
from tasks.configuration.plan import Plan
from tasks.stage import stage


def main() -> None:
    """Write `results/<suite>/claims.json`."""
    plan = plans.read()
    verdicts.write(plan, decide(plan, asking.read(plan.suite)))


def decide(plan: Plan, asked: Asked) -> Verdicts:
    """The verdict on each claim, and the ranking."""
    level = POCOCK[asked.looks]
    found, trouble = Measured(plan=plan, figures=measured.read(plan)), troubles.read(plan)
    return Verdicts(
        level=level,
        looks=asked.looks,
        claims=[claims.verdict(found, trouble, name, asked) for name in asked.claims],
        ranking=ranking(found, level),
    )


if __name__ == "__main__":
    with stage():
        main()
