"""One question to one name server: over UDP, or over TCP where UDP is too small.

RFC 1035 §4.2, RFC 7766 (TCP).  A reply that says that it was cut, and a question at which
somebody guesses (RFC 5452), go to the same server over TCP, within the same time.

Fails: `TimeoutError`, or another `OSError` when the server cannot be reached or hangs up.
"""

from __future__ import annotations

import asyncio
import os

from millrace.engine.net.datagrams import Datagrams
from millrace.engine.net.upstream import Upstream
from millrace.engine.ports import RecordType
from millrace.engine.wire.dns.message import Query, truncated


class Exchange:
    """The way to one server; use it inside one running loop."""

    def __init__(self, server: Upstream) -> None:
        self.server = server
        self._datagrams = Datagrams(server)

    async def ask(self, name: bytes, kind: RecordType, timeout: float, *, edns: bool) -> bytes:
        """The server's reply, whole, within the time."""
        end = asyncio.get_running_loop().time() + timeout
        data = await self._datagrams.ask(name, kind, end, edns=edns)
        if data and not truncated(data):
            self.server.counters.outcomes["udp"] += 1
            return data
        query = Query.of(name, kind, int.from_bytes(os.urandom(2), "big"), edns=edns)
        async with asyncio.timeout_at(end):
            data = await _over_tcp(self.server, query)
        self.server.counters.outcomes["tcp"] += 1
        return data

    def close(self) -> None:
        """Let go of sockets."""
        self._datagrams.close()


async def _over_tcp(server: Upstream, query: Query) -> bytes:
    """RFC 1035 §4.2.2: each message behind two octets of its length."""
    reader, writer = await asyncio.open_connection(*server.address)
    try:
        writer.write(len(query.octets).to_bytes(2, "big") + query.octets)
        size = int.from_bytes(await reader.readexactly(2), "big")
        data = await reader.readexactly(size)
    except asyncio.IncompleteReadError:
        raise ConnectionResetError("the server hung up") from None
    finally:
        writer.close()
    if not query.is_answered_by(data):
        raise ConnectionAbortedError("the server answered something else")
    return data
