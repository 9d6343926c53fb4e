"""Listener: accepts connections, one task for each, never more than it may.

Above the limits a peer hears `full` (in its protocol's words) and is let go: a refusal
now is better than a queue in memory.

Fails: never by what a peer does.  An error that leaves `serve` is a bug of the server;
it ends that connection and goes to the loop's exception handler.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from millrace.engine.net.endpoint import Endpoint, bind
from millrace.engine.net.stream import Stream

Serve = Callable[[Stream], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one listener: connections at once, those of one address, idle seconds."""

    connections: int = 1000
    per_address: int = 200
    idle: float = 300.0


class Listener:
    """One listening socket and its connections; `address` is the real one."""

    def __init__(self, endpoint: Endpoint, serve: Serve, bounds: Bounds, full: bytes = b"") -> None:
        self.endpoint = endpoint
        self.bounds = bounds
        self.refused = 0
        self._serve = serve
        self._full = full
        self._tasks: dict[asyncio.Task[None], Stream] = {}
        self._addresses: Counter[str] = Counter()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """`inet:2525@127.0.0.1`: with the port that is truly open."""
        return str(self.endpoint)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._tasks)

    async def start(self, sock: socket.socket) -> None:
        """Accept on a socket that `bind` made."""
        self.endpoint = self.endpoint.of(sock)
        loop = asyncio.get_running_loop()
        if self.endpoint.kind == "unix":
            self._server = await loop.create_unix_server(self._stream, sock=sock)
        else:
            self._server = await loop.create_server(self._stream, sock=sock)

    def stop(self) -> None:
        """Accept no more; what is open goes on."""
        if self._server is not None:
            self._server.close()
            self._server = None
            if self.endpoint.kind == "unix":
                with contextlib.suppress(OSError):
                    os.unlink(self.endpoint.path)

    async def close(self, grace: float = 0.0) -> None:
        """Stop, give open connections `grace` seconds to end, and end the rest."""
        self.stop()
        for stream in self._tasks.values():
            stream.retire()
        if self._tasks and grace > 0:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _stream(self) -> Stream:
        return Stream(self.bounds.idle, self._opened)

    def _opened(self, stream: Stream) -> None:
        task = asyncio.get_running_loop().create_task(self._connection(stream))
        self._tasks[task] = stream
        task.add_done_callback(self._tasks.pop)

    async def _connection(self, stream: Stream) -> None:
        ip = stream.peer.ip
        self._addresses[ip] += 1
        try:
            if self._too_many(ip):
                self.refused += 1
                stream.write(self._full)
            else:
                await self._serve(stream)
            await stream.close()
        finally:
            stream.abort()
            self._addresses[ip] -= 1
            if not self._addresses[ip]:
                del self._addresses[ip]

    def _too_many(self, ip: str) -> bool:
        if len(self._tasks) > self.bounds.connections:
            return True
        # all peers of a Unix socket have the address ""
        return bool(ip) and self._addresses[ip] > self.bounds.per_address


async def listen(
    address: str,
    serve: Serve,
    *,
    bounds: Bounds | None = None,
    full: bytes = b"",
    mode: int | None = None,
    group: str = "",
) -> Listener:
    """Bind and accept; raises Misconfigured when the address is no good."""
    endpoint = Endpoint.parse(address)
    listener = Listener(endpoint, serve, bounds or Bounds(), full)
    await listener.start(bind(endpoint, mode=mode, group=group))
    return listener
