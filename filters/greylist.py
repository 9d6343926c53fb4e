"""Greylist: is this sender, network and recipient new to us?

RFC 6647.  A new triplet waits; real senders come back, most spammers do not.  The fact
tells; a rule of the policy defers.  One atomic visit to the state for each recipient.

A store that was emptied (a new one, a flushed Redis) knows nobody: while it is young, new
triplets wait `young_wait` alone, so that not the whole world is late.

Fails: Unavailable when the state is away, but not for who passed at this process before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from millrace.engine.errors import Unavailable
from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.finding import Fact
from millrace.engine.mail.session import Peer
from millrace.engine.operations.birth import AskBirth
from millrace.engine.operations.greylist import NoteVisit, Terms
from millrace.engine.operations.operation import digest
from millrace.engine.options import Seconds
from millrace.engine.ports import State

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


@dataclass(frozen=True, slots=True)
class Greylist(Fact):
    """`wait` is True while the sender must come again; `left` are the seconds until then."""

    state: Literal["new", "early", "passed", "known", "client-known"]
    wait: bool
    left: Seconds
    passes: int
    first: float


_BIRTH = AskBirth()


@dataclass(frozen=True, slots=True)
class CheckGreylist:
    """Note the visit of a sender, from a network, to a recipient."""

    wait: Annotated[Seconds, "how long a new triplet waits"] = Seconds(5 * MINUTE)
    window: Annotated[Seconds, "how long it may take to come back"] = Seconds(2 * DAY)
    lifetime: Annotated[Seconds, "how long a triplet that passed is known"] = Seconds(36 * DAY)
    allow_after: Annotated[int, "triplets that free a network and sender domain, 0 never"] = 5
    young: Annotated[Seconds, "how long a store that began empty is young"] = Seconds(2 * HOUR)
    young_wait: Annotated[Seconds, "how long a new triplet waits while it is"] = Seconds(30.0)

    def __post_init__(self) -> None:
        if self.window <= self.wait:
            raise ValueError("window must be longer than wait, or nobody can ever pass")
        if self.lifetime <= 0 or self.allow_after < 0:
            raise ValueError("lifetime must be above 0, and allow_after not below it")

    async def run(self, peer: Peer, sender: Sender, recipient: Recipient, state: State) -> Greylist:
        network = peer.network
        triplet = digest(network, str(sender).lower(), str(recipient).lower())
        young_until = await self._young_until(state)
        times = (self.wait, self.window, self.lifetime, self.allow_after)
        terms = Terms(*times, self.young_wait, young_until)
        visit = await state.ask(NoteVisit(triplet, digest(network, sender.domain), terms))
        waits = visit.state in ("new", "early")
        return Greylist(
            visit.state, waits, Seconds(round(visit.left, 3)), visit.passes, visit.first
        )

    async def _young_until(self, state: State) -> float:
        """Unix seconds; a store that is away is not young, and the visit has the last word."""
        try:
            return await state.ask(_BIRTH) + self.young
        except Unavailable:
            return 0.0
