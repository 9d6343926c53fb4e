"""The scanner and the DNS behind breakers: while they are away they are not asked.

Each socket of a scanner has a breaker of its own.  A scanner that said no word of its
own, and a look-up that no name server answered, are failures; a complaint of clamd about one
mail and a SERVFAIL are answers.  A single name may lie on servers that never speak, so a
row of silent look-ups is longer than others before the DNS counts as away.

Fails: `Unavailable` as the scanner does, and at once for what a breaker spares; a look-up
that is spared is answered "timeout".
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable

from millrace.engine.breaker import Breaker
from millrace.engine.errors import Declined, Unavailable
from millrace.engine.mail.message import Message
from millrace.engine.net.clamd import ClamdScanner
from millrace.engine.net.dns import Resolver
from millrace.engine.ports import Answer, RecordType, Scan

SILENT_ROW = 20  # look-ups


class GuardedScanner:
    """The Scanner port before another; `made` makes the breaker of a socket."""

    def __init__(self, scanner: ClamdScanner, made: Callable[[str], Breaker]) -> None:
        self.scanner, self._made = scanner, made
        self.breakers: dict[str, Breaker] = {}

    def breaker(self, socket: str) -> Breaker:
        """The breaker of a socket."""
        found = self.breakers.get(socket)
        if found is None:
            found = self.breakers[socket] = self._made(socket)
        return found

    async def scan(self, message: Message, socket: str, timeout: float) -> Scan:
        """Scan the whole mail, if the scanner answers these days."""
        breaker = self.breaker(socket)
        began = breaker.admit()
        try:
            scan = await self.scanner.scan(message, socket, timeout)
        except Declined:
            breaker.succeeded()
            raise
        except Unavailable as error:
            breaker.failed(began, error.detail)
            raise
        except CancelledError:
            breaker.cancelled(began)
            raise
        breaker.succeeded()
        return scan


class GuardedResolver:
    """A resolver before another."""

    def __init__(self, resolver: Resolver, breaker: Breaker) -> None:
        self.resolver, self.breaker = resolver, breaker

    async def lookup(self, name: str, kind: RecordType) -> Answer:
        """Look up, if any name server answers these days."""
        breaker = self.breaker
        try:
            began = breaker.admit()
        except Unavailable:
            return Answer("timeout")
        try:
            answer = await self.resolver.lookup(name, kind)
        except CancelledError:
            breaker.cancelled(began)
            raise
        if answer.status == "timeout":
            breaker.failed(began, "no name server answers")
        elif answer.status == "badname":
            breaker.cancelled(began)  # nobody was asked
        else:
            breaker.succeeded()
        return answer

    async def close(self) -> None:
        """Let go of sockets."""
        await self.resolver.close()
