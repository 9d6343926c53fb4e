"""Connections that turn out to be closed, whatever the loop calls that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Cut

from millrace.engine.errors import Unavailable
from millrace.engine.operations.counter import Count
from millrace.engine.state import exchange as module
from millrace.engine.state.exchange import Direct
from millrace.engine.state.redis import RedisState


class Connection:
    """Answers, until somebody closes it; then it fails as uvloop's do."""

    def __init__(self) -> None:
        self.closed = False
        self.late = 0.0

    async def connect(self) -> None:
        await asyncio.sleep(self.late / 2)

    async def send_packed_command(self, packed: Any) -> None:
        if self.closed:
            raise RuntimeError("unable to perform operation; the handler is closed")

    async def read_response(self) -> str:
        await asyncio.sleep(self.late)
        return "PONG"

    async def disconnect(self, nowait: bool = False) -> None:
        self.closed = True


class Pool:
    """Remembers whom it made."""

    def __init__(self, *, dead: bool = False) -> None:
        self.made: list[Connection] = []
        self.dead = dead
        self.late = 0.0

    def make_connection(self) -> Connection:
        self.made.append(Connection())
        self.made[-1].closed, self.made[-1].late = self.dead, self.late
        return self.made[-1]


def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    async def go() -> None:
        pool = Pool()
        direct = Direct(pool, 1.0)  # type: ignore[arg-type]
        assert await direct.commands([("PING",)]) == ["PONG"]
        pool.made[0].closed = True
        assert await direct.commands([("PING",)]) == ["PONG"]
        assert len(pool.made) == 2

    asyncio.run(go())


def test_a_connection_that_was_idle_for_long_is_closed_and_not_used(monkeypatch) -> None:
    async def go() -> None:
        pool = Pool()
        direct = Direct(pool, 1.0)  # type: ignore[arg-type]
        for _ in range(2):
            assert await direct.commands([("PING",)]) == ["PONG"]
        assert len(pool.made) == 1
        monkeypatch.setattr(module, "IDLE_S", 0.0)
        assert await direct.commands([("PING",)]) == ["PONG"]
        assert [connection.closed for connection in pool.made] == [True, False]

    asyncio.run(go())


def test_a_server_that_closes_every_connection_is_away() -> None:
    with pytest.raises(Cut, match="handler is closed"):
        asyncio.run(Direct(Pool(dead=True), 1.0).commands([("PING",)]))  # type: ignore[arg-type]


def test_a_round_trip_takes_a_time_out_and_another_where_it_has_to_connect() -> None:
    async def went(state: RedisState) -> float:
        began = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable, match="gave no answer in time"):
            await state.ask(Count("k", 60))
        return asyncio.get_running_loop().time() - began

    async def go() -> tuple[float, float]:
        pool = Pool()
        direct = Direct(pool, 0.2)  # type: ignore[arg-type]
        await direct.commands([("PING",)])
        pool.made[0].late = pool.late = 0.3
        state = RedisState(direct, "here", timeout=0.2)
        return await went(state), await went(state)

    known, new = asyncio.run(go())
    assert 0.2 <= known < new
    assert new >= 0.4


def test_a_connection_that_is_not_there_in_time_is_closed() -> None:
    async def go() -> Pool:
        pool = Pool()
        pool.late = 60.0
        with pytest.raises(TimeoutError):
            await Direct(pool, 0.02).commands([("PING",)])  # type: ignore[arg-type]
        return pool

    (made,) = asyncio.run(go()).made
    assert made.closed


def test_nobody_waits_for_ever_when_a_round_trip_ends_by_an_error_of_ours() -> None:
    class Broken:
        async def commands(self, commands: Any) -> list[Any]:
            raise KeyError("a bug")

        async def close(self) -> None:
            return None

    async def go() -> None:
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        state = RedisState(Broken(), "here")
        with pytest.raises(Unavailable, match="an error of ours"):
            await asyncio.wait_for(state.ask(Count("k", 60)), 5)

    asyncio.run(go())
