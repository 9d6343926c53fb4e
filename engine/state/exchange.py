"""One round trip with Redis: commands out, their replies back in order.

`Direct` holds connections of its own and writes all commands of a round trip at once: a
third less work than the library's pool and pipeline.  `Clustered` leaves it to the
library to find the node of each key.

Fails: RedisError and OSError, which the store translates; a connection on which something
failed is closed.  An error that the server replied stands among the replies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from redis.asyncio import ConnectionPool
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as Cut
from redis.exceptions import InvalidResponse, ResponseError

Command = tuple[Any, ...]


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

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._idle: list[Any] = []

    async def commands(self, commands: Sequence[Command]) -> list[Any]:
        """One round trip."""
        try:
            return await self._over(self._idle.pop() if self._idle else None, commands)
        except Cut:
            await self.close()  # those that are idle were cut with it
            return await self._over(None, commands)

    async def close(self) -> None:
        """Close what is idle; what is under way closes itself."""
        while self._idle:
            await self._idle.pop().disconnect()

    async def _over(self, known: Any, commands: Sequence[Command]) -> list[Any]:  # noqa: ANN401
        connection: Any = known or self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            return await self._asked(connection, commands)
        except RuntimeError as error:  # so uvloop calls a socket that was closed meanwhile
            raise Cut(str(error)) from None
        except UnicodeError as error:
            raise InvalidResponse(f"no text: {error}") from None

    async def _asked(self, connection: Any, commands: Sequence[Command]) -> list[Any]:  # noqa: ANN401
        replies: list[Any] = []
        try:
            await connection.connect()  # does nothing where it is there
            await connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                replies.append(await _reply(connection))  # noqa: PERF401 - counted below
        finally:
            if len(replies) == len(commands):
                self._idle.append(connection)
            else:  # whoever came next would read what is left
                await connection.disconnect(nowait=True)
        return replies


async def _reply(connection: Any) -> Any:  # noqa: ANN401 - whatever the server says
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


class Clustered:
    """With a cluster; the library opens, moves and closes connections."""

    def __init__(self, client: RedisCluster) -> None:
        self._client = client

    async def commands(self, commands: Sequence[Command]) -> list[Any]:
        """One round trip with each node that holds one of the keys."""
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
