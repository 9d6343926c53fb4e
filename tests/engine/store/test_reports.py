"""The store of reports: counts, bounds, marks, several processes, damage."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
from pathlib import Path

import pytest
from dmarc_reports import DAY, PUBLISHED, SEEN, TODAY, count_rows, other, report

from millrace.engine.errors import Unavailable
from millrace.engine.mailauth.reports.aggregate import DAY_S
from millrace.engine.store import reports
from millrace.engine.store.reports import ReportStore, key_of


@pytest.fixture
def store(tmp_path: Path):
    opened = ReportStore(tmp_path / "r" / "reports.db")
    yield opened
    opened.close()


def test_mails_alike_share_a_row_that_counts_them(store: ReportStore) -> None:
    store.note(
        {key_of(TODAY, SEEN): 2, key_of(TODAY, other(1)): 1, key_of(TODAY + 1, SEEN): 5}, DAY
    )
    store.note({key_of(TODAY, SEEN): 3}, DAY + 60)
    found, lost = store.seen(TODAY, "b.example")
    assert sorted((s.count, s.last) for s in found) == [(1, DAY), (5, DAY + 60)]
    assert max(found, key=lambda s: s.count).observation == SEEN
    assert lost == 0
    assert store.days() == [(TODAY, "b.example"), (TODAY + 1, "b.example")]
    assert store.days("c.example") == []


def test_store_that_was_taken_away_is_begun_anew(store: ReportStore, tmp_path: Path) -> None:
    store.note({key_of(TODAY, SEEN): 2}, DAY)
    (tmp_path / "r").rename(tmp_path / "elsewhere")
    store.note({key_of(TODAY, SEEN): 1}, DAY)
    with contextlib.closing(ReportStore(tmp_path / "r" / "reports.db", create=False)) as others:
        assert [seen.count for seen in others.seen(TODAY, "b.example")[0]] == [1]


def test_rows_are_bounded_by_domain_and_the_rest_is_counted(
    store: ReportStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "DOMAIN_ROWS_MAX", 3)
    store.note({key_of(TODAY, other(n)): 2 for n in range(5)}, DAY)
    store.note({key_of(TODAY, other(9)): 1, key_of(TODAY, other(0)): 1}, DAY)
    found, lost = store.seen(TODAY, "b.example")
    assert sorted(s.count for s in found) == [2, 2, 3]
    assert lost == 5


def test_flood_of_domains_is_bounded_as_a_whole(
    store: ReportStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "ROWS_MAX", 4)
    store.note({key_of(TODAY, other(1, f"d{n}.example")): 1 for n in range(20)}, DAY)
    assert len(store.days()) == 4
    store.note({key_of(TODAY, other(1, f"e{n}.example")): 1 for n in range(20)}, DAY)
    assert len(store.days()) == 4


def test_what_is_old_is_forgotten(store: ReportStore) -> None:
    store.note({key_of(TODAY, SEEN): 1}, DAY)
    assert store.claim(TODAY, "b.example", "r@b.example", DAY) == ""
    store.note({key_of(TODAY + 40, SEEN): 1}, DAY + 40 * DAY_S)
    assert store.days() == [(TODAY + 40, "b.example")]
    assert store.seen(TODAY, "b.example") == ([], 0)
    assert store.state(TODAY, "b.example", "r@b.example") == ""


def test_one_alone_sends_a_report_and_once(store: ReportStore, tmp_path: Path) -> None:
    second = ReportStore(tmp_path / "r" / "reports.db")
    key = (TODAY, "b.example", "r@b.example")
    assert store.claim(*key, 1000.0) == ""
    assert second.claim(*key, 1001.0) == "sending"
    store.settle(*key, "sent")
    assert second.claim(*key, 99_000.0) == "sent"
    assert second.state(*key) == "sent"
    second.close()


def test_who_died_while_sending_is_succeeded_after_a_while(store: ReportStore) -> None:
    key = (TODAY, "b.example", "r@b.example")
    store.claim(*key, 1000.0)
    assert store.claim(*key, 1000.0 + reports.CLAIM_S - 1) == "sending"
    assert store.claim(*key, 1000.0 + reports.CLAIM_S) == ""


def test_destination_that_failed_for_now_may_be_claimed_again(store: ReportStore) -> None:
    key = (TODAY, "b.example", "r@b.example")
    store.claim(*key, 1000.0)
    store.settle(*key, "again")
    assert store.claim(*key, 1001.0) == ""


def test_report_of_another_is_kept_once(store: ReportStore) -> None:
    assert store.take(report(), DAY)
    assert not store.take(report(), DAY + 9)
    assert store.take(report(id="other"), DAY)
    assert store.take(report(begin=DAY + 1), DAY)  # an id used twice is not the same report
    assert store.take(report(organization="Else"), DAY)
    assert [each.organization for each in store.reports("b.example", DAY)] == [
        "Receiver Inc.", "Receiver Inc.", "Else", "Receiver Inc.",
    ]  # fmt: skip
    assert next(store.reports("b.example", DAY)) == report()


def test_reports_are_found_by_domain_and_time(store: ReportStore) -> None:
    for domain in ("b.example", "news.b.example", "ab.example", "%.example"):
        store.take(report(published=dataclasses.replace(PUBLISHED, domain=domain)), DAY)
    found = [each.published.domain for each in store.reports("b.example", DAY)]
    assert found == ["b.example", "news.b.example"]
    assert list(store.reports("b.example", DAY + DAY_S)) == []


def test_store_takes_no_more_reports_than_its_bound(
    store: ReportStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "RECEIVED_MAX", 1)
    store.take(report(), DAY)
    with pytest.raises(Unavailable, match="takes no more"):
        store.take(report(id="other"), DAY)


def test_two_processes_count_together(tmp_path: Path) -> None:
    path = tmp_path / "reports.db"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=count_rows, args=(path, 40)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    found, lost = ReportStore(path).seen(TODAY, "b.example")
    assert (sum(s.count for s in found), lost, len(found)) == (160, 0, 8)


def test_store_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="there is none yet"):
        ReportStore(tmp_path / "none.db", create=False).days()
    assert not (tmp_path / "none.db").exists()


def test_damaged_store_is_said_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "reports.db"
    path.write_bytes(b"this is no database" * 500)
    for use in (lambda s: s.days(), lambda s: s.note({key_of(TODAY, SEEN): 1}, DAY)):
        with pytest.raises(Unavailable, match=r"reports\.db: file is not a database"):
            use(ReportStore(path))
    assert path.read_bytes().startswith(b"this is no database")


def test_store_whose_folder_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="report store"):
        ReportStore(tmp_path / "file" / "reports.db").days()


def test_rows_of_another_version_are_said_to_be_unreadable(store: ReportStore) -> None:
    store.note({key_of(TODAY, SEEN): 1}, DAY)
    with store._using(write=True) as database:
        database.execute("update observed set seen = x'7b7d'")
    with pytest.raises(Unavailable, match="holds what cannot be read"):
        store.seen(TODAY, "b.example")
