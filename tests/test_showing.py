"""What show makes of verdicts: the report that opens with the answer, lines under the table, the page of all suites."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from test_comparison import configure, project, recorded, suite, with_variant
from written_files import write

from ssl_core.errors import Refused
from tasks import compare, show
from tasks.cells import PREPARED, Cell
from tasks.comparison import verdicts
from tasks.comparison.verdicts import Contrast, Ranking, Verdict, Verdicts
from tasks.configuration import files
from tasks.configuration.plan import Plan

CLAIM = Verdict(
    name="contrast-wins", says="SimCLR is above <MAE>.", source="lecture 08", verdict="supported", why="Mind this.",
    effect=10.0, lower=8.0, upper=12.0, more_than=1.0, seeds=[0, 1],
    contrasts=[Contrast(weights={"simclr": 1.0, "mae": -0.5}, effect=10.0, lower=8.0, upper=12.0, images=True)],
    seeds_to_decide=None, cells=["simclr-0", "simclr-1", "mae-0", "mae-1"],
)  # fmt: skip
OPEN = dataclasses.replace(
    CLAIM, name="open", says="It is open.", verdict="undecided", why="", lower=-8.0, upper=28.0, seeds_to_decide=9
)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tasks.tracking.delivery.deliver", lambda plan, verdicts: recorded())
    monkeypatch.setattr("tasks.comparison.neighbourhoods.embedding_map", lambda representations: None)  # takes a second


def judge(plan: Plan, *claims: Verdict, best: list[str] | None = None) -> None:
    """What compare and the verdict stage leave behind."""
    compare.main()
    order = ["simclr", "mae", "random_vit", "random"]
    verdicts.write(
        plan,
        Verdicts(level=0.0221, looks=3, claims=list(claims), ranking=Ranking(order=order, best=best or ["simclr"])),
    )


def shown(plan: Plan) -> str:
    """The report of a suite with both claims, without what pictures it has."""
    judge(plan, CLAIM, OPEN)
    show.main()
    page = (plan.results / "report.html").read_text()
    return re.sub(r'src="data:[^"]+"', 'src=""', page)


def test_the_report_opens_with_the_answer_then_verdicts_then_cost_then_maps_then_tables() -> None:
    page = shown(project(suite(seeds=[0, 1])))
    order = [
        '<p class="answer"><b><a href="#variant-simclr">simclr</a></b> is ahead with 76.0',
        "<h2>Verdicts</h2>", "<h2>Accuracy against cost</h2>", "<h2>What each choice changes</h2>",
        "<h2>All figures</h2>", "<h2>Where the figures come from</h2>",
    ]  # fmt: skip
    assert sorted(order, key=page.index) == order
    assert page.index(order[0]) < 12_000  # after the head and its style


def test_a_verdict_is_said_in_words_with_its_interval_its_source_and_its_cost() -> None:
    page = shown(project(suite(seeds=[0, 1])))
    found = re.search(r'<section class="claim supported" id="claim-contrast-wins">.*?</section>', page, re.DOTALL)
    assert found is not None
    said = found[0]
    for part in (
        '<span class="verdict supported">supported</span> <b>SimCLR is above &lt;MAE&gt;.</b>',
        "+10.0 ± 2.0 points (&gt; 1.0)", "Mind this.", "Source: lecture 08.", 'class="bar supported"',
        "<span>+1 simclr</span>, <span>-0.5 mae</span>", "seeds, test images",
        "2.1 min in 4 cells",  # pretrain, embed and probe of two seeds: 10 and 11 seconds each
    ):  # fmt: skip
        assert part in said
    assert "9 seeds would decide" not in said
    assert "9 seeds would decide" in page
    assert "97.79 % intervals, for 3 looks at the suite" in page


def test_every_link_of_the_report_leads_somewhere_and_every_figure_to_its_variant() -> None:
    plan = project(with_variant(suite(seeds=[0, 1], fine_tune=["mae"]), "mae", representations=["teacher", "backbone"]))
    page = shown(plan)
    links, places = set(re.findall(r'href="#([^"]+)"', page)), re.findall(r' id="([^"]+)"', page)
    assert links <= set(places)
    assert {f"cell-{name}" for name in CLAIM.cells} <= links
    tables = re.findall(r"<table.*?</table>", page[: page.index("<h2>Where the figures")], re.DOTALL)
    rows = [row for table in tables for row in re.findall(r"<tr[^>]*><td>(.*?)</td>", table)]
    assert rows
    assert all(row.startswith('<a href="#variant-') for row in rows)
    of_chart = page[page.index("<h2>Accuracy against cost") : page.index("<h2>What each choice")]
    assert {f"#variant-{name}" for name in plan.variants} <= set(re.findall(r'xlink:href="([^"]+)"', of_chart))


def test_a_variants_section_names_configuration_stages_commit_and_the_run() -> None:
    plan = project(suite(seeds=[0, 1], fine_tune=["mae"]))
    Path("configs/mae.yaml").write_text("objective: {name: <mae>}\n")
    seen = Path("observations/pretrain/pretrain-mae-1.json")
    seen.write_text(json.dumps(json.loads(seen.read_text()) | {"commit": "0123456789abcdef", "dirty": "true"}))
    page = shown(plan)
    said = page[page.index('id="variant-mae"') :]
    said = said[: said.index("</section>")]
    assert "objective: {name: &lt;mae&gt;}" in said
    assert "<th>fine_tune</th>" in said
    assert "<td>11 s</td><td>11 s</td><td>11 s</td><td>11 s</td>" in said
    assert "0123456789 and edits" in said
    assert "python -m tasks.show --cell mae-1</code>" in said
    of_other = page[page.index('id="variant-simclr"') :]
    assert "<th>fine_tune</th>" not in of_other[: of_other.index("</section>")]


def test_what_is_kept_of_known_factors_is_a_map() -> None:
    plan = project(suite(seeds=[0, 1]))
    assert "What is kept" not in shown(plan)
    for seed in (0, 1):
        with (Cell(variant="mae", seed=seed).figures("probe", "drawn") / "figures.csv").open("a") as opened:
            opened.write("backbone,factors,x,,test,r2,0.42\n")
    page = shown(plan)
    kept = page[page.index("<h2>What is kept of drawn</h2>") :]
    assert '<td style="background: rgb(0 114 178 / 0.34)" title="42.0 ± 0.0 %">42</td>' in kept


def test_without_claims_there_are_no_verdicts_and_still_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    plan = project(suite())
    compare.main()
    show.main()
    page = (plan.results / "report.html").read_text()
    assert "<h2>Verdicts</h2>" not in page
    assert "is ahead with 70.0 % of the test images right" in page
    assert "simclr is ahead with 70.0 %" in capsys.readouterr().out


# What is printed, and what is written beside the report.


def test_verdicts_stand_under_the_table_and_all_suites_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    plan = project(suite(seeds=[0, 1]))
    judge(plan, CLAIM, OPEN)
    show.main()
    lines = capsys.readouterr().out.splitlines()
    line = next(i for i, said in enumerate(lines) if said.startswith("supported  SimCLR is above <MAE>."))
    assert lines[line].endswith("+10.0 ± 2.0 points (> 1.0)")
    assert lines[line - 1] == ""
    assert lines.index("All suites:    results/index.html") > line
    assert max(map(len, lines[line:])) <= 100
    assert "1 supported" in Path("results/index.html").read_text()
    summary = plan.summary.read_text()
    assert summary.startswith("# Which is &lt;best>?\n\nsimclr is ahead with 76.0")
    assert "| contrast-wins | supported |" in summary


@pytest.mark.parametrize("changed", ["a verdict", "another suite is there", "the summary is gone"])
def test_what_verdicts_say_is_made_anew_when_they_change(
    changed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "_possible", lambda name, images: True)
    plan = project(suite(seeds=[0, 1]))
    judge(plan, CLAIM)
    show.main()
    before = capsys.readouterr().out
    page = (plan.results / "report.html").stat().st_mtime_ns
    match changed:
        case "a verdict":
            judge(plan, dataclasses.replace(CLAIM, verdict="refuted"))
        case "another suite is there":
            files.SUITES.mkdir()
            (files.SUITES / "other.yaml").write_text("suite: other\nquestion: Why?\nclaims: {a: {}}\n")
        case _:
            plan.summary.unlink()
    show.main()
    said = capsys.readouterr().out
    assert (plan.results / "report.html").stat().st_mtime_ns != page
    assert plan.summary.exists()
    told = {"a verdict": "refuted", "another suite is there": "(make repro SUITE=other)"}.get(changed, "supported")
    assert told in said
    assert (said == before) == (changed == "the summary is gone")


def test_next_is_the_first_suite_that_these_images_can_be_asked(tmp_path: Path) -> None:
    def write_suite(name: str, variants: str) -> None:
        said = (
            f"suite: {name}\nquestion: Why {name}?\nseeds: [0]\nfine_tune: []\nvariants: {{{variants}}}\nclaims: {{}}\n"
        )
        (files.SUITES / f"{name}.yaml").write_text(said)

    write(tmp_path)
    impossible = {"a": "jigsaw: {objective: {grid: 4, gap: 0}}", "b": "colourisation: ", "c": "supervised: "}
    for name, variants in impossible.items():
        write_suite(name, variants)
    card = PREPARED / "fashion_mnist" / "card.json"
    card.parent.mkdir(parents=True)
    card.write_text(json.dumps({"grey": True, "classes": []}))
    plan = suite(images=["fashion_mnist"])
    configure(plan)
    assert show._not_asked(plan) is None
    before = show.made_from(plan)
    write_suite("d", "simclr: ")
    assert show._not_asked(plan) == ("d", "Why d?")
    write_suite("d", "simclr: {objective: {temperature: 0.5}}")
    other_question = show.made_from(plan)
    assert other_question != before
    (files.SUITES / "d.yaml").write_text((files.SUITES / "d.yaml").read_text().replace("Why d", "How d"))
    assert show.made_from(plan) != other_question
    card.write_text(json.dumps({"grey": False, "classes": ["x"]}))
    assert show._not_asked(plan) == ("b", "Why b?")


@pytest.mark.parametrize("changed", ["the comparison", "the claims"])
def test_verdicts_of_another_comparison_or_of_other_claims_are_not_shown(changed: str) -> None:
    plan = project(suite(seeds=[0, 1]))
    judge(plan, CLAIM)
    show.main()
    page = (plan.results / "report.html").read_bytes()
    if changed == "the comparison":
        figures = Cell(variant="simclr", seed=0).figures("probe", "drawn") / "figures.csv"
        figures.write_text(figures.read_text().replace("0.7,", "0.71,").replace("0.7\n", "0.71\n"))
        compare.main()
    else:
        files.asked("test").parent.mkdir(parents=True)
        files.asked("test").write_text("looks: 1\nclaims: {}\n")
    another = {"the comparison": "results/test/comparison.csv", "the claims": "configs/verdict/test.yaml"}[changed]
    with pytest.raises(Refused, match=f"claims.json was decided from another {another} than is there now: run `dvc"):
        show.main()
    assert (plan.results / "report.html").read_bytes() == page


def test_a_suite_with_claims_that_were_not_decided_is_not_shown_as_one_without() -> None:
    project(suite(seeds=[0, 1]))
    compare.main()
    files.asked("test").parent.mkdir(parents=True)
    files.asked("test").write_text("looks: 1\nclaims: {}\n")
    show.main()
    files.asked("test").write_text("looks: 1\nclaims: {a: {}}\n")
    with pytest.raises(Refused, match=r"claims\.json is missing, and test has claims: run `dvc repro`"):
        show.main()


def test_the_page_of_all_suites_follows_without_a_new_report(capsys: pytest.CaptureFixture[str]) -> None:
    plan = project(suite(seeds=[0, 1]))
    judge(plan, CLAIM)
    show.main()
    page = (plan.results / "report.html").stat().st_mtime_ns
    summary: dict[str, Any] = json.loads((plan.results / ".shown").read_text())["summary"]
    other = Path("results/other")
    other.mkdir()
    (other / "report.html").write_text("")
    (other / ".shown").write_text(json.dumps({"summary": summary | {"question": "Another one?"}}))
    show.main()
    assert (plan.results / "report.html").stat().st_mtime_ns == page
    written = Path("results/index.html").read_text()
    assert written.index("Another one?") < written.index("Which is &lt;best&gt;?")
