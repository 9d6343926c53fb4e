"""Noting: cheap, soon on disk, and no mail's obstacle."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from dmarc_reports import decision, fact
from fakes import ManualClock

from millrace.engine.mailauth.reports.aggregate import DAY_S
from millrace.engine.store import noting
from millrace.engine.store.noting import Noting
from millrace.engine.store.reports import ReportStore

MAIL = decision(fact(), ip="192.0.2.1")
DAY = int(MAIL.time // DAY_S)


def run(path: Path, *mails, before=None) -> Noting:
    async def go() -> Noting:
        made = Noting(ReportStore(path), ManualClock(MAIL.time), "dmarc@receiver.example")
        for mail in mails:
            made.note(mail)
        if before is not None:
            await before(made)
        await made.close()
        return made

    return asyncio.run(go())


def counts(path: Path) -> list[int]:
    found, _ = ReportStore(path, create=False).seen(DAY, "b.example")
    return sorted(each.count for each in found)


def test_what_was_noted_is_on_disk_after_close(tmp_path: Path) -> None:
    run(tmp_path / "r.db", MAIL, MAIL, decision(fact(), ip="192.0.2.2"), decision(None))
    assert counts(tmp_path / "r.db") == [1, 2]


def test_mail_without_a_wish_for_reports_makes_no_file(tmp_path: Path) -> None:
    run(tmp_path / "r.db", decision(None))
    assert not (tmp_path / "r.db").exists()


def test_counts_are_written_while_mail_goes_on(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(noting, "DELAY_S", 0.0)

    async def look(made: Noting) -> None:
        for _ in range(1_000_000):
            await asyncio.sleep(0)  # the timer's turn
            if (tmp_path / "r.db").exists() and made._writing is None:
                break
        assert counts(tmp_path / "r.db") == [1]
        made.note(MAIL)

    run(tmp_path / "r.db", MAIL, before=look)
    assert counts(tmp_path / "r.db") == [2]


def test_store_that_is_away_is_said_once_and_counts_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "r.db"
    path.write_bytes(b"no database" * 500)

    async def twice(made: Noting) -> None:
        for _ in range(2):
            made.flush()
            assert made._writing is not None
            await made._writing
        assert "not a database" in made.trouble
        path.unlink()
        made.flush()
        await made._writing
        assert made.trouble == ""

    with caplog.at_level(logging.ERROR, "millrace.reports"):
        run(path, MAIL, MAIL, before=twice)
    assert len(caplog.records) == 1
    assert counts(path) == [2]


def test_waiting_counts_are_bounded(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(noting, "WAITING_MAX", 2)
    mails = [decision(fact(), ip=f"192.0.2.{n}") for n in range(5)]
    made = run(tmp_path / "r.db", *mails, mails[0])
    assert (made.lost, counts(tmp_path / "r.db")) == (3, [1, 2])
