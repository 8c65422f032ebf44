"""Where a suite's time went, of made-up observations."""

import json
from pathlib import Path

import pytest
from test_comparison import suite

from tasks.comparison import sources, times
from tasks.configuration.plan import Plan


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def observe(plan: Plan, begins: list[float], seconds: float, starting: float = 2.0, before: float = 0.0) -> None:
    """One stage after another as sources.works has them, each begun (its process) so many seconds after midnight."""
    for i, (work, begin) in enumerate(zip(sources.works(plan), begins, strict=False)):
        minute, second = divmod(begin + starting, 60)
        seen = {
            "started": f"2026-01-01T00:{int(minute):02d}:{second:06.3f}+00:00",
            "seconds": seconds + before,
            "seconds_before": before,
            "overhead_seconds": starting,
        }
        identity = work.cell.figures(work.stage, work.images) / "identity"
        identity.parent.mkdir(parents=True)
        identity.write_text(f"{i:016d}")
        file = Path("observations") / work.stage / f"{i:016d}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(seen))


def test_one_after_another_the_parts_are_what_the_clock_shows() -> None:
    plan = suite()
    observe(plan, [15.0 * i for i in range(12)], seconds=10.0)
    found = times.of_suite(plan)
    assert [(part.name, part.count) for part in found.parts] == [
        ("pretrain", 4), ("embed", 4), ("probe", 4), (times.STARTS, 12), (times.BETWEEN, 0),
    ]  # fmt: skip
    assert [part.seconds for part in found.parts] == pytest.approx([40.0, 40.0, 40.0, 24.0, 33.0])
    assert sum(part.seconds for part in found.parts) == pytest.approx(found.clock_seconds)
    assert found.clock_seconds == pytest.approx(11 * 15 + 12)


def test_side_by_side_the_clock_shows_less_than_was_worked() -> None:
    plan = suite()
    observe(plan, [0.0, 0.0, 6.0, 6.0], seconds=4.0)
    found = times.of_suite(plan)
    assert found.clock_seconds == pytest.approx(12.0)
    assert sum(part.seconds for part in found.parts) == pytest.approx(24.0)
    assert found.missing == 8
    assert "8 stages were not observed here" in times.text(found)


def test_a_pause_and_the_seconds_of_a_killed_process_are_not_counted() -> None:
    plan = suite()
    observe(plan, [0.0, 1000.0], seconds=4.0, before=500.0)
    found = times.of_suite(plan)
    assert found.clock_seconds == pytest.approx(12.0)
    assert times.BETWEEN not in [part.name for part in found.parts]


def test_a_terminal_is_shown_a_table_whose_shares_are_a_whole() -> None:
    plan = suite()
    observe(plan, [15.0 * i for i in range(12)], seconds=10.0)
    first, *lines = times.text(times.of_suite(plan)).splitlines()
    assert first.split() == ["how", "many", "each", "in", "all", "share"]
    assert lines[0].split() == ["pretrain", "4", "10.0", "s", "40", "s", "23%"]
    assert lines[-1] == "in all, 3.0 min by the clock" + " " * (len(lines[-1]) - 35) + "3.0 min"
    assert sum(int(line.split()[-1].rstrip("%")) for line in lines[:-1]) in range(98, 103)
    assert times.text(times.Times([], 0.0, 12)) == "where the time went: no stage of the suite was observed here"
