"""The State port: one contract, held against every adapter."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from millrace.engine.errors import Unavailable
from millrace.engine.ports import GreylistTerms, State, Visit
from millrace.engine.state.embedded import EmbeddedState
from millrace.engine.state.redis import RedisState

TERMS = GreylistTerms(wait=300, window=3600, lifetime=86400, allow_after=3)
NOW = 1_800_000_000.0
Open = Callable[[], State]


@pytest.fixture(params=["embedded", "redis"])
def open_state(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "embedded":
        return lambda: EmbeddedState(tmp_path / "state.db")
    url: str = request.getfixturevalue("redis_url")
    return lambda: RedisState(url)


@asynccontextmanager
async def opened(open_state: Open) -> AsyncIterator[State]:
    state = open_state()
    try:
        yield state
    finally:
        await state.close()


def walk(
    open_state: Open, *times: float, client: str = "", terms: GreylistTerms = TERMS
) -> list[Visit]:
    """Visits of one fresh triplet at these seconds after NOW."""
    triplet = uuid.uuid4().hex

    async def go() -> list[Visit]:
        async with opened(open_state) as state:
            return [await state.visit(triplet, client or triplet, NOW + t, terms) for t in times]

    return asyncio.run(go())


def states(visits: list[Visit]) -> list[str]:
    return [visit.state for visit in visits]


def test_first_visit_is_new_and_has_the_whole_wait_before_it(open_state: Open) -> None:
    (visit,) = walk(open_state, 0)
    assert (visit.state, visit.left) == ("new", 300)


def test_second_visit_before_the_wait_is_early(open_state: Open) -> None:
    visits = walk(open_state, 0, 100)
    assert visits[1].state == "early"
    assert visits[1].left == pytest.approx(200, abs=0.01)


def test_second_visit_after_the_wait_passes(open_state: Open) -> None:
    assert states(walk(open_state, 0, 301)) == ["new", "passed"]


def test_a_triplet_that_passed_is_known_without_waiting(open_state: Open) -> None:
    visits = walk(open_state, 0, 301, 302)
    assert (visits[2].state, visits[2].passes) == ("known", 2)


def test_who_comes_back_after_the_window_is_new_again(open_state: Open) -> None:
    assert states(walk(open_state, 0, 3601)) == ["new", "new"]


def test_who_passed_is_forgotten_after_the_lifetime(open_state: Open) -> None:
    assert states(walk(open_state, 0, 301, 301 + 86401)) == ["new", "passed", "new"]


def test_a_client_is_free_after_enough_triplets_passed(open_state: Open) -> None:
    client = uuid.uuid4().hex
    for _ in range(3):
        assert states(walk(open_state, 0, 301, client=client)) == ["new", "passed"]
    assert states(walk(open_state, 302, client=client)) == ["client-known"]


def test_a_free_client_is_forgotten_after_the_lifetime(open_state: Open) -> None:
    client = uuid.uuid4().hex
    for _ in range(3):
        walk(open_state, 0, 301, client=client)
    assert states(walk(open_state, 301 + 86402, client=client)) == ["new"]


def test_without_a_number_of_passes_no_client_is_ever_free(open_state: Open) -> None:
    client, never = uuid.uuid4().hex, GreylistTerms(300, 3600, 86400, 0)
    for _ in range(4):
        walk(open_state, 0, 301, client=client, terms=never)
    assert states(walk(open_state, 302, client=client, terms=never)) == ["new"]


def test_many_visits_at_once_make_one_first_visit(open_state: Open) -> None:
    triplet = uuid.uuid4().hex

    async def go() -> list[Visit]:
        async with opened(open_state) as state:
            visits: list[Awaitable[Visit]] = [
                state.visit(triplet, triplet, NOW, TERMS) for _ in range(50)
            ]
            return list(await asyncio.gather(*visits))

    found = states(asyncio.run(go()))
    assert found.count("new") == 1
    assert found.count("early") == 49


def test_what_one_wrote_another_reads(open_state: Open) -> None:
    triplet = uuid.uuid4().hex

    async def go() -> list[str]:
        async with opened(open_state) as one, opened(open_state) as other:
            first = await one.visit(triplet, triplet, NOW, TERMS)
            second = await other.visit(triplet, triplet, NOW + 1, TERMS)
            return [first.state, second.state]

    assert asyncio.run(go()) == ["new", "early"]


def test_a_store_that_is_there_answers_a_ping(open_state: Open) -> None:
    async def go() -> str:
        async with opened(open_state) as state:
            await state.ping()
            return "answered"

    assert asyncio.run(go()) == "answered"


def test_redis_that_is_away_is_unavailable_and_hides_its_password() -> None:
    async def go() -> None:
        async with opened(
            lambda: RedisState("redis://:secret@127.0.0.1:1/0", timeout=0.5)
        ) as state:
            await state.visit("t", "c", NOW, TERMS)

    with pytest.raises(Unavailable) as caught:
        asyncio.run(go())
    assert "127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_state_file_in_an_impossible_place_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        EmbeddedState(tmp_path / "file" / "state.db")
