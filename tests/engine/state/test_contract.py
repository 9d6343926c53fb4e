"""The State port: one contract, held against every adapter, by a clock that the test moves."""

from __future__ import annotations

import asyncio
import gc
import random
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from engine.state.faulty import Faulty
from fakes import ManualClock
from redis.asyncio import Redis

from millrace.engine.errors import Unavailable
from millrace.engine.operations.birth import AskBirth
from millrace.engine.operations.bucket import TakeTokens
from millrace.engine.operations.counter import Count
from millrace.engine.operations.greylist import NoteVisit, Terms, Visit
from millrace.engine.operations.lease import Acquire
from millrace.engine.operations.limit import Allowance
from millrace.engine.operations.members import AddMember
from millrace.engine.operations.operation import Operation
from millrace.engine.operations.reputation import AddReputation
from millrace.engine.operations.window import CountInWindow
from millrace.engine.ports import State
from millrace.engine.state import connect
from millrace.engine.state.embedded import EmbeddedState
from millrace.engine.state.memory import MemoryState
from millrace.engine.state.opening import open_state as opening
from millrace.engine.state.redis import RedisState
from millrace.engine.state.settings import State as Settings

# redis-py forgets connections that it has replaced, and leaves them to the collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """Collect them while the mark above holds, not in the midst of another module's test."""
    yield
    gc.collect()


TERMS = Terms(wait=300, window=3600, lifetime=86400, allow_after=3)
NOW = 1_800_000_000.0
Now = Callable[[], float]
Open = Callable[[Now], State]
Timed = tuple[float, Operation[Any]]  # seconds after NOW, and what is asked then


def redis_at(url: str, scope: str, now: Now, timeout: float = 2.0) -> RedisState:
    settings = Settings(url=url, scope=scope, timeout=timeout)  # type: ignore[arg-type]
    exchange = connect.exchange(settings, lambda path: path)
    return RedisState(exchange, connect.shown(settings), scope=scope, timeout=timeout, now=now)


@pytest.fixture(params=["memory", "embedded", "redis", "proxied"])
def open_state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    scope = uuid.uuid4().hex
    if request.param == "memory":
        yield _shared(MemoryState(fresh=True))
    elif request.param == "embedded":
        yield lambda now: EmbeddedState(tmp_path / "state.db", now=now)
    elif request.param == "redis":
        url = request.getfixturevalue("redis_url")
        yield lambda now: redis_at(url, scope, now)
    else:
        with Faulty(port_of(request.getfixturevalue("redis_url")), late=0.001) as proxy:
            yield lambda now: redis_at(f"redis://127.0.0.1:{proxy.port}/0", scope, now)


def _shared(memory: MemoryState) -> Open:
    def opened(now: Now) -> State:
        memory.now = now
        return memory

    return opened


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


@asynccontextmanager
async def opened(open_state: Open, now: Now = lambda: NOW) -> AsyncIterator[State]:
    state = open_state(now)
    try:
        yield state
    finally:
        await state.close()


def walk(open_state: Open, *timed: Timed) -> list[Any]:
    """The answers to operations, each asked so many seconds after NOW."""

    async def go() -> list[Any]:
        clock = ManualClock(NOW)
        async with opened(open_state, clock.now) as state:
            answers = []
            for seconds, operation in timed:
                clock.time = NOW + seconds
                answers.append(await state.ask(operation))
            return answers

    return asyncio.run(go())


def visits(
    open_state: Open, *times: float, client: str = "client", terms: Terms = TERMS
) -> list[Visit]:
    """Visits of one fresh triplet at these seconds after NOW."""
    triplet = uuid.uuid4().hex
    return walk(open_state, *[(t, NoteVisit(triplet, client, terms)) for t in times])


def states(found: Sequence[Visit]) -> list[str]:
    return [visit.state for visit in found]


def allowed(found: Sequence[Allowance]) -> list[bool]:
    return [allowance.allowed for allowance in found]


# --- the greylist


def test_first_visit_is_new_and_has_the_whole_wait_before_it(open_state: Open) -> None:
    (visit,) = visits(open_state, 0)
    assert visit == Visit("new", NOW, 300)


def test_second_visit_before_the_wait_is_early(open_state: Open) -> None:
    assert visits(open_state, 0, 100)[1] == Visit("early", NOW, 200)


def test_second_visit_after_the_wait_passes(open_state: Open) -> None:
    assert states(visits(open_state, 0, 301)) == ["new", "passed"]


def test_a_triplet_that_passed_is_known_without_waiting(open_state: Open) -> None:
    assert visits(open_state, 0, 301, 302)[2] == Visit("known", NOW, 0, 2)


def test_who_comes_back_after_the_window_is_new_again(open_state: Open) -> None:
    assert states(visits(open_state, 0, 3601)) == ["new", "new"]


def test_who_passed_is_forgotten_after_the_lifetime(open_state: Open) -> None:
    assert states(visits(open_state, 0, 301, 301 + 86401)) == ["new", "passed", "new"]


def test_a_client_is_free_after_enough_triplets_passed(open_state: Open) -> None:
    for _ in range(3):
        assert states(visits(open_state, 0, 301)) == ["new", "passed"]
    assert states(visits(open_state, 302)) == ["client-known"]


def test_a_free_client_is_forgotten_after_the_lifetime(open_state: Open) -> None:
    for _ in range(3):
        visits(open_state, 0, 301)
    assert states(visits(open_state, 301 + 86402)) == ["new"]


def test_without_a_number_of_passes_no_client_is_ever_free(open_state: Open) -> None:
    never = Terms(300, 3600, 86400, 0)
    for _ in range(4):
        visits(open_state, 0, 301, terms=never)
    assert states(visits(open_state, 302, terms=never)) == ["new"]


def test_triplets_of_a_young_store_wait_less_and_later_ones_do_not(open_state: Open) -> None:
    terms = Terms(300, 3600, 86400, 0, young_wait=30, young_until=NOW + 600)
    assert [v.left for v in visits(open_state, 0, 29, terms=terms)] == [30, 1]
    assert states(visits(open_state, 590, 625, terms=terms)) == ["new", "passed"]
    assert [v.left for v in visits(open_state, 601, terms=terms)] == [300]


def test_an_emptied_store_learns_from_who_recalls_that_a_triplet_passed(open_state: Open) -> None:
    recalled = NoteVisit("t", "c", TERMS, "triplet")
    found = walk(open_state, (0, recalled), (1, NoteVisit("t", "c", TERMS)))
    assert found == [Visit("known", NOW, 0, 1), Visit("known", NOW, 0, 2)]


def test_an_emptied_store_learns_from_who_recalls_that_a_client_is_free(open_state: Open) -> None:
    recalled = NoteVisit("t", "c", TERMS, "client")
    found = walk(open_state, (0, recalled), (1, NoteVisit("other", "c", TERMS)))
    assert states(found) == ["client-known", "client-known"]


def test_many_visits_at_once_make_one_first_visit(open_state: Open) -> None:
    async def go() -> list[Visit]:
        async with opened(open_state) as state:
            visit = NoteVisit("t", "c", TERMS)
            return list(await asyncio.gather(*[state.ask(visit) for _ in range(50)]))

    found = states(asyncio.run(go()))
    assert (found.count("new"), found.count("early")) == (1, 49)


# --- limits


def test_a_bucket_gives_its_burst_and_then_says_how_long_to_wait(open_state: Open) -> None:
    take = TakeTokens("k", rate=0.5, burst=2)
    found = walk(open_state, (0, take), (0, take), (0, take), (1.9, take), (2, take))
    assert allowed(found) == [True, True, False, False, True]
    assert [a.wait for a in found[2:4]] == pytest.approx([2, 0.1])


def test_a_bucket_never_holds_more_than_its_burst(open_state: Open) -> None:
    take = TakeTokens("k", rate=1, burst=2)
    assert allowed(walk(open_state, (0, take), *[(1000, take)] * 3)) == [True, True, True, False]


def test_what_costs_more_than_the_burst_leaves_a_debt(open_state: Open) -> None:
    large, small = TakeTokens("k", 1, 10, cost=25), TakeTokens("k", 1, 10)
    found = walk(open_state, (0, large), (1, small), (15, small), (16, small))
    assert allowed(found) == [True, False, False, True]
    assert found[1].wait == pytest.approx(15)


def test_a_clock_that_goes_back_gives_no_tokens_and_takes_none(open_state: Open) -> None:
    take = TakeTokens("k", rate=1, burst=2)
    assert allowed(walk(open_state, (100, take), (0, take), (0, take))) == [True, True, False]


def test_a_window_holds_no_more_than_its_limit(open_state: Open) -> None:
    count = CountInWindow("k", seconds=100, limit=3)
    found = walk(open_state, *[(0, count)] * 4)
    assert allowed(found) == [True, True, True, False]
    assert [a.left for a in found] == [2, 1, 0, 0]


def test_the_window_before_counts_by_what_is_left_of_it(open_state: Open) -> None:
    count = CountInWindow("k", seconds=100, limit=4)
    found = walk(open_state, *[(0, count)] * 4, (124, count), (125, count), (126, count))
    assert allowed(found[4:]) == [False, True, False]  # 4 * 0.75 + 1 is the limit


def test_who_waits_as_a_window_says_is_let_in(open_state: Open) -> None:
    count = CountInWindow("k", seconds=100, limit=4)
    full = [(10.0, count)] * 5
    wait = walk(open_state, *full)[-1].wait
    early, late = wait + 9, wait + 10.001
    assert allowed(walk(open_state, (early, count), (late, count))) == [False, True]


def test_a_refusal_is_not_counted_by_a_window(open_state: Open) -> None:
    large, small = CountInWindow("k", 100, 5, cost=3), CountInWindow("k", 100, 5, cost=2)
    assert allowed(walk(open_state, (0, large), (0, large), (0, small))) == [True, False, True]


def test_a_counter_adds_until_its_time_is_over(open_state: Open) -> None:
    one, read = Count("k", 60), Count("k", 60, add=0)
    found = walk(open_state, (0, read), (0, one), (59, one), (59, read), (61, read), (61, one))
    assert found == [0, 1, 2, 2, 0, 1]


def test_members_are_forgotten_one_by_one(open_state: Open) -> None:
    adds = [(t, AddMember("k", who, 60)) for t, who in [(0, "a"), (30, "b"), (59, "a"), (95, "c")]]
    found = [(each.known, each.members) for each in walk(open_state, *adds)]
    assert found == [(False, 1), (False, 2), (True, 2), (False, 2)]


def test_a_full_set_forgets_who_ends_first(open_state: Open) -> None:
    adds = [(float(t), AddMember("k", who, 60, most=2)) for t, who in enumerate("abcb")]
    found = [(each.known, each.members) for each in walk(open_state, *adds)]
    assert found == [(False, 1), (False, 2), (False, 2), (True, 2)]


def test_reputation_fades_by_half_in_its_half_life(open_state: Open) -> None:
    add = AddReputation("k", half_life=100, good=8, bad=2)
    read = AddReputation("k", half_life=100)
    found = walk(open_state, (0, read), (0, add), (100, read), (200, read), (2000, read))
    assert [(r.good, r.bad) for r in found] == [(0, 0), (8, 2), (4, 1), (2, 0.5), (0, 0)]


def test_leases_are_as_many_as_the_limit_and_come_back(open_state: Open) -> None:
    a, b, c = [Acquire("k", holder, 2, 60) for holder in "abc"]
    found = walk(open_state, (0, a), (0, b), (0, c), (0, a), (1, a.release), (1, c))
    told = [each if isinstance(each, int) else (each.granted, each.holders) for each in found]
    assert told == [(True, 1), (True, 2), (False, 2), (True, 2), 1, (True, 2)]


def test_a_lease_that_nobody_gives_back_ends_by_itself(open_state: Open) -> None:
    a, b = [Acquire("k", holder, 1, 60) for holder in "ab"]
    found = walk(open_state, (0, a), (59, b), (61, b))
    assert [lease.granted for lease in found] == [True, False, True]


def test_many_who_ask_at_once_get_no_lease_too_many(open_state: Open) -> None:
    async def go() -> list[bool]:
        async with opened(open_state) as one, opened(open_state) as other:
            asks = [(one, other)[n % 2].ask(Acquire("k", str(n), 7, 60)) for n in range(40)]
            return [lease.granted for lease in await asyncio.gather(*asks)]

    assert asyncio.run(go()).count(True) == 7


# --- all of them


def some_operation(chance: random.Random) -> Operation[Any]:
    key, cost = chance.choice("ab"), chance.choice([0.5, 1, 3])
    visit = NoteVisit(key, chance.choice("cd"), TERMS, chance.choice(["", "", "triplet"]))
    return chance.choice(
        [
            visit,
            TakeTokens(key, 0.01, 3, cost),
            CountInWindow(key, 300, 3, cost),
            Count(key, 200, chance.choice([0, cost])),
            AddMember(key, chance.choice("xyz"), chance.choice([50, 500]), most=2),
            AddReputation(key, 100, chance.choice([0, cost]), cost),
            Acquire(key, chance.choice("xyz"), 2, chance.choice([50, 500])),
            Acquire(key, chance.choice("xyz"), 2, 50).release,
            AskBirth(),
        ]
    )


def test_every_store_answers_as_the_plain_steps_do(open_state: Open) -> None:
    chance = random.Random(5321)
    timed, at = [], 0.0
    for _ in range(300):
        at += chance.choice([0, 0.25, 20, 100])
        timed.append((at, some_operation(chance)))
    plain = MemoryState(fresh=True)
    expected, found = walk(lambda now: _set(plain, now), *timed), walk(open_state, *timed)
    assert [_rounded(each) for each in found] == [_rounded(each) for each in expected]


def _set(memory: MemoryState, now: Now) -> MemoryState:
    memory.now = now
    return memory


def _rounded(answer: Any) -> Any:
    if isinstance(answer, (int, float)):
        return round(answer, 4)
    fields = [getattr(answer, name) for name in type(answer).__slots__]
    return [round(each, 4) if isinstance(each, float) else each for each in fields]


def test_a_store_was_born_when_it_was_first_asked(open_state: Open) -> None:
    assert walk(open_state, (0, AskBirth()), (86400, AskBirth())) == [NOW, NOW]


def test_what_is_only_told_is_done_too(open_state: Open) -> None:
    async def go() -> float:
        async with opened(open_state) as state:
            state.tell(Count("k", 60, 5))
            return await state.ask(Count("k", 60, 1))

    assert asyncio.run(go()) == 6


def test_what_was_told_is_done_before_the_store_is_closed(open_state: Open) -> None:
    async def go() -> None:
        async with opened(open_state) as state:
            state.tell(Count("k", 60, 5))

    asyncio.run(go())
    assert walk(open_state, (0, Count("k", 60, 0))) == [5]


def test_what_one_wrote_another_reads(open_state: Open) -> None:
    async def go() -> list[str]:
        async with opened(open_state) as one, opened(open_state) as other:
            visit = NoteVisit("t", "c", TERMS)
            return states([await one.ask(visit), await other.ask(visit)])

    assert asyncio.run(go()) == ["new", "early"]


def test_a_store_that_is_there_answers_a_ping(open_state: Open) -> None:
    async def go() -> str:
        async with opened(open_state) as state:
            await state.ping()
            return "answered"

    assert asyncio.run(go()) == "answered"


# --- what is of one store


def test_scopes_of_one_redis_know_nothing_of_each_other(redis_url: str) -> None:
    def count(scope: str) -> list[Any]:
        return walk(lambda now: redis_at(redis_url, scope, now), (0, Count("k", 60)))

    one, other = uuid.uuid4().hex, uuid.uuid4().hex
    assert [count(one), count(one), count(other)] == [[1], [2], [1]]


def test_scopes_of_one_file_know_nothing_of_each_other(tmp_path: Path) -> None:
    def count(scope: str) -> list[Any]:
        path = tmp_path / "state.db"
        return walk(lambda now: EmbeddedState(path, scope, now), (0, Count("k", 60)))

    assert [count("one"), count("one"), count("other")] == [[1], [2], [1]]


def test_redis_that_is_away_is_unavailable_and_hides_its_password() -> None:
    async def go() -> None:
        away = Settings(url="redis://:secret@127.0.0.1:1/0")
        async with opened(lambda _: opening(away, lambda path: path)) as state:
            await state.ask(NoteVisit("t", "c", TERMS))

    with pytest.raises(Unavailable) as caught:
        asyncio.run(go())
    assert "127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_state_file_in_an_impossible_place_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        EmbeddedState(tmp_path / "file" / "state.db")


def test_over_connections_that_are_cut_every_answer_is_the_askers_own(redis_url: str) -> None:
    async def go(port: int) -> list[Any]:
        scope = uuid.uuid4().hex
        async with opened(lambda now: redis_at(f"redis://127.0.0.1:{port}", scope, now)) as state:
            found: list[Any] = []
            for turn in range(500):  # where a piece is cut is chance: until enough of both was seen
                asks = [state.ask(Count(f"{turn}.{n}", 60, 10 + n)) for n in range(20)]
                found += await asyncio.gather(*asks, return_exceptions=True)
                failed = sum(isinstance(each, Exception) for each in found)
                if failed >= 100 and len(found) - failed >= 100:
                    return found
        raise AssertionError(f"{failed} of {len(found)} failed")

    with Faulty(port_of(redis_url), cuts=0.03) as proxy:
        found = asyncio.run(go(proxy.port))
    for at, each in enumerate(found):  # counted once, or twice where the first answer was lost
        assert isinstance(each, Unavailable) or each in (10 + at % 20, 2 * (10 + at % 20))


def test_over_connections_that_are_cut_no_lease_is_given_twice(redis_url: str) -> None:
    async def go(port: int) -> int:
        scope = uuid.uuid4().hex
        async with opened(lambda now: redis_at(f"redis://127.0.0.1:{port}", scope, now)) as state:
            granted = 0
            for n in range(60):
                asks = [state.ask(Acquire("k", f"{n}.{at}", 5, 60)) for at in range(3)]
                for each in await asyncio.gather(*asks, return_exceptions=True):
                    granted += not isinstance(each, Exception) and each.granted
            return granted

    with Faulty(port_of(redis_url), cuts=0.05, late=0.0) as proxy:
        assert asyncio.run(go(proxy.port)) <= 5


def test_a_server_that_was_started_again_fails_nothing(redis_url: str) -> None:
    async def go() -> list[float]:
        async with opened(lambda now: redis_at(redis_url, uuid.uuid4().hex, now)) as state:
            found = [await state.ask(Count("k", 60)) for _ in range(2)]
            other = Redis.from_url(redis_url)  # cuts all connections, as a restart does
            await other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await other.aclose()
            return [*found, await state.ask(Count("k", 60))]

    assert asyncio.run(go()) == [1, 2, 3]
