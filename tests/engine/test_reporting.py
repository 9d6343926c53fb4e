"""Reports of what was noted: which, to whom, once, and again when it failed for now."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dmarc_reports import DAY, PUBLISHED, SEEN, TODAY, other
from fakes import FakeDns, ManualClock

from millrace.engine import reporting
from millrace.engine.errors import Unavailable
from millrace.engine.mail.envelope import Envelope
from millrace.engine.mail.message import Message
from millrace.engine.mail.verdict import Reply
from millrace.engine.mailauth.reports.letter import Submitter
from millrace.engine.mailauth.reports.unpack import read
from millrace.engine.ports import Answer, Delivery
from millrace.engine.reporting import Outcome, Round, Terms
from millrace.engine.store import reports
from millrace.engine.store.reports import ReportStore, key_of

TERMS = Terms(Submitter("Receiver Inc.", "dmarc@receiver.example"), "", "Millrace 0")
ZONE: dict[Any, Any] = {
    ("_dmarc.b.example", "TXT"): [b"v=DMARC1; p=reject"],
    ("b.example._report._dmarc.agrees.example", "TXT"): [b"v=DMARC1"],
    ("b.example._report._dmarc.slow.example", "TXT"): Answer("timeout"),
}


@dataclass
class FakeHop:
    """Takes mails into a list, or says what it was told to say."""

    says: list[str] = field(default_factory=list)
    taken: list[tuple[Envelope, bytes]] = field(default_factory=list)

    async def deliver(self, envelope: Envelope, message: Message) -> Delivery:
        said = self.says.pop(0) if self.says else "250 2.0.0 ok"
        if said == "away":
            raise Unavailable("smtp relay", "connection refused")
        if said.startswith("2"):
            self.taken.append((envelope, b"".join(message.chunks())))
        return Delivery(Reply.parse(said), {})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReportStore]:
    opened = ReportStore(tmp_path / "reports.db")
    opened.note({key_of(TODAY, SEEN): 3, key_of(TODAY, other(1)): 2}, DAY + 10)
    yield opened
    opened.close()


def go(store: ReportStore, hop: FakeHop | None, now: float = DAY + 90_000) -> list[Outcome]:
    async def collect() -> list[Outcome]:
        run = Round(store, TERMS, FakeDns(ZONE), hop, ManualClock(now))
        return [each async for each in run.reports(iter(store.days()))]

    return asyncio.run(collect())


def said(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(each.destination, each.status) for each in outcomes]


def wanting(store: ReportStore, rua: str) -> None:
    """The domain asks anew; what was seen last counts."""
    store.note({key_of(TODAY, dataclasses.replace(other(9), wanted=rua)): 1}, DAY + 99)


def test_report_reaches_the_address_that_asks_for_it(store: ReportStore) -> None:
    hop = FakeHop()
    assert said(go(store, hop)) == [("r@b.example", "sent")]
    ((envelope, raw),) = hop.taken
    assert str(envelope.sender) == "dmarc@receiver.example"
    assert [str(each) for each in envelope.recipients] == ["r@b.example"]
    (got,) = read(raw).reports
    assert (got.mails, got.begin, got.end) == (5, DAY, DAY + 86_399)
    assert got.published == dataclasses.replace(PUBLISHED, nonexistent="none", aspf="r")


def test_second_run_sends_nothing(store: ReportStore) -> None:
    hop = FakeHop()
    go(store, hop)
    assert said(go(store, hop)) == [("r@b.example", "already sent")]
    assert len(hop.taken) == 1


def test_what_was_sent_asks_the_dns_nothing_more(store: ReportStore) -> None:
    go(store, FakeHop())
    dns = FakeDns({})

    async def again() -> list[Outcome]:
        run = Round(store, TERMS, dns, FakeHop(), ManualClock(DAY + 90_000))
        return [each async for each in run.reports(iter(store.days()))]

    assert said(asyncio.run(again())) == [("r@b.example", "already sent")]
    assert dns.asked == []


def test_dry_run_sends_and_marks_nothing(store: ReportStore) -> None:
    assert said(go(store, None)) == [("r@b.example", "would send")]
    hop = FakeHop()
    assert said(go(store, hop)) == [("r@b.example", "sent")]
    assert said(go(store, None)) == [("r@b.example", "already sent")]


@pytest.mark.parametrize("trouble", ["away", "451 4.3.0 later"])
def test_what_fails_for_now_is_sent_by_the_next_run(store: ReportStore, trouble: str) -> None:
    hop = FakeHop([trouble])
    (outcome,) = go(store, hop)
    assert (outcome.status, bool(outcome.note)) == ("again", True)
    assert said(go(store, hop)) == [("r@b.example", "sent")]


def test_what_is_refused_for_good_is_said_and_left(store: ReportStore) -> None:
    hop = FakeHop(["550 5.1.1 no such address"])
    (outcome,) = go(store, hop)
    assert (outcome.status, outcome.note) == ("refused", "550 5.1.1 no such address")
    assert said(go(store, hop)) == [("r@b.example", "refused")]
    assert hop.taken == []


def test_what_was_refused_is_tried_again_when_asked(store: ReportStore) -> None:
    hop = FakeHop(["554 5.7.1 relay access denied"])
    go(store, hop)

    async def again() -> list[Outcome]:
        run = Round(store, TERMS, FakeDns(ZONE), hop, ManualClock(DAY + 90_000), refused=True)
        return [each async for each in run.reports(iter(store.days()))]

    assert said(asyncio.run(again())) == [("r@b.example", "sent")]
    assert said(asyncio.run(again())) == [("r@b.example", "already sent")]


def test_one_destination_does_not_wait_for_another(store: ReportStore) -> None:
    wanting(store, "mailto:a@b.example,mailto:c@b.example")
    hop = FakeHop(["451 4.3.0 later"])
    assert said(go(store, hop)) == [("a@b.example", "again"), ("c@b.example", "sent")]
    assert said(go(store, hop)) == [("a@b.example", "sent"), ("c@b.example", "already sent")]


def test_report_sent_again_after_a_crash_is_the_same_report(store: ReportStore) -> None:
    hop = FakeHop()
    go(store, hop)
    store.settle(TODAY, "b.example", "r@b.example", "again")  # as if the mark was never written
    go(store, hop)
    first, second = (raw for _, raw in hop.taken)
    assert first == second


def test_crash_between_claim_and_answer_holds_others_off_for_a_while(store: ReportStore) -> None:
    store.claim(TODAY, "b.example", "r@b.example", DAY + 90_000)
    hop = FakeHop()
    assert said(go(store, hop)) == [("r@b.example", "again")]
    assert hop.taken == []
    later = DAY + 90_000 + reports.CLAIM_S
    assert said(go(store, hop, later)) == [("r@b.example", "sent")]


def test_long_run_holds_others_off_from_the_moment_it_sends(store: ReportStore) -> None:
    clock, states = ManualClock(DAY + 90_000), []

    class SlowHop(FakeHop):
        async def deliver(self, envelope: Envelope, message: Message) -> Delivery:
            key = (TODAY, "b.example", str(envelope.recipients[0]))
            states.append(store.claim(*key, clock.now() + reports.CLAIM_S - 1))
            clock.move(7_200)
            return await super().deliver(envelope, message)

    async def collect() -> None:
        run = Round(store, TERMS, FakeDns(ZONE), SlowHop(), clock)
        async for _ in run.reports(iter(store.days())):
            pass

    wanting(store, "mailto:a@b.example,mailto:c@b.example")
    asyncio.run(collect())
    assert states == ["sending", "sending"]


def test_destinations_elsewhere_must_agree(store: ReportStore) -> None:
    rua = "mailto:a@agrees.example,mailto:b@silent.example,mailto:c@slow.example"
    wanting(store, rua)
    hop = FakeHop()
    found = go(store, hop)
    assert said(found) == [
        ("a@agrees.example", "sent"), ("b@silent.example", "refused"), ("c@slow.example", "again"),
    ]  # fmt: skip
    assert found[1].note.startswith("silent.example does not agree")
    assert len(hop.taken) == 1


def test_report_larger_than_wanted_is_not_sent(store: ReportStore) -> None:
    wanting(store, "mailto:a@b.example!100,mailto:c@b.example!1m")
    hop = FakeHop()
    found = go(store, hop)
    assert said(found) == [("a@b.example", "too large"), ("c@b.example", "sent")]
    assert found[0].note.endswith("octets, and it takes 100")


def test_address_that_cannot_be_used_is_said(store: ReportStore) -> None:
    wanting(store, "https://b.example/dmarc")
    assert said(go(store, FakeHop())) == [("", "unwanted")]


def test_relay_that_is_away_is_not_asked_for_every_report(store: ReportStore) -> None:
    store.note({key_of(TODAY + n, SEEN): 1 for n in range(1, 9)}, DAY)
    hop = FakeHop(["away"] * 9)
    found = go(store, hop)
    assert {each.status for each in found} == {"again"}
    assert len(hop.says) == 9 - reporting.AWAY_MAX


def test_policy_that_was_seen_last_is_the_one_reported(store: ReportStore) -> None:
    changed = dataclasses.replace(PUBLISHED, policy="none")
    store.note({key_of(TODAY, dataclasses.replace(SEEN, published=changed)): 1}, DAY + 50)
    packed, _ = reporting.build(store, TODAY, "b.example", TERMS)
    assert (packed.report.published.policy, packed.report.mails) == ("none", 6)
    assert len(packed.report.rows) == 2


def test_mails_that_did_not_fit_are_told(
    store: ReportStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "DOMAIN_ROWS_MAX", 2)
    store.note({key_of(TODAY, other(7)): 4}, DAY)
    packed, _ = reporting.build(store, TODAY, "b.example", TERMS)
    assert packed.report.error == "4 mails more are not listed: they were of too many kinds"


def test_id_is_stable_and_differs_by_day_domain_and_store(
    store: ReportStore, tmp_path: Path
) -> None:
    second = ReportStore(tmp_path / "second.db")
    for each in (store, second):
        each.note({key_of(TODAY, SEEN): 1, key_of(TODAY + 1, SEEN): 1,
                   key_of(TODAY, other(1, "c.example")): 1}, DAY)  # fmt: skip
    ids = [
        reporting.build(each, day, name, TERMS)[0].report.id
        for each in (store, store, second)
        for day, name in each.days()
    ]
    assert ids[:3] == ids[3:6]
    assert len(set(ids)) == 6
    assert all(each.isalnum() for each in ids)
    second.close()


@pytest.mark.parametrize(
    ("now", "whole"),
    [(DAY, False), (DAY + 86_399, False), (DAY + 86_401, False), (DAY + 86_461, True)],
)
def test_day_has_ended_a_minute_after_midnight(now: float, whole: bool) -> None:
    assert reporting.ended(TODAY, now) is whole
