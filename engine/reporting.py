"""Make yesterday's aggregate reports of what was noted, and send each once.

RFC 9990: one report for a policy domain and UTC day, by the configuration that was seen
last (§3.1, §3.3), to every address that the domain names and that agrees (§3.5, §4).

A report is marked when it was taken, for each destination by itself, so that a run after
a crash or a failure sends what is left; should a crash fall between the relay's "250"
and the mark, the same report goes out again under the same id, name and Message-ID.

Fails: `Unavailable` from the store.  What becomes of each report is an `Outcome`.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from millrace.engine.errors import Unavailable
from millrace.engine.mail.address import Address
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.message import Message
from millrace.engine.mailauth.reports import destinations, writer
from millrace.engine.mailauth.reports.aggregate import DAY_S, Counted, Report, Row
from millrace.engine.mailauth.reports.letter import Packed, Submitter, compose
from millrace.engine.ports import Clock, Dns, NextHop
from millrace.engine.store.reports import ReportStore, Seen

GRACE_S = 60.0  # after midnight: what was seen before it is written by then
AWAY_MAX = 3  # mails in a row that find no relay; then the rest waits for the next run
Status = Literal["sent", "would send", "already sent", "refused", "too large", "again", "unwanted"]


@dataclass(frozen=True, slots=True)
class Terms:
    """Who reports; `program` is the generator's name and version."""

    submitter: Submitter
    contact: str = ""
    program: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one report for one destination, "" when there is none."""

    packed: Packed
    destination: str
    status: Status
    note: str = ""


def day_of(moment: float) -> int:
    """The UTC day, counted from 1970."""
    return int(moment // DAY_S)


def date_of(day: int) -> str:
    """A day as people write it: 2026-11-22."""
    return datetime.datetime.fromtimestamp(day * DAY_S, datetime.UTC).date().isoformat()


def ended(day: int, now: float) -> bool:
    """Whether all of a day's mail is noted."""
    return now >= (day + 1) * DAY_S + GRACE_S


def build(store: ReportStore, day: int, domain: str, terms: Terms) -> tuple[Packed, str]:
    """The report about one domain and day, and the rua tag that asks for it."""
    kinds, lost = store.seen(day, domain)
    last = max(kinds, key=_recency)
    tally: dict[Row, int] = {}
    for each in kinds:
        row = each.observation.row
        tally[row] = tally.get(row, 0) + each.count
    submitter = terms.submitter
    report = Report(
        organization=submitter.organization or submitter.domain,
        email=submitter.address,
        id=_id(store, day, domain, submitter),
        begin=day * DAY_S,
        end=(day + 1) * DAY_S - 1,
        published=last.observation.published,
        rows=tuple(Counted(row, count) for row, count in tally.items()),
        contact=terms.contact,
        error=f"{lost} mails more are not listed: they were of too many kinds" if lost else "",
        generator=terms.program,
    )
    xml = writer.to_xml(report)
    return Packed(report, writer.to_gzip(xml)), last.observation.wanted


def _recency(seen: Seen) -> tuple[float, int, str]:
    return seen.last, seen.count, repr(seen.observation.published)


def _id(store: ReportStore, day: int, domain: str, submitter: Submitter) -> str:
    """The same whenever this report is made again; letters and digits alone (§3.5.2)."""
    words = f"{store.identity()} {submitter.domain} {domain} {day}"
    return date_of(day).replace("-", "") + hashlib.sha256(words.encode()).hexdigest()[:16]


@dataclass(slots=True)
class Round:
    """One run: where from, where to, and whether anything is sent at all (`hop`).

    With `refused`, what was refused in an earlier run is tried again.
    """

    store: ReportStore
    terms: Terms
    dns: Dns
    hop: NextHop | None
    clock: Clock
    refused: bool = False
    away: int = 0

    async def reports(self, days: Iterator[tuple[int, str]]) -> AsyncIterator[Outcome]:
        """Every report of these days and domains, one after the other."""
        for day, domain in days:
            packed, wanted = build(self.store, day, domain, self.terms)
            listed = destinations.parse(wanted)
            if not listed:
                yield Outcome(packed, "", "unwanted", f"no usable address in rua={wanted[:80]}")
            for destination in listed:
                async for outcome in self._one(day, packed, destination):
                    yield outcome

    async def _one(
        self, day: int, packed: Packed, wanted: destinations.Destination
    ) -> AsyncIterator[Outcome]:
        domain = packed.report.published.domain
        if self.store.state(day, domain, wanted.address) == "sent":
            yield Outcome(packed, wanted.address, "already sent")
            return
        answer = await destinations.check(domain, wanted, self.dns)
        if answer.status != "agreed":
            status: Status = "again" if answer.status == "later" else "refused"
            yield Outcome(packed, wanted.address, status, answer.why)
        for each in answer.destinations:
            # an address that was named elsewhere keeps the limit that the domain set
            limits = [limit for limit in (wanted.limit, each.limit) if limit]
            yield await self._deliver(day, packed, replace(each, limit=min(limits, default=0)))

    async def _deliver(self, day: int, packed: Packed, to: destinations.Destination) -> Outcome:
        domain, size = packed.report.published.domain, packed.encoded_size
        if not to.takes(size):
            words = f"{size} octets, and it takes {to.limit}"
            return Outcome(packed, to.address, "too large", words)
        if self.hop is None:
            state = self.store.state(day, domain, to.address)
            done: Status = "already sent" if state == "sent" else "would send"
            return Outcome(packed, to.address, "refused" if state == "refused" else done)
        if self.away >= AWAY_MAX:
            return Outcome(packed, to.address, "again", "the relay is away")
        now = self.clock.now()
        state = self.store.claim(day, domain, to.address, now, refused=self.refused)
        if state:
            return Outcome(packed, to.address, _CLAIMED[state], _EARLIER.get(state, ""))
        status, note = "again", "interrupted"
        try:
            status, note = await self._hand_over(self.hop, packed, to.address)
        finally:
            self.store.settle(day, domain, to.address, status, note)
        return Outcome(packed, to.address, status, note)

    async def _hand_over(self, hop: NextHop, packed: Packed, to: str) -> tuple[Status, str]:
        raw = compose(packed, self.terms.submitter, to, self.clock.now())
        envelope = Envelope(packed.report.id, Sender(_address(self.terms.submitter.address)),
                            (Recipient(_address(to)),))  # fmt: skip
        try:
            delivery = await hop.deliver(envelope, Message.parse(raw))
        except Unavailable as error:
            self.away += 1
            return "again", str(error)
        self.away = 0
        code = delivery.reply.code
        if code < 300:
            return "sent", str(delivery.reply)
        return ("refused" if code >= 500 else "again"), str(delivery.reply)


_EARLIER = {"refused": "in an earlier run", "sending": "another run is at it"}
_CLAIMED: dict[str, Status] = {"sent": "already sent", "refused": "refused", "sending": "again"}


def _address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local, domain)
