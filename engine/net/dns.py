"""DNS for filters: a cache with single flight, and the budget of a mail.

RFC 2308 (negative answers), RFC 8767 is not used: stale answers are not served.
One cache for each worker; the local resolver is the shared one.

TTLs are clamped (30 s to 1 h); an absence is kept as long as the zone's SOA says (5 s to
15 min), a minute when it does not say; a failure five seconds.  Who asks what another is
already asking waits for that answer.  The cache is bounded in entries and in octets (an
estimate); the eldest go first.

Fails: never; failures are answers ("servfail", "timeout").
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.ports import Answer, Question, RecordType

TTL_FLOOR, TTL_CEILING = 30.0, 3600.0
ABSENT_FLOOR, ABSENT_TTL, ABSENT_CEILING = 5.0, 60.0, 900.0
FAILED_TTL = 5.0
ENTRIES_MAX = 50_000
OCTETS_MAX = 32 << 20
_ENTRY, _RECORD = 420, 90  # octets of an entry with its key, and of a record; measured, CPython
BUDGET_LOOKUPS = 200  # questions of one mail; SPF alone may ask 11 names with 10 hosts each
BUDGET_SECONDS = 15.0

_SPENT = Answer("timeout")


class Resolver(Protocol):
    """Something that answers one question from the network, or from a file."""

    async def lookup(self, name: str, kind: RecordType) -> Answer:
        """Answer; never raises."""
        ...

    async def close(self) -> None:
        """Let go of sockets."""
        ...


@dataclass(slots=True)
class DnsCounters:
    """What the cache did, for the metrics."""

    hits: int = 0
    misses: int = 0
    joined: int = 0
    failures: int = 0
    evicted: int = 0
    failed: dict[str, int] = field(default_factory=lambda: {"servfail": 0, "timeout": 0})
    seconds: float = 0.0  # that look-ups took, those side by side each


@dataclass(slots=True)
class CachedDns:
    """The cache; `monotonic` is the clock by which entries age."""

    resolver: Resolver
    monotonic: Callable[[], float]
    entries_max: int = ENTRIES_MAX
    octets_max: int = OCTETS_MAX
    counters: DnsCounters = field(default_factory=DnsCounters)
    octets: int = 0
    _entries: dict[Question, tuple[float, Answer]] = field(default_factory=dict)
    _flights: dict[Question, asyncio.Task[Answer]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._entries)

    def known(self, question: Question) -> Answer | None:
        """The cached answer, if it is fresh."""
        entry = self._entries.get(question)
        if entry is None or entry[0] <= self.monotonic():
            return None
        self.counters.hits += 1
        return entry[1]

    async def ask(self, question: Question) -> Answer:
        """Answer from the cache, from a look-up under way, or from the resolver."""
        known = self.known(question)
        if known is not None:
            return known
        flight = self._flights.get(question)
        if flight is None:
            self.counters.misses += 1
            flight = asyncio.get_running_loop().create_task(self._fly(question))
            self._flights[question] = flight
        else:
            self.counters.joined += 1
        # an asker that is cancelled must not take the answer from the others
        return await asyncio.shield(flight)

    async def _fly(self, question: Question) -> Answer:
        began = self.monotonic()
        try:
            answer = await self.resolver.lookup(*question)
            self._keep(question, answer)
            return answer
        finally:
            self.counters.seconds += self.monotonic() - began
            del self._flights[question]

    def _keep(self, question: Question, answer: Answer) -> None:
        if answer.failed:
            self.counters.failures += 1
            self.counters.failed[answer.status] += 1
        self._drop(question)
        needed = weight(question, answer)
        if len(self._entries) >= self.entries_max or self.octets + needed > self.octets_max:
            self._evict(needed)
        if needed <= self.octets_max:
            self._entries[question] = (self.monotonic() + lifetime(answer), answer)
            self.octets += needed

    def _drop(self, question: Question) -> bool:
        entry = self._entries.pop(question, None)
        if entry is not None:
            self.octets -= weight(question, entry[1])
        return entry is not None

    def _evict(self, needed: int) -> None:
        """Make room for a sixteenth of the whole, so that this is not done for each answer."""
        entries = self.entries_max - max(self.entries_max // 16, 1)
        octets = max(self.octets_max - self.octets_max // 16 - needed, 0)
        for question in list(self._entries):
            if len(self._entries) <= entries and self.octets <= octets:
                return
            self.counters.evicted += self._drop(question)

    async def close(self) -> None:
        """End look-ups under way, and the resolver."""
        for flight in list(self._flights.values()):
            flight.cancel()
        await asyncio.gather(*self._flights.values(), return_exceptions=True)
        await self.resolver.close()


def lifetime(answer: Answer) -> float:
    """How long an answer is kept, in seconds."""
    if answer.failed:
        return FAILED_TTL
    if answer.status == "found":
        return min(max(float(answer.ttl), TTL_FLOOR), TTL_CEILING)
    if not answer.ttl:
        return ABSENT_TTL
    return min(max(float(answer.ttl), ABSENT_FLOOR), ABSENT_CEILING)


def weight(question: Question, answer: Answer) -> int:
    """About how many octets of memory an answer takes."""
    texts = sum(len(each) for each in answer.records if isinstance(each, (bytes, str)))
    return _ENTRY + len(question[0]) + _RECORD * len(answer.records) + texts


@dataclass(slots=True)
class BudgetedDns:
    """The port that one mail's filters hold: so many questions, so many seconds."""

    cache: CachedDns
    lookups: int = BUDGET_LOOKUPS
    seconds: float = BUDGET_SECONDS
    _waiting: int = 0  # questions that wait side by side cost their time once
    _since: float = 0.0

    async def ask(self, name: str, kind: RecordType) -> Answer:
        """Answer one question; "timeout" once the budget is spent."""
        name = ascii_domain(name) or ""
        if not name.isprintable() or not name:  # c-ares would end the name at a NUL
            return Answer("badname")
        known = self.cache.known((name, kind))
        if known is not None:
            return known
        self.lookups -= 1
        if self.lookups < 0 or self.seconds <= 0:
            return _SPENT
        self._spend(1)
        try:
            async with asyncio.timeout(self.seconds):
                return await self.cache.ask((name, kind))
        except TimeoutError:
            return _SPENT
        finally:
            self._spend(-1)

    def _spend(self, more: int) -> None:
        now = self.cache.monotonic()
        self.seconds -= now - self._since if self._waiting else 0.0
        self._since, self._waiting = now, self._waiting + more

    async def ask_all(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer all, in their order, those that are not cached side by side."""
        if len(questions) == 1:
            return [await self.ask(*questions[0])]
        answers = [self.cache.known((ascii_domain(n), kind)) for n, kind in questions]
        open_ = [at for at, answer in enumerate(answers) if answer is None]
        if open_:
            found = await asyncio.gather(*(self.ask(*questions[at]) for at in open_))
            for at, answer in zip(open_, found, strict=True):
                answers[at] = answer
        return [answer or _SPENT for answer in answers]
