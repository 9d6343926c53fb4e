"""The cache of answers, and one mail's budget."""

import asyncio
from dataclasses import dataclass, field

import pytest
from fakes import ManualClock

from millrace.engine.net.dns import (
    ABSENT_CEILING,
    ABSENT_FLOOR,
    ABSENT_TTL,
    FAILED_TTL,
    TTL_CEILING,
    TTL_FLOOR,
    BudgetedDns,
    CachedDns,
    lifetime,
)
from millrace.engine.ports import Answer, Question

A = ("a.example", "A")


@dataclass
class SlowResolver:
    """Answers when it is let go; each answer may be another one."""

    answers: dict[Question, Answer] = field(default_factory=dict)
    asked: list[Question] = field(default_factory=list)
    gate: asyncio.Event | None = None
    closed: bool = False

    async def lookup(self, name, kind):
        self.asked.append((name, kind))
        if self.gate is not None:
            await self.gate.wait()
        return self.answers.get((name, kind), Answer("found", ("192.0.2.1",), 300))

    async def close(self):
        self.closed = True


async def until_asked(resolver: SlowResolver, count: int) -> None:
    for _ in range(100):
        if len(resolver.asked) >= count:
            return
        await asyncio.sleep(0)
    raise AssertionError("nobody asked")


def cache_of(**more):
    resolver, clock = SlowResolver(**more), ManualClock(0.0)
    return CachedDns(resolver, clock.now), resolver, clock


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer("found", (), 300), 300.0),
        (Answer("found", (), 0), TTL_FLOOR),
        (Answer("found", (), 10**9), TTL_CEILING),
        (Answer("nxdomain", (), 9999), ABSENT_CEILING),
        (Answer("nodata", (), 120), 120.0),
        (Answer("nodata", (), 1), ABSENT_FLOOR),
        (Answer("nodata"), ABSENT_TTL),
        (Answer("badname"), ABSENT_TTL),
        (Answer("servfail"), FAILED_TTL),
        (Answer("timeout"), FAILED_TTL),
    ],
)
def test_answer_is_kept_for_its_bounded_time(answer, seconds):
    assert lifetime(answer) == seconds
    cache, resolver, clock = cache_of(answers={A: answer})

    async def ask():
        return await cache.ask(A)

    for moved, count in [(0, 1), (seconds - 0.5, 1), (0.5, 2)]:
        clock.move(moved)
        assert asyncio.run(ask()) == answer
        assert len(resolver.asked) == count


def test_who_asks_the_same_at_once_waits_for_one_look_up():
    async def crowd():
        cache, resolver, _ = cache_of(gate=asyncio.Event())
        askers = [asyncio.create_task(cache.ask(A)) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        askers[0].cancel()  # takes the answer from nobody
        await asyncio.sleep(0)
        resolver.gate.set()
        answers = await asyncio.gather(*askers, return_exceptions=True)
        return cache, resolver, answers

    cache, resolver, answers = asyncio.run(crowd())
    assert resolver.asked == [A]
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {each.status for each in answers[1:]} == {"found"}
    assert (cache.counters.misses, cache.counters.joined) == (1, 4)


def test_eldest_answers_go_when_there_are_too_many():
    cache, resolver, _ = cache_of()
    cache.entries_max = 32

    async def ask_many():
        for n in range(40):
            await cache.ask((f"n{n}.example", "A"))

    asyncio.run(ask_many())
    assert len(cache) <= 32
    assert cache.known(("n0.example", "A")) is None
    assert cache.known(("n39.example", "A")) is not None
    assert cache.counters.evicted == len(resolver.asked) - len(cache)


def test_memory_of_the_cache_is_bounded_too():
    texts = tuple(bytes([n]) * 4000 for n in range(3))
    big = Answer("found", texts, 300)
    cache, _, _ = cache_of(answers={(f"n{n}.example", "TXT"): big for n in range(40)})
    cache.octets_max = 200_000

    async def ask_many():
        for n in range(40):
            await cache.ask((f"n{n}.example", "TXT"))
            await cache.ask((f"n{n}.example", "TXT"))
            assert cache.octets <= cache.octets_max

    asyncio.run(ask_many())
    assert 10 <= len(cache) <= 16
    assert cache.counters.evicted == 40 - len(cache)
    assert cache.known(("n39.example", "TXT")) == big


def test_answer_larger_than_the_cache_is_given_and_not_kept():
    cache, _, _ = cache_of(answers={A: Answer("found", (b"x" * 1000,), 300)})
    cache.octets_max = 800
    assert asyncio.run(cache.ask(A)).status == "found"
    assert (len(cache), cache.octets) == (0, 0)


def test_failures_are_counted_by_their_kind():
    cache, _, _ = cache_of(answers={A: Answer("servfail"), ("b.example", "A"): Answer("timeout")})

    async def ask():
        await cache.ask(A)
        await cache.ask(("b.example", "A"))

    asyncio.run(ask())
    assert cache.counters.failed == {"servfail": 1, "timeout": 1}
    assert cache.counters.failures == 2


def test_closing_ends_what_is_under_way():
    async def close_early():
        cache, resolver, _ = cache_of(gate=asyncio.Event())
        asker = asyncio.create_task(cache.ask(A))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await cache.close()
        with pytest.raises(asyncio.CancelledError):
            await asker
        return resolver

    assert asyncio.run(close_early()).closed


def test_budget_counts_questions_that_are_not_cached():
    cache, resolver, _ = cache_of()
    dns = BudgetedDns(cache, lookups=2)

    async def ask(*names):
        return [(await dns.ask(name, "A")).status for name in names]

    assert asyncio.run(ask("a.example", "A.Example.", "b.example")) == ["found"] * 3
    assert asyncio.run(ask("c.example", "a.example")) == ["timeout", "found"]
    assert len(resolver.asked) == 2


def test_time_of_questions_side_by_side_is_spent_once():
    async def ask_slowly():
        cache, resolver, clock = cache_of(gate=asyncio.Event())
        dns = BudgetedDns(cache, seconds=10.0)
        names = [(f"n{n}.example", "A") for n in range(5)]
        asking = asyncio.create_task(dns.ask_all(names))
        await until_asked(resolver, 5)
        clock.move(3.0)
        resolver.gate.set()
        return [each.status for each in await asking], dns.seconds

    statuses, left = asyncio.run(ask_slowly())
    assert statuses == ["found"] * 5
    assert left == 7.0


def test_spent_time_is_a_timeout_and_asks_nobody():
    cache, resolver, clock = cache_of()
    dns = BudgetedDns(cache, seconds=1.0)

    async def walk():
        resolver.gate = asyncio.Event()
        asking = asyncio.create_task(dns.ask("a.example", "A"))
        await until_asked(resolver, 1)
        clock.move(1.5)
        resolver.gate.set()
        await asking
        return await dns.ask("b.example", "A")

    assert asyncio.run(walk()) == Answer("timeout")
    assert len(resolver.asked) == 1


def test_hanging_resolver_is_left_when_the_time_is_up():
    async def hang():
        cache, _, _ = cache_of(gate=asyncio.Event())
        answer = await BudgetedDns(cache, seconds=0.01).ask("a.example", "A")
        await cache.close()
        return answer

    assert asyncio.run(hang()) == Answer("timeout")


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64 + ".example", "a\0b"])
def test_text_that_is_no_name_is_never_asked(name):
    cache, resolver, _ = cache_of()
    assert asyncio.run(BudgetedDns(cache).ask(name, "A")) == Answer("badname")
    assert resolver.asked == []


def test_answers_to_many_keep_the_order_of_the_questions():
    answers = {("a.example", "A"): Answer("nodata"), ("c.example", "A"): Answer("nxdomain")}
    cache, _, _ = cache_of(answers=answers)
    dns = BudgetedDns(cache)
    names = ["c.example", "a.example", "", "b.example", "c.example"]

    async def ask():
        await dns.ask("b.example", "A")
        return [each.status for each in await dns.ask_all([(name, "A") for name in names])]

    assert asyncio.run(ask()) == ["nxdomain", "nodata", "badname", "found", "nxdomain"]
