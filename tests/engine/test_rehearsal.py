"""Mails rehearsed one after the other, in one theatre."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from fakes import plan_of, uses

from millrace.engine import settings
from millrace.engine.rehearsal import ZONES_MAX, Case, Rehearsed, Theatre
from millrace.filters.spf import CheckSpf

PLAN = plan_of(uses("spf"), spf=CheckSpf)


def zone(path: Path, record: str) -> Path:
    path.write_text(json.dumps({"b.example": {"TXT": [record]}}))
    return path


def rehearsed(*zones: Path) -> list[str]:
    """What SPF says of the same envelope under each of these zones, in turn."""
    theatre = Theatre(settings.load(None, {}, {}), PLAN)

    async def go() -> list[Rehearsed]:
        cases = [Case(None, "192.0.2.7", "mx.b.example", "a@b.example", dns=dns) for dns in zones]
        found = [await theatre.rehearse(case) for case in cases]
        await theatre.close()
        return found

    return [each.decision.facts["spf"].result for each in asyncio.run(go())]  # type: ignore[attr-defined]


class ReadOnce(type(Path())):  # type: ignore[misc]
    """A path that may be read once."""

    def read_text(self, *arguments: object, **more: object) -> str:
        text = super().read_text(*arguments, **more)
        self.unlink()
        return str(text)


def test_a_zone_file_is_read_once_for_all_cases_that_name_it(tmp_path: Path) -> None:
    path = ReadOnce(zone(tmp_path / "zone.json", "v=spf1 ip4:192.0.2.7 -all"))
    assert rehearsed(path, path, path) == ["pass"] * 3


def test_each_case_gets_the_zone_that_it_names(tmp_path: Path) -> None:
    good = zone(tmp_path / "good.json", "v=spf1 +all")
    bad = zone(tmp_path / "bad.json", "v=spf1 -all")
    assert rehearsed(good, bad, good) == ["pass", "fail", "pass"]


def test_many_zone_files_are_not_all_kept(tmp_path: Path) -> None:
    files = [zone(tmp_path / f"{at}.json", "v=spf1 -all") for at in range(ZONES_MAX + 3)]
    assert rehearsed(*files) == ["fail"] * (ZONES_MAX + 3)
