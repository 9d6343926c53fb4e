"""A coroutine's first step is taken at once; the rest goes on in the same task."""

import asyncio

import pytest

from millrace.engine.pipeline.eager import Begun


async def plain() -> str:
    return "at hand"


def test_who_waits_for_nothing_has_ended():
    begun = Begun(plain())
    assert begun.ended
    assert begun.value == "at hand"


def test_who_waits_goes_on_with_what_it_waited_for_in_the_same_task():
    async def whole() -> None:
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()
        tasks = []

        async def slow() -> tuple[int, int]:
            tasks.append(asyncio.current_task())
            found = await first, await second
            tasks.append(asyncio.current_task())
            return found

        begun = Begun(slow())
        assert not begun.ended
        loop.call_soon(first.set_result, 1)
        loop.call_later(0, second.set_result, 2)
        assert await begun == (1, 2)
        assert tasks[0] is tasks[1]

    asyncio.run(whole())


def test_errors_leave_it_at_either_step():
    async def bad() -> None:
        raise ValueError("first")

    async def later() -> None:
        await asyncio.sleep(0)
        raise ValueError("later")

    async def whole() -> None:
        with pytest.raises(ValueError, match="first"):
            Begun(bad())
        with pytest.raises(ValueError, match="later"):
            await Begun(later())

    asyncio.run(whole())


def test_a_cancellation_is_heard_inside_and_a_time_out_ends_it():
    heard = []

    async def patient() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    async def whole() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await Begun(patient())

    asyncio.run(whole())
    assert heard == ["cancelled"]


def test_its_own_time_out_works_inside_a_longer_one():
    async def bounded() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            return "gave up"
        return "waited"

    async def whole() -> None:
        begun = Begun(bounded())
        async with asyncio.timeout(10):
            assert await begun == "gave up"

    asyncio.run(whole())
