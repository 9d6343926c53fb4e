"""Listener: accepts connections, one task for each, never more than it may.

Above the limits a peer hears `full` (in its protocol's words) and is let go: a refusal
now is better than a queue in memory.

Several workers may stand at one door.  They share its bounds by a `Seat` each.  Where they
share the very socket too (a Unix path has only one), whoever has clearly more connections than
the idlest waits a moment before it accepts, since the kernel wakes them all.

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

from millrace.engine.census import Census, Seat
from millrace.engine.net.endpoint import BACKLOG, Endpoint, bind
from millrace.engine.net.stream import Stream

Serve = Callable[[Stream], Awaitable[None]]
YIELD_S = 0.002  # how long the busier worker leaves a connection to the others
SETTLE_S = 0.02  # what the kernel gave us before a stop becomes a connection meanwhile
ABOVE = 1.25  # times the fewest connections of any worker, and two, is clearly more


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one listener: connections at once, those of one address, idle seconds."""

    connections: int = 1000
    per_address: int = 200
    idle: float = 300.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker stands: its seat among all, and which of the daemon's doors this is."""

    seat: Seat
    door: int = 0

    @staticmethod
    def alone() -> Place:
        """The only worker, the only door."""
        return Place(Census(1, 1).seat(0))


class Listener:
    """One listening socket and its connections; `address` is the real one."""

    def __init__(
        self,
        endpoint: Endpoint,
        serve: Serve,
        bounds: Bounds,
        full: bytes = b"",
        place: Place | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.bounds = bounds
        self.refused = 0
        self._serve = serve
        self._full = full
        self._place = place or Place.alone()
        self._seat, self._door = self._place.seat, self._place.seat.door(self._place.door)
        self._shared: socket.socket | None = None
        self._owns_path = True
        self._tasks: dict[asyncio.Task[None], Stream] = {}
        self._adopting: set[asyncio.Task[None]] = set()
        self._addresses: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop  # from `start` on

    @property
    def address(self) -> str:
        """`inet:2525@127.0.0.1`: with the port that is truly open."""
        return str(self.endpoint)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._tasks)

    async def start(
        self, sock: socket.socket, *, shared: bool = False, given: bool = False
    ) -> None:
        """Accept on a listening socket.

        `shared`: other processes accept on it too; `given`: its path is not ours to remove.
        """
        self.endpoint = self.endpoint.of(sock)
        self._owns_path = not given
        self._loop = loop = asyncio.get_running_loop()
        if shared:
            self._shared = sock
            loop.add_reader(sock.fileno(), self._knock)
        elif self.endpoint.kind == "unix":
            self._server = await loop.create_unix_server(self._stream, sock=sock, backlog=BACKLOG)
        else:
            self._server = await loop.create_server(self._stream, sock=sock, backlog=BACKLOG)

    def stop(self) -> None:
        """Accept no more; what is open goes on."""
        if self._shared is not None:
            asyncio.get_running_loop().remove_reader(self._shared.fileno())
            self._shared.close()
            self._shared = None
        elif self._server is not None:
            self._server.close()
            self._server = None
        else:
            return
        if self.endpoint.kind == "unix" and self._owns_path:
            with contextlib.suppress(OSError):
                os.unlink(self.endpoint.path)

    async def close(self, grace: float = 0.0, patience: float = 0.0) -> None:
        """Stop, give open connections `grace` seconds to end, and end the rest.

        For `patience` seconds of them, even those at rest go on: an MTA whose milter ends
        between two mails of a session defers the second.
        """
        self.stop()
        if grace > 0:
            await asyncio.sleep(SETTLE_S)
        if self._tasks and patience > 0:
            await asyncio.wait(self._tasks, timeout=patience)
            grace = max(grace - patience, 0.0)
        for stream in self._tasks.values():
            stream.retire()
        if self._tasks and grace > 0:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # --- a socket that others accept on too

    def _knock(self) -> None:
        """Somebody waits at the door; take one, or leave it to a worker with less to do."""
        if self._shared is None:
            return
        if self._has_clearly_more():
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._shared.fileno())
            loop.call_later(YIELD_S, self._look_again)
            return
        self._accept()

    def _look_again(self) -> None:
        if self._shared is not None:
            self._accept()  # nobody else took it, or there is nothing
            asyncio.get_running_loop().add_reader(self._shared.fileno(), self._knock)

    def _accept(self) -> None:
        assert self._shared is not None
        try:
            sock, _ = self._shared.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:  # no descriptor left: let some connections end first
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._shared.fileno())
            loop.call_later(1.0, self._look_again)
            return
        sock.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._adopt(sock))
        self._adopting.add(task)
        task.add_done_callback(self._adopting.discard)

    async def _adopt(self, sock: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._stream, sock)
        except OSError:
            sock.close()

    def _has_clearly_more(self) -> bool:
        fewest = self._seat.fewest(self._door)
        return len(self._tasks) > fewest * ABOVE + 2

    # --- one connection

    def _stream(self) -> Stream:
        return Stream(self.bounds.idle, self._opened)

    def _opened(self, stream: Stream) -> None:
        task = self._loop.create_task(self._connection(stream))
        self._tasks[task] = stream
        task.add_done_callback(self._tasks.pop)

    async def _connection(self, stream: Stream) -> None:
        ip = stream.peer.ip
        column = self._seat.client(self._place.door, ip) if ip else None
        try:
            if self._too_many(ip, column):
                self.refused += 1
                stream.write(self._full)
                await stream.close()
            else:
                await self._counted(stream, column)
        finally:
            stream.abort()

    async def _counted(self, stream: Stream, column: int | None) -> None:
        # only who is let in takes room: who is sent away must not have the next one sent away
        self._count(stream.peer.ip, column, 1)
        try:
            await self._serve(stream)
            await stream.close()
        finally:
            self._count(stream.peer.ip, column, -1)

    def _count(self, ip: str, column: int | None, amount: int) -> None:
        self._seat.add(self._door, amount)
        if column is not None:
            self._seat.add(column, amount)
        self._addresses[ip] += amount
        if not self._addresses[ip]:
            del self._addresses[ip]

    def _too_many(self, ip: str, column: int | None) -> bool:
        if self._seat.total(self._door) >= self.bounds.connections:
            return True
        if column is None:  # all peers of a Unix socket have the address ""
            return False
        return self._addresses[ip] + self._seat.others(column) >= self.bounds.per_address


@dataclass(frozen=True, slots=True)
class Given:
    """A listening socket that somebody else opened; `shared` when others accept on it too."""

    sock: socket.socket
    shared: bool = False


async def listen(
    address: str,
    serve: Serve,
    *,
    bounds: Bounds | None = None,
    full: bytes = b"",
    mode: int | None = None,
    group: str = "",
    place: Place | None = None,
    given: Given | None = None,
) -> Listener:
    """Bind (or take what is given) and accept; Misconfigured when the address is no good."""
    endpoint = Endpoint.parse(address)
    listener = Listener(endpoint, serve, bounds or Bounds(), full, place)
    if given is not None:
        await listener.start(given.sock, shared=given.shared, given=True)
    else:
        await listener.start(bind(endpoint, mode=mode, group=group))
    return listener
