"""A lane: what waits goes together, each job gets its own answer."""

from __future__ import annotations

import asyncio
import threading

import pytest

from millrace.engine.errors import Unavailable
from millrace.engine.lane import Lane


class Doubling:
    """Work that waits for a gate with its first batch, and keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.entered = threading.Event()

    def __call__(self, jobs: list[int]) -> list[int | Unavailable]:
        self.batches.append(jobs)
        self.entered.set()
        assert self.gate.wait(10)
        return [Unavailable("odd", str(job)) if job % 2 else 2 * job for job in jobs]


def lane(work: Doubling, waiting_max: int = 100) -> Lane[int, int]:
    return Lane("doubling", work, batch_max=8, waiting_max=waiting_max)


def test_what_waits_while_the_thread_is_busy_is_one_batch() -> None:
    work = Doubling()

    async def go() -> list[int]:
        made = lane(work)
        first = asyncio.ensure_future(made.ask(0))
        await asyncio.to_thread(work.entered.wait, 10)
        rest = [asyncio.ensure_future(made.ask(job)) for job in (2, 4, 6)]
        await asyncio.sleep(0)
        work.gate.set()
        answers = [await each for each in (first, *rest)]
        await made.close()
        return answers

    assert asyncio.run(go()) == [0, 4, 8, 12]
    assert work.batches == [[0], [2, 4, 6]]


def test_a_job_that_fails_fails_alone() -> None:
    work = Doubling()
    work.gate.set()

    async def go() -> list[int | BaseException]:
        made = lane(work)
        answers = await asyncio.gather(*(made.ask(n) for n in (2, 3)), return_exceptions=True)
        await made.close()
        return answers

    good, bad = asyncio.run(go())
    assert good == 4
    assert str(bad) == "odd: 3"


def test_too_much_that_waits_is_refused_at_once() -> None:
    work = Doubling()

    async def go() -> None:
        made = lane(work, waiting_max=1)
        first = asyncio.ensure_future(made.ask(0))
        await asyncio.to_thread(work.entered.wait, 10)
        second = asyncio.ensure_future(made.ask(2))
        await asyncio.sleep(0)
        try:
            with pytest.raises(Unavailable, match="too much is waiting"):
                await made.ask(4)
        finally:
            work.gate.set()
            await asyncio.gather(first, second)
            await made.close()

    asyncio.run(go())
    assert work.batches == [[0], [2]]


def test_closing_does_what_waits_first() -> None:
    work = Doubling()
    work.gate.set()

    async def go() -> int:
        made = lane(work)
        asked = asyncio.ensure_future(made.ask(2))
        await asyncio.sleep(0)
        await made.close()
        return await asked

    assert asyncio.run(go()) == 4


def test_work_that_raises_fails_its_batch_and_the_lane_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: told.set())

    def work(jobs: list[int]) -> list[int]:
        if 0 in jobs:
            raise KeyError("a bug")
        return jobs

    async def go() -> int:
        made: Lane[int, int] = Lane("odd", work, batch_max=8, waiting_max=8)
        with pytest.raises(Unavailable, match="odd: an error of ours"):
            await asyncio.wait_for(made.ask(0), 5)
        answer = await asyncio.wait_for(made.ask(1), 5)
        await made.close()
        return answer

    assert asyncio.run(go()) == 1
    assert told.wait(5)
