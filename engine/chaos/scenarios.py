"""What can be done to a copy: each scenario breaks one thing, and mends it again.

`begin` breaks, `end` mends; between them the mails flow on.  What has no `service` hurts
processes, so connections may be lost with them.

Fails: what the copy and its proxies raise.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass

from millrace.engine.chaos.site import Site
from millrace.engine.chaos.toxics import Forged, Latency, LimitData, ResetPeer, Timeout, Toxic

SLOW_MS = 3000.0
Step = Callable[[Site], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One drill; `service` "" hurts processes."""

    name: str
    words: str
    begin: Step
    end: Step
    service: str = ""

    @property
    def hurts(self) -> bool:
        """Whether processes of ours are hurt."""
        return not self.service


def nothing(_: Site) -> None:
    """Nothing is to be done."""


def _poisoned(service: str, fault: str, words: str, toxic: Toxic) -> Scenario:
    return Scenario(
        f"{service}-{fault}",
        words,
        lambda site: site.ways.poison(service, toxic),
        lambda site: site.ways.cure(service),
        service,
    )


def _down(service: str, words: str) -> Scenario:
    return Scenario(
        f"{service}-down",
        words,
        lambda site: site.ways.down(service),
        lambda site: site.ways.up(service),
        service,
    )


def _lie(datagram: bytes) -> bytes:
    """A reply to somebody else's question, or one that breaks off: by the question's number."""
    if datagram[1:2] and datagram[1] & 1:
        return bytes([datagram[0] ^ 0xFF]) + datagram[1:]
    return datagram[:15]


SCENARIOS = (
    _down("state", "the store refuses connections"),
    _poisoned("state", "silent", "the store takes what is sent, and says nothing", Timeout()),
    _poisoned("state", "slow", "the store answers three seconds late", Latency(SLOW_MS)),
    _poisoned("state", "cut", "the store resets each connection that it was asked on", ResetPeer()),
    _down("dns", "no name server is there"),
    _poisoned("dns", "silent", "name servers say nothing", Timeout()),
    _poisoned("dns", "slow", "name servers answer three seconds late", Latency(SLOW_MS)),
    _poisoned("dns", "lying", "replies are forged, or cut short", Forged(_lie)),
    _down("clamd", "the scanner refuses connections"),
    _poisoned("clamd", "silent", "the scanner takes mails, and says nothing", Timeout()),
    _poisoned("clamd", "cut", "the scanner dies in the midst of its answer", LimitData(5)),
    Scenario(
        "worker-killed", "a worker gets SIGKILL", lambda site: site.hurt(signal.SIGKILL), nothing
    ),
    Scenario(
        "worker-stopped", "a worker gets SIGSTOP", lambda site: site.hurt(signal.SIGSTOP), nothing
    ),
    Scenario(
        "daemon-killed",
        "the supervisor gets SIGKILL, and is started again",
        Site.kill,
        Site.start,
    ),
)
