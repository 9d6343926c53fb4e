"""Look-ups over the network: a stub resolver of our own.

RFC 1035, RFC 6891 (EDNS), RFC 5452 (forged answers, see `net.datagrams`), RFC 6840 §5.7 (AD
asked for, and kept where the server is trusted).  Servers are asked in the operator's order;
one that did not answer is asked last for some seconds.  SERVFAIL and REFUSED send the
question to the next server; when all have said so, that is the answer.
A server that does not know EDNS is asked without.

Which server is trusted for DNSSEC: one on loopback, or each where the operator says so; the
AD bit of any other may have been set by anybody on the way.

Fails: never; "servfail" is what a server said, "timeout" that none of them answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from millrace.engine.net.exchange import Exchange
from millrace.engine.net.upstream import PLAIN_S, RESTS_S, Upstream, in_turn, parse
from millrace.engine.ports import Answer, RecordType
from millrace.engine.wire import dns
from millrace.engine.wire.dns.message import BADVERS, FORMERR, NOTIMP, REFUSED, Reply
from millrace.engine.wire.dns.names import encoded

TIMEOUT = 2.0  # seconds for one try
TRIES = 2
OVERALL_S = 10.0  # for one look-up, over all servers and tries
IN_FLIGHT_MAX = 256  # sockets
_WITHOUT_EDNS: Final = (FORMERR, NOTIMP, BADVERS)


class StubResolver:
    """Asks recursive servers; make it inside the running loop.

    `servers` as `upstream.parse` reads them; `trusted` says that the AD bit of all of them
    is believed.  `timeout` seconds for one try, `overall` for one look-up.
    """

    def __init__(
        self,
        servers: Sequence[str],
        timeout: float = TIMEOUT,
        tries: int = TRIES,
        *,
        trusted: bool = False,
        overall: float = OVERALL_S,
    ) -> None:
        self.upstreams = [parse(each) for each in servers]
        self._ways = {id(each): Exchange(each) for each in self.upstreams}
        self._timeout, self._tries, self._overall = timeout, max(tries, 1), overall
        self._trusted = trusted
        self._seats = asyncio.Semaphore(IN_FLIGHT_MAX)

    async def lookup(self, name: str, kind: RecordType) -> Answer:
        """Ask the servers, one after the other, until one knows."""
        octets = encoded(name)
        if octets is None:
            return Answer("badname")
        async with self._seats:
            return await self._looked_up(octets, kind)

    async def _looked_up(self, name: bytes, kind: RecordType) -> Answer:
        clock = asyncio.get_running_loop().time
        end = clock() + self._overall
        failed: Answer | None = None
        for _ in range(self._tries):
            for server in in_turn(self.upstreams, clock()):
                left = min(self._timeout, end - clock())
                if left <= 0:
                    return failed or Answer("timeout")
                answer = await self._asked(server, name, kind, left)
                if answer is not None and not answer.failed:
                    return answer
                failed = answer or failed
                server.counters.failovers += 1
            if failed is not None:
                return failed  # who has spoken will say the same again
        return failed or Answer("timeout")

    async def _asked(
        self, server: Upstream, name: bytes, kind: RecordType, timeout: float
    ) -> Answer | None:
        """One server's answer; None when it gave none."""
        clock = asyncio.get_running_loop().time
        outcomes = server.counters.outcomes
        began = clock()
        try:
            reply = await self._replied(server, name, kind, timeout)
        except TimeoutError:
            outcomes["timeout"] += 1
        except OSError:
            outcomes["unreachable"] += 1
        except dns.Malformed:
            outcomes["malformed"] += 1
            return Answer("servfail")
        else:
            server.rests_until = 0.0
            answer = dns.answer(reply, kind, trusted=self._trusted or server.loopback)
            if answer.failed:
                outcomes["refused" if reply.code == REFUSED else "servfail"] += 1
            return answer
        finally:
            server.counters.seconds += clock() - began
        server.rests_until = clock() + RESTS_S
        return None

    async def _replied(
        self, server: Upstream, name: bytes, kind: RecordType, timeout: float
    ) -> Reply:
        clock = asyncio.get_running_loop().time
        end, edns = clock() + timeout, server.plain_until <= clock()
        ask = self._ways[id(server)].ask
        reply = dns.read(await ask(name, kind, timeout, edns=edns), kind)
        if not edns or reply.code not in _WITHOUT_EDNS:
            return reply
        plain = dns.read(await ask(name, kind, max(end - clock(), 0.0), edns=False), kind)
        if plain.code not in _WITHOUT_EDNS:
            server.plain_until = clock() + PLAIN_S
        return plain

    async def close(self) -> None:
        """Let go of sockets."""
        for way in self._ways.values():
            way.close()
