"""The published suites: what each gave, as one table at the end of a run.

A test asks for the fixture `suites` and calls `hold`, which compares what went wrong with the
departures that are written down (case → reason) and fails for a new one and for a stale one.
Departures stand in `departures.toml` beside the test: suite, case, reason.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """What one suite gave; `departures` are the cases that go another way, and why."""

    suite: str
    cases: int
    passed: int
    departures: Mapping[str, str]


@dataclass
class Suites:
    """The rows of this run."""

    rows: list[Row] = field(default_factory=list)

    def tally(self, suite: str, cases: int, passed: int, departures: Mapping[str, str]) -> None:
        """Note what a suite gave."""
        self.rows.append(Row(suite, cases, passed, dict(departures)))

    def hold(
        self, suite: str, cases: int, wrong: Mapping[str, str], departures: Mapping[str, str]
    ) -> None:
        """Note what a suite gave, and fail for what is not written down, or no longer true."""
        self.tally(suite, cases, cases - len(wrong), departures)
        new = [f"{case}: {said}" for case, said in wrong.items() if case not in departures]
        stale = sorted(set(departures) - set(wrong))
        assert cases, f"{suite}: no case was run"
        assert not new, f"{suite}: {len(new)} wrong\n" + "\n".join(new)
        assert not stale, f"{suite}: these pass now, strike them from the departures: {stale}"


def departures(file: Path, suite: str) -> dict[str, str]:
    """The departures of one suite, case → reason; a case without a reason is refused."""
    listed = tomllib.loads(file.read_text("utf-8")).get("departure", [])
    found = {entry["case"]: entry["reason"] for entry in listed if entry["suite"] == suite}
    assert all(reason.strip() for reason in found.values())
    return found


def table(rows: list[Row]) -> list[str]:
    """The lines of the table, each departure with its reason below its suite."""
    width = max(len(row.suite) for row in rows)
    lines = [f"{'suite':{width}}  {'cases':>6}  {'passed':>6}  departures"]
    for row in sorted(rows, key=lambda row: row.suite):
        lines.append(
            f"{row.suite:{width}}  {row.cases:>6}  {row.passed:>6}  {len(row.departures):>10}"
        )
        lines += [f"    {case}: {reason}" for case, reason in sorted(row.departures.items())]
    return lines
