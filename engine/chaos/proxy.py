"""A proxy that breaks streams: it stands before a service; toxics come and go.

TCP and Unix sockets, by endpoint.  `down` is what a dead service looks like: the door is
closed and every connection reset; `up` opens it at the same address again.
A toxic that is added works on connections that are open too.

Fails: OSError when the address cannot be used; a service that is away ends the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from pathlib import Path
from typing import Self

from millrace.engine.chaos.toxics import (
    Bandwidth,
    Direction,
    Forged,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
    slices,
)
from millrace.engine.net.endpoint import Endpoint

PIECE = 1 << 14
HELD_MAX = 64  # pieces under way in one direction
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


class Proxy:
    """One door before one service; an async context manager."""

    def __init__(self, listen: Endpoint, service: Endpoint, seed: int | None = None) -> None:
        self.listen, self.service = listen, service
        self.toxics: dict[str, Toxic] = {}
        self.accepted = 0
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    # --- faults

    def add(self, name: str, toxic: Toxic) -> None:
        """Poison every connection from now on, those that are open too."""
        self.toxics[name] = toxic

    def remove(self, name: str) -> None:
        """Take a toxic away; what a `Timeout` held back is lost, so its connections end."""
        gone = self.toxics.pop(name, None)
        if isinstance(gone, Timeout):
            for link in [each for each in self._links if gone.stream in each.starved]:
                link.cut()

    def cut(self) -> None:
        """Reset every connection; new ones may come."""
        for link in list(self._links):
            link.cut(reset=True)

    async def down(self) -> None:
        """Be dead: nobody listens, every connection is reset."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.cut()
        tasks = [link.task for link in self._links if link.task is not None]
        if tasks:
            await asyncio.wait(tasks)
        _unlink(self.listen)

    async def up(self) -> None:
        """Open the door; a port 0 is chosen once and kept."""
        if self._server is not None:
            return
        _unlink(self.listen)
        if self.listen.kind == "unix":
            self._server = await asyncio.start_unix_server(self._came, self.listen.path)
            return
        where = (self.listen.host, self.listen.port)
        self._server = await asyncio.start_server(self._came, *where, family=self.listen.family)
        port = self._server.sockets[0].getsockname()[1]
        self.listen = Endpoint.parse(f"{self.listen.kind}:{port}@{self.listen.host}")

    # --- connections

    def active(self, direction: Direction) -> list[Toxic]:
        """What poisons this direction now."""
        return [toxic for toxic in self.toxics.values() if toxic.stream == direction]

    def draw(self, low: int, high: int) -> int:
        """A whole number between the two."""
        return self._random.randint(low, high)

    def swing(self, jitter: float) -> float:
        """Between minus and plus `jitter`."""
        return self._random.uniform(-jitter, jitter)

    async def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = _Link(self, asyncio.current_task())
        link.writers.append(writer)
        self._links.add(link)
        try:
            far_reader, far_writer = await _reached(self.service)
            link.writers.append(far_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(_Pump(link, "upstream", far_writer).run(reader))
                both.create_task(_Pump(link, "downstream", writer).run(far_reader))
        except* (OSError, EOFError, asyncio.CancelledError):
            pass  # an end of any kind, ours included, is what we are for
        finally:
            link.close()
            self._links.discard(link)


def _unlink(door: Endpoint) -> None:
    if door.kind == "unix":
        Path(door.path).unlink(missing_ok=True)


async def _reached(service: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if service.kind == "unix":
        return await asyncio.open_unix_connection(service.path)
    return await asyncio.open_connection(service.host, service.port, family=service.family)


class _Link:
    """One connection through the proxy: both its sockets."""

    def __init__(self, proxy: Proxy, task: asyncio.Task[None] | None) -> None:
        self.proxy, self.task = proxy, task
        self.writers: list[asyncio.StreamWriter] = []
        self.starved: set[Direction] = set()

    def cut(self, *, reset: bool = False) -> None:
        """End it at once."""
        for writer in self.writers:
            if reset:
                _reset(writer)
            writer.transport.abort()
        if self.task is not None:
            self.task.cancel()

    def close(self) -> None:
        """Let go of both sockets; what was written still goes out."""
        for writer in self.writers:
            with contextlib.suppress(OSError):
                writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    opened = writer.get_extra_info("socket")
    if opened is not None and opened.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


class _Pump:
    """One direction: read, hold for as long as the latency says, then let the toxics at it."""

    def __init__(self, link: _Link, direction: Direction, out: asyncio.StreamWriter) -> None:
        self._link, self._direction, self._out = link, direction, out
        self._held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(HELD_MAX)
        self._passed = 0

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Until the end of one side, or of the connection."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._take(reader))
            both.create_task(self._give())

    async def _take(self, reader: asyncio.StreamReader) -> None:
        loop, data = asyncio.get_running_loop(), b"?"
        while data:
            data = await reader.read(PIECE)
            await self._held.put((loop.time() + self._lateness(), data))

    def _lateness(self) -> float:
        """Seconds."""
        proxy = self._link.proxy
        late = [t for t in proxy.active(self._direction) if isinstance(t, Latency)]
        return max(sum(t.latency + proxy.swing(t.jitter) for t in late) / 1000, 0.0)

    async def _give(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await self._held.get()
            await asyncio.sleep(max(due - loop.time(), 0.0))
            if not data:
                break
            await self._poisoned(data)
        await self._end()

    async def _poisoned(self, data: bytes) -> None:
        pieces, pause, rate = [data], 0.0, 0.0
        for toxic in self._link.proxy.active(self._direction):
            match toxic:
                case Timeout():
                    await self._starve(toxic)
                    return
                case ResetPeer():
                    await asyncio.sleep(toxic.timeout / 1000)
                    self._link.cut(reset=True)
                    return
                case Slicer():
                    cut = [slices(each, toxic, self._link.proxy.draw) for each in pieces]
                    pieces, pause = [piece for many in cut for piece in many], toxic.delay / 1e6
                case Bandwidth():
                    rate = toxic.rate * 1000
                case Forged():
                    pieces = [toxic.rewrite(each) for each in pieces]
                case _:
                    pass  # of the reading side, of the end, or of each piece
        for piece in pieces:
            await self._pass(piece)
            await asyncio.sleep(pause + (len(piece) / rate if rate else 0.0))

    async def _starve(self, toxic: Timeout) -> None:
        self._link.starved.add(self._direction)
        if toxic.timeout:
            await asyncio.sleep(toxic.timeout / 1000)
            self._link.cut()

    async def _pass(self, piece: bytes) -> None:
        limits = [t for t in self._link.proxy.active(self._direction) if isinstance(t, LimitData)]
        left = min((toxic.bytes - self._passed for toxic in limits), default=len(piece))
        self._out.write(piece[: max(left, 0)])
        self._passed += min(max(left, 0), len(piece))
        await self._out.drain()
        if limits and left <= len(piece):
            self._link.close()
            raise EOFError

    async def _end(self) -> None:
        late = [t for t in self._link.proxy.active(self._direction) if isinstance(t, SlowClose)]
        await asyncio.sleep(sum(toxic.delay for toxic in late) / 1000)
        if self._out.can_write_eof():
            self._out.write_eof()
