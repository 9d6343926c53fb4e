"""A proxy that breaks datagrams: for name servers, the UDP half of their port.

Of the toxics those count that have a meaning here: `Latency`, `Timeout` (lost), `Forged`.

Fails: OSError when the address cannot be used.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, Self, cast

from millrace.engine.chaos.toxics import Direction, Forged, Latency, Timeout, Toxic

CLIENTS_MAX = 512  # sockets towards the service; the eldest is closed

Address = tuple[str, int]


class DatagramProxy:
    """One port before one service; an async context manager."""

    def __init__(self, host: str, port: int, service: Address) -> None:
        self.address: Address = (host, port)
        self.service = service
        self.toxics: dict[str, Toxic] = {}
        self.seen = 0
        self._random = random.Random()
        self._door: asyncio.DatagramTransport | None = None
        self._ways: dict[Address, _Way] = {}
        self._opening: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    def add(self, name: str, toxic: Toxic) -> None:
        """Poison every datagram from now on."""
        self.toxics[name] = toxic

    def remove(self, name: str) -> None:
        """Take a toxic away."""
        self.toxics.pop(name, None)

    async def up(self) -> None:
        """Open the port; a port 0 is chosen once and kept."""
        if self._door is None:
            loop = asyncio.get_running_loop()
            door, _ = await loop.create_datagram_endpoint(
                lambda: _Door(self), local_addr=self.address
            )
            self._door = door
            self.address = door.get_extra_info("sockname")[:2]

    async def down(self) -> None:
        """Be dead: the kernel answers that nobody listens."""
        if self._door is not None:
            self._door.close()
        self._door = None
        for way in self._ways.values():
            way.close()
        self._ways.clear()
        await asyncio.gather(*self._opening, return_exceptions=True)
        await asyncio.sleep(0)  # asyncio closes the socket in the loop's next round

    def asked(self, data: bytes, client: Address) -> None:
        """A datagram of a client's."""
        self.seen += 1
        asyncio.get_running_loop().call_later(self._later("upstream"), self._send, data, client)

    def _send(self, data: bytes, client: Address) -> None:
        for piece in self._poisoned(data, "upstream"):
            if self._door is not None:
                (self._ways.get(client) or self._open(client)).send(piece)

    def _open(self, client: Address) -> _Way:
        while len(self._ways) >= CLIENTS_MAX:
            self._ways.pop(next(iter(self._ways))).close()
        way = self._ways[client] = _Way(self, client)
        loop = asyncio.get_running_loop()
        made = loop.create_datagram_endpoint(lambda: way, remote_addr=self.service)
        task = loop.create_task(made)
        self._opening.add(task)
        task.add_done_callback(self._opened)
        return way

    def _opened(self, task: asyncio.Task[Any]) -> None:
        self._opening.discard(task)
        task.exception()  # a service without a route loses datagrams, as the network would

    def answered(self, data: bytes, client: Address) -> None:
        """A datagram of the service's."""
        later = self._later("downstream")
        asyncio.get_running_loop().call_later(later, self._return, data, client)

    def _return(self, data: bytes, client: Address) -> None:
        for piece in self._poisoned(data, "downstream"):
            if self._door is not None:
                self._door.sendto(piece, client)

    def _poisoned(self, data: bytes, direction: Direction) -> list[bytes]:
        for toxic in self._active(direction):
            if isinstance(toxic, Timeout):
                return []
            if isinstance(toxic, Forged):
                data = toxic.rewrite(data)
        return [data] if data else []

    def _later(self, direction: Direction) -> float:
        late = [toxic for toxic in self._active(direction) if isinstance(toxic, Latency)]
        swing = self._random.uniform
        return max(sum(t.latency + swing(-t.jitter, t.jitter) for t in late) / 1000, 0.0)

    def _active(self, direction: Direction) -> list[Toxic]:
        return [toxic for toxic in self.toxics.values() if toxic.stream == direction]


class _Door(asyncio.DatagramProtocol):
    def __init__(self, proxy: DatagramProxy) -> None:
        self._proxy = proxy

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """See asyncio.DatagramProtocol."""
        self._proxy.asked(data, addr)


class _Way(asyncio.DatagramProtocol):
    """A client's socket towards the service; what comes before it stands waits."""

    def __init__(self, proxy: DatagramProxy, client: Address) -> None:
        self._proxy, self._client = proxy, client
        self._waiting: list[bytes] = []
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = False

    def send(self, data: bytes) -> None:
        """Towards the service."""
        if self._transport is None:
            self._waiting.append(data)
        elif not self._closed:
            self._transport.sendto(data)

    def close(self) -> None:
        """Be gone, now or as soon as it stands."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.DatagramProtocol."""
        self._transport = cast(asyncio.DatagramTransport, transport)
        if self._closed:
            transport.close()
            return
        for data in self._waiting:
            self._transport.sendto(data)
        self._waiting.clear()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """See asyncio.DatagramProtocol."""
        self._proxy.answered(data, self._client)
