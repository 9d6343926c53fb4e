"""Datagram sockets towards one name server: few, short-lived, and hard to guess.

RFC 5452.  A socket for each question would cost more than the whole look-up does.  So there
are a few: each is connected (the kernel draws its port, and drops what comes from
elsewhere), serves some questions for some seconds, and goes.  A question takes one of them
at random, and a random id that is not in use there: who guesses must guess both.

What answers no question is passed over, and the wait goes on.

Fails: `ask` raises `TimeoutError`, or another `OSError` when nobody listens there.
"""

from __future__ import annotations

import asyncio
import os
import socket

from millrace.engine.net.upstream import Upstream
from millrace.engine.ports import RecordType
from millrace.engine.wire.dns.message import Query

DOORS = 16
USES_MAX, AGE_S = 64, 5.0
DATAGRAM_MAX = 4096  # octets; more than we say that we take
UNWANTED_MAX = 32  # wrong datagrams from the server's own address and port: somebody guesses


class Datagrams:
    """The sockets of one server; use it inside one running loop."""

    def __init__(self, server: Upstream) -> None:
        self._server = server
        self._doors: list[_Door | None] = [None] * DOORS

    async def ask(self, name: bytes, kind: RecordType, end: float, *, edns: bool) -> bytes:
        """The reply by that time of the loop; b"" when somebody guesses at it."""
        drawn = os.urandom(3)
        door = self._door(drawn[2] % DOORS)
        number = drawn[0] << 8 | drawn[1]
        while number in door.waiting:
            number = int.from_bytes(os.urandom(2), "big")
        return await door.ask(Query.of(name, kind, number, edns=edns), end)

    def _door(self, at: int) -> _Door:
        door, loop = self._doors[at], asyncio.get_running_loop()
        if door is None or door.uses >= USES_MAX or door.worn_at <= loop.time():
            if door is not None:
                door.retire()
            self._doors[at] = None  # stays so if no socket can be had
            door = self._doors[at] = _Door(self._server, loop)
        return door

    def close(self) -> None:
        """Close all; who waits is told that the server is away."""
        for door in filter(None, self._doors):
            door.fail(ConnectionAbortedError("closed"))
            door.retire()
        self._doors = [None] * DOORS


class _Door:
    """One socket, and the questions that wait behind it, by id."""

    def __init__(self, server: Upstream, loop: asyncio.AbstractEventLoop) -> None:
        self.waiting: dict[int, tuple[Query, asyncio.Future[bytes]]] = {}
        self.uses, self.worn_at = 0, loop.time() + AGE_S
        self._counters, self._loop = server.counters, loop
        self._unwanted, self._retired = 0, False
        self._socket = socket.socket(server.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(server.address)
        except OSError:
            self._socket.close()
            raise
        # by number: a selector that is given the object makes its repr each time
        loop.add_reader(self._socket.fileno(), self._readable)

    async def ask(self, query: Query, end: float) -> bytes:
        """The datagram that answers."""
        self.uses += 1
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self.waiting[query.number] = (query, answer)
        timer = self._loop.call_at(end, _expire, answer)
        try:
            self._socket.send(query.octets)
            return await answer
        except OSError:
            self.worn_at = 0.0
            raise
        finally:
            timer.cancel()
            del self.waiting[query.number]
            if self._retired:
                self.retire()

    def _readable(self) -> None:
        """Take one datagram, or the news that nobody listens there (ICMP)."""
        try:
            data = self._socket.recv(DATAGRAM_MAX)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(error)
            return
        found = self.waiting.get(data[0] << 8 | data[1]) if len(data) > 1 else None
        if found is None or not found[0].is_answered_by(data):
            self._pass_over()
        elif not found[1].done():
            found[1].set_result(data)

    def _pass_over(self) -> None:
        self._counters.unwanted += 1
        self._unwanted += 1
        if self._unwanted >= UNWANTED_MAX:
            self.worn_at = 0.0
            for answer in self._open():
                answer.set_result(b"")

    def _open(self) -> list[asyncio.Future[bytes]]:
        return [answer for _, answer in self.waiting.values() if not answer.done()]

    def fail(self, error: OSError) -> None:
        """Tell all who wait."""
        self.worn_at = 0.0
        for answer in self._open():
            answer.set_exception(error)

    def retire(self) -> None:
        """Close, once nobody waits."""
        self._retired = True
        if not self.waiting and self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()


def _expire(answer: asyncio.Future[bytes]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())
