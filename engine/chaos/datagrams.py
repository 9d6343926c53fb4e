"""A proxy that breaks datagrams: for name servers, the UDP half of their port.

Of the toxics those count that have a meaning here: `Latency`, `Timeout` (lost), `Forged`.

Fails: OSError when the address cannot be used.
"""

from __future__ import annotations

import asyncio
import random
from typing import Self, cast

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
        self._ways: dict[Address, asyncio.DatagramTransport] = {}

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
        for way in [*self._ways.values(), *([self._door] if self._door else [])]:
            way.close()
        self._ways.clear()
        self._door = None
        await asyncio.sleep(0)  # asyncio closes the socket in the loop's next round

    def asked(self, data: bytes, client: Address) -> None:
        """A datagram of a client's."""
        self.seen += 1
        asyncio.get_running_loop().call_later(self._later("upstream"), self._send, data, client)

    def _send(self, data: bytes, client: Address) -> None:
        for piece in self._poisoned(data, "upstream"):
            way = self._ways.get(client)
            if way is not None:
                way.sendto(piece)
            else:
                self._open(piece, client)

    def _open(self, data: bytes, client: Address) -> None:
        loop = asyncio.get_running_loop()
        made = loop.create_datagram_endpoint(
            lambda: _Way(self, client, data), remote_addr=self.service
        )
        task = loop.create_task(made)
        _pending.add(task)
        task.add_done_callback(_pending.discard)

    def opened(self, way: asyncio.DatagramTransport, client: Address) -> None:
        """A way to the service stands."""
        if self._door is None:
            way.close()
            return
        while len(self._ways) >= CLIENTS_MAX:
            self._ways.pop(next(iter(self._ways))).close()
        self._ways[client] = way

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


_pending: set[asyncio.Task[tuple[asyncio.DatagramTransport, _Way]]] = set()


class _Door(asyncio.DatagramProtocol):
    def __init__(self, proxy: DatagramProxy) -> None:
        self._proxy = proxy

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """See asyncio.DatagramProtocol."""
        self._proxy.asked(data, addr)


class _Way(asyncio.DatagramProtocol):
    def __init__(self, proxy: DatagramProxy, client: Address, first: bytes) -> None:
        self._proxy, self._client, self._first = proxy, client, first

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.DatagramProtocol."""
        way = cast(asyncio.DatagramTransport, transport)
        self._proxy.opened(way, self._client)
        if not way.is_closing():
            way.sendto(self._first)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """See asyncio.DatagramProtocol."""
        self._proxy.answered(data, self._client)
