"""Greylist: is this sender, network and recipient new to us?

RFC 6647.  A new triplet waits; real senders come back, most spammers do not.  The fact
tells; a rule of the policy defers.  One atomic visit to the state for each recipient.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Literal

from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.finding import Fact
from millrace.engine.mail.session import Peer
from millrace.engine.options import Seconds
from millrace.engine.ports import Clock, GreylistTerms, State

MINUTE, DAY = 60.0, 86400.0


@dataclass(frozen=True, slots=True)
class Greylist(Fact):
    """`wait` is True while the sender must come again; `left` are the seconds until then."""

    state: Literal["new", "early", "passed", "known", "client-known"]
    wait: bool
    left: float
    passes: int
    first: float


@dataclass(frozen=True, slots=True)
class CheckGreylist:
    """Note the visit of a sender, from a network, to a recipient."""

    wait: Annotated[Seconds, "how long a new triplet waits"] = Seconds(5 * MINUTE)
    window: Annotated[Seconds, "how long it may take to come back"] = Seconds(2 * DAY)
    lifetime: Annotated[Seconds, "how long a triplet that passed is known"] = Seconds(36 * DAY)
    allow_after: Annotated[int, "triplets that free a network and sender domain, 0 never"] = 5

    def __post_init__(self) -> None:
        if self.window <= self.wait:
            raise ValueError("window must be longer than wait, or nobody can ever pass")

    async def run(
        self, peer: Peer, sender: Sender, recipient: Recipient, state: State, clock: Clock
    ) -> Greylist:
        network = peer.network
        triplet = _key(network, str(sender).lower(), str(recipient).lower())
        client = _key(network, sender.domain)
        terms = GreylistTerms(self.wait, self.window, self.lifetime, self.allow_after)
        visit = await state.visit(triplet, client, clock.now(), terms)
        waits = visit.state in ("new", "early")
        return Greylist(visit.state, waits, round(visit.left, 3), visit.passes, visit.first)


def _key(*parts: str) -> str:
    """A short key; addresses do not stand in the store as they are."""
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=16).hexdigest()
