"""A store that is away is asked no more, and asked again when its time has come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakes import ManualClock

from millrace.engine.breaker import Breaker, Terms
from millrace.engine.errors import Declined, Unavailable
from millrace.engine.operations.counter import Count
from millrace.engine.operations.lease import Release
from millrace.engine.state.guarded import GuardedState


class FlakyStore:
    """Counts who asks; answers while it is there."""

    def __init__(self) -> None:
        self.there, self.silent, self.declines, self.asked = False, False, False, 0

    async def ask(self, operation: Any) -> Any:
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        if not self.there:
            raise Unavailable("store", "refused")
        if self.declines:
            raise Declined("store", "another type")
        return 1.0

    def tell(self, operation: Any) -> None:
        self.asked += 1

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


def made(patience: float = 1.0) -> tuple[FlakyStore, GuardedState, ManualClock]:
    clock, store = ManualClock(), FlakyStore()
    terms = Terms(failures=3, patience=patience)
    breaker = Breaker("state", "", terms, clock.now, lambda: 0.0)
    return store, GuardedState(store, breaker), clock


async def asked(state: GuardedState, times: int) -> int:
    """How many of these were answered."""
    calls = [state.ask(Count("k", 60)) for _ in range(times)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    return sum(not isinstance(each, Exception) for each in answers)


def test_a_store_that_is_away_is_spared_and_probed_once_when_it_is_time() -> None:
    async def work() -> tuple[int, int, int]:
        store, state, clock = made()
        await asked(state, 3)
        await asked(state, 100)
        before = store.asked
        clock.move(0.5)
        store.there = True
        answered = await asked(state, 1) + await asked(state, 10)
        return before, answered, state.breaker.spared

    assert asyncio.run(work()) == (3, 11, 100)


@pytest.mark.parametrize(("patience", "state"), [(0.0, "open"), (1.0, "closed")])
def test_calls_that_are_cancelled_after_their_patience_open_it(patience: float, state: str) -> None:
    async def work() -> str:
        store, guarded, _ = made(patience)
        store.silent = True
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await guarded.ask(Count("k", 60))
        return guarded.breaker.state

    assert asyncio.run(work()) == state


def test_what_nobody_waits_for_is_told_when_the_store_is_there_again() -> None:
    async def work() -> tuple[int, int]:
        store, state, clock = made()
        for at in range(100):
            state.tell(Release("k", str(at)))
        await asyncio.sleep(0)
        clock.move(0.5)
        store.there = True
        before = store.asked
        for _ in range(3):
            await asked(state, 1)
        await state.close()
        return before, store.asked - before

    assert asyncio.run(work()) == (3, 103)


def test_what_a_key_of_somebody_else_declines_is_not_told_again() -> None:
    async def work() -> int:
        store, state, _ = made()
        store.there = True
        store.declines = True
        state.tell(Release("k", "a"))
        await asyncio.sleep(0)
        store.declines = False
        await asked(state, 3)
        await state.close()
        return store.asked

    assert asyncio.run(work()) == 4
