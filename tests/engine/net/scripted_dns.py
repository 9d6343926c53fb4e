"""A name server that does what a test says, over UDP and TCP on one port of loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from conftest import free_port

Script = Callable[["ScriptedDns", dns.message.Message, str], "bytes | list[bytes] | None"]


class ScriptedDns(asyncio.DatagramProtocol):
    """`script(server, question, "udp" | "tcp")` gives what is sent back; None is silence."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[tuple[dns.message.Message, str]] = []
        self.peers: list[int] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.port = free_port()
        where = ("127.0.0.1", self.port)
        self.udp, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=where)
        self.tcp = await asyncio.start_server(self._talk, *where)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.udp.close()
        self.tcp.close()
        await self.tcp.wait_closed()
        await asyncio.sleep(0)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.peers.append(addr[1])
        for reply in self._said(data, "udp"):
            self.udp.sendto(reply, addr)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        for reply in self._said(await reader.readexactly(size), "tcp"):
            writer.write(reply)
        writer.close()

    def _said(self, data: bytes, over: str) -> list[bytes]:
        question = dns.message.from_wire(data)
        self.asked.append((question, over))
        said = self.script(self, question, over)
        if said is None:
            return []
        said = said if isinstance(said, list) else [said]
        return said if over == "udp" else [self.framed(each) for each in said]

    @staticmethod
    def framed(reply: bytes) -> bytes:
        return len(reply).to_bytes(2, "big") + reply


def reply(question: dns.message.Message, *records: str, code: int = 0, flags: int = 0) -> bytes:
    """A reply to a question, with these records in its answer."""
    message = dns.message.make_response(question)
    message.flags |= dns.flags.RA | flags
    message.set_rcode(code)
    for text in records:
        owner, ttl, cls, kind, data = text.split(" ", 4)
        rrset = message.find_rrset(
            message.answer, dns.name.from_text(owner), cls, kind, create=True
        )
        rrset.add(dns.rdata.from_text(cls, kind, data), int(ttl))
    return message.to_wire(max_size=65535)


def here(question: dns.message.Message, address: str = "192.0.2.1") -> bytes:
    """An A record for whatever was asked."""
    return reply(question, f"{question.question[0].name} 300 IN A {address}")


def deaf() -> tuple[socket.socket, str]:
    """A port that takes datagrams and never answers."""
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    door.bind(("127.0.0.1", 0))
    return door, f"127.0.0.1:{door.getsockname()[1]}"


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())
