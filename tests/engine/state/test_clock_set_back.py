"""A clock that was a day ahead and was set right: nobody waits for the day to pass."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest
from fakes import ManualClock

from millrace.engine.operations.bucket import TakeTokens
from millrace.engine.operations.greylist import NoteVisit, Terms
from millrace.engine.operations.lease import Acquire
from millrace.engine.operations.operation import DAY, Operation
from millrace.engine.operations.window import CountInWindow
from millrace.engine.ports import State
from millrace.engine.state import connect
from millrace.engine.state.embedded import EmbeddedState
from millrace.engine.state.memory import MemoryState
from millrace.engine.state.redis import RedisState
from millrace.engine.state.settings import State as Settings

NOW = 1_800_000_000.0
Walk = Any


@pytest.fixture(params=["memory", "embedded", "redis"])
def walk(request: pytest.FixtureRequest, tmp_path: Path) -> Walk:
    """The answers to an operation at some seconds after NOW; `then` is asked after the first."""
    clock = ManualClock(NOW)

    def opened() -> State:
        if request.param == "memory":
            return MemoryState(clock.now)
        if request.param == "embedded":
            return EmbeddedState(tmp_path / "state.db", now=clock.now)
        settings = Settings(url=request.getfixturevalue("redis_url"))
        exchange, scope = connect.exchange(settings, lambda path: path), uuid.uuid4().hex
        return RedisState(exchange, "redis", scope=scope, now=clock.now)

    def walked(
        operation: Operation[Any], *seconds: float, then: Operation[Any] | None = None
    ) -> list[Any]:
        async def go() -> list[Any]:
            state, answers = opened(), []
            for each in seconds:
                clock.time = NOW + each
                answers.append(await state.ask((answers and then) or operation))
            await state.close()
            return answers

        return asyncio.run(go())

    return walked


def test_a_bucket_fills_again_from_the_new_time_on(walk: Walk) -> None:
    found = walk(TakeTokens("k", rate=1, burst=2), DAY, DAY, 0, 1.1)
    assert [each.allowed for each in found] == [True, True, False, True]
    assert found[2].wait == pytest.approx(1)


def test_a_full_window_passes_from_the_new_time_on(walk: Walk) -> None:
    found = walk(CountInWindow("k", seconds=100, limit=1), DAY, 0, 99, 201)
    assert [each.allowed for each in found] == [True, False, False, True]


def test_a_triplet_waits_from_the_new_time_on(walk: Walk) -> None:
    visit = NoteVisit("t", "c", Terms(wait=300, window=3600, lifetime=86400, allow_after=3))
    found = walk(visit, DAY, 0, 299, 301)
    assert [each.state for each in found] == ["new", "new", "early", "passed"]
    assert found[1].left == pytest.approx(300)


def test_a_lease_of_who_died_ends_after_its_time_from_the_new_time_on(walk: Walk) -> None:
    dead, living = (Acquire("k", holder, limit=1, seconds=60) for holder in ("dead", "living"))
    found = walk(dead, DAY, 0, 59, 61, then=living)
    assert [each.granted for each in found] == [True, False, False, True]
