"""Scanner and DNS behind breakers: what opens them, and what never does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakes import ManualClock

from millrace.engine.breaker import Breaker, Terms
from millrace.engine.errors import Declined, Unavailable
from millrace.engine.net.guarded import GuardedResolver, GuardedScanner
from millrace.engine.ports import Answer, AnswerStatus


class SaidResolver:
    """Gives the same answer always, and counts."""

    def __init__(self, status: AnswerStatus) -> None:
        self.status, self.asked = status, 0

    async def lookup(self, name: str, kind: str) -> Answer:
        self.asked += 1
        return Answer(self.status)

    async def close(self) -> None: ...


class AwayScanner:
    """Fails as it is told, by socket."""

    def __init__(self, **errors: type[Unavailable]) -> None:
        self.errors, self.asked = errors, 0

    async def scan(self, message: Any, socket: str, timeout: float) -> Any:
        self.asked += 1
        raise self.errors[socket]("clamd", "no")


def breaker(where: str = "") -> Breaker:
    return Breaker("service", where, Terms(failures=3), ManualClock().now, lambda: 0.0)


@pytest.mark.parametrize(
    ("status", "asked"),
    [("timeout", 3), ("servfail", 9), ("nxdomain", 9), ("badname", 9), ("found", 9)],
)
def test_silence_alone_opens_the_breaker_of_the_dns(status: AnswerStatus, asked: int) -> None:
    async def work() -> None:
        for _ in range(9):
            assert (await guarded.lookup("a.example", "A")).status == status

    resolver = SaidResolver(status)
    guarded = GuardedResolver(resolver, breaker())  # type: ignore[arg-type]
    asyncio.run(work())
    assert resolver.asked == asked


def test_each_socket_has_its_breaker_and_a_complaint_opens_none() -> None:
    async def work(socket: str) -> None:
        for _ in range(9):
            with pytest.raises(Unavailable):
                await guarded.scan(None, socket, 1.0)  # type: ignore[arg-type]

    scanner = AwayScanner(a=Unavailable, b=Declined)
    guarded = GuardedScanner(scanner, breaker)  # type: ignore[arg-type]
    for socket in ("a", "b"):
        asyncio.run(work(socket))
    assert {name: each.state for name, each in guarded.breakers.items()} == {
        "a": "open",
        "b": "closed",
    }
    assert scanner.asked == 3 + 9
