"""One round trip with Redis: commands out, their replies back in order.

`Direct` holds connections of its own and writes all commands of a round trip at once: half
the work of the library's pool and pipeline.  `Clustered` leaves it to the library to find
the node of each key.

A round trip may take `timeout` seconds, and as many again where it has to connect.

Fails: TimeoutError, RedisError and OSError, which the store translates; a connection on
which something failed is closed.  An error that the server replied stands among the replies.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

from redis.asyncio import ConnectionPool
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as Cut
from redis.exceptions import InvalidResponse, ResponseError

Command = tuple[bytes | str | float, ...]
IDLE_S = 30.0  # a connection that was idle for longer may have been forgotten on the way
PATIENCE = 2  # time-outs for all of a round trip: one to connect, one for the answer


class Exchange(Protocol):
    """What a store needs of Redis."""

    async def commands(self, commands: Sequence[Command]) -> list[Any]:
        """Send all, and tell the reply of each, or the error that it was answered with."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class Direct:
    """With one server, or with whom the Sentinels call the master; `pool` makes connections.

    Who asks over a connection that turns out to be closed asks once more over a new one.
    """

    def __init__(self, pool: ConnectionPool, timeout: float) -> None:
        self._pool, self._timeout = pool, timeout
        self._idle: list[tuple[Any, float]] = []  # since when; who came back last is the last

    async def commands(self, commands: Sequence[Command]) -> list[Any]:
        """One round trip."""
        try:
            return await self._in_time(commands)
        except RuntimeError as error:  # so uvloop calls a socket that was closed meanwhile
            raise Cut(str(error)) from None
        except UnicodeError as error:
            raise InvalidResponse(f"no text: {error}") from None

    async def close(self) -> None:
        """Close what is idle; what is under way closes itself."""
        await self._let_go(nowait=False)

    async def _let_go(self, *, nowait: bool) -> None:
        while self._idle:
            await self._idle.pop()[0].disconnect(nowait=nowait)

    async def _in_time(self, commands: Sequence[Command]) -> list[Any]:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with asyncio.timeout_at(begun + self._timeout) as limit:
            if self._idle and begun - self._idle[-1][1] < IDLE_S:
                with contextlib.suppress(Cut, RuntimeError):
                    return await self._asked(self._idle.pop()[0], commands, loop)
            # what is idle for longer still, or was cut with it; the peer may never say goodbye
            await self._let_go(nowait=True)
            limit.reschedule(begun + PATIENCE * self._timeout)
            return await self._asked(await self._connected(), commands, loop)

    async def _connected(self) -> Any:  # noqa: ANN401
        connection: Any = self._pool.make_connection()  # type: ignore[no-untyped-call]
        there = False
        try:
            await connection.connect()
            there = True
        finally:
            if not there:  # our time may be over in the midst of the greeting
                await connection.disconnect(nowait=True)
        # from here on ours count: the library's cost a task and calls of the kernel for each write
        connection.socket_timeout = None
        connection.health_check_interval = 0
        return connection

    async def _asked(
        self,
        connection: Any,  # noqa: ANN401
        commands: Sequence[Command],
        loop: asyncio.AbstractEventLoop,
    ) -> list[Any]:
        replies: list[Any] = []
        try:
            await connection.send_packed_command(_packed(commands))
            for _ in commands:
                replies.append(await _reply(connection))  # noqa: PERF401 - counted below
        finally:
            if len(replies) == len(commands):
                self._idle.append((connection, loop.time()))
            else:  # whoever came next would read what is left
                await connection.disconnect(nowait=True)
        return replies


def _packed(commands: Sequence[Command]) -> bytes:
    """As arrays of bulk strings, the one form that every server takes."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for word in command:
            data = word if isinstance(word, bytes) else str(word).encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


async def _reply(connection: Any) -> Any:  # noqa: ANN401 - whatever the server says
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


class Clustered:
    """With a cluster; the library opens, moves and closes connections."""

    def __init__(self, client: RedisCluster, timeout: float) -> None:
        self._client, self._timeout = client, timeout

    async def commands(self, commands: Sequence[Command]) -> list[Any]:
        """One round trip with each node that holds one of the keys."""
        async with asyncio.timeout(PATIENCE * self._timeout):
            try:
                return await self._pipeline(commands)
            except Cut:
                return await self._pipeline(commands)

    async def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        pipeline: Any = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
