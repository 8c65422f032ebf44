"""docs/results: the page says what the suites' own files say."""

import json

import pytest
from conftest import PROJECT

from tasks.configuration import files

RESULTS = PROJECT / "docs" / "results"
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in (RESULTS / "README.md").read_text().splitlines()
    if line.startswith("| [")
]
SUITES = ("families", "augmentations", "masking", "projector", "momentum", "difficulty", "protocols", "transfer")


def test_every_claim_of_the_eight_suites_has_a_row() -> None:
    said = [
        (suite, claim["says"])
        for suite in SUITES
        for claim in files.read_suite(PROJECT / "suites" / f"{suite}.yaml")["claims"].values()
    ]
    assert [(row[0].partition("]")[0].strip("["), row[1]) for row in ROWS] == said


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_a_row_says_what_the_suites_claims_say(row: list[str]) -> None:
    suite, says, verdict, effect, more_than, seeds, source = row
    claims = json.loads((RESULTS / suite.partition("]")[0].strip("[") / "claims.json").read_text())["claims"]
    (claim,) = (claim for claim in claims.values() if claim["says"] == says)
    low, middle, high = claim["lower"], claim["effect"], claim["upper"]
    even = abs(low + high - 2 * middle) < 0.1
    written = f"± {(high - low) / 2:.1f}" if even else f"[{low:+.1f}, {high:+.1f}]"
    assert (verdict, effect) == (claim["verdict"], f"{middle:+.1f} {written}")
    assert (float(more_than), seeds) == (claim["more_than"], str(claim["seeds_to_decide"] or ""))
    assert source == ("lecture" if "expects" in claim["source"] else "ours")
