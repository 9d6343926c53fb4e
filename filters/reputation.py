"""Reputation: what has come from this network so far, as the model judged it?

Each mail adds to the account of its /24 or /64: its probability of being spam to the bad
side, the rest to the good one; old mail weighs less.  The fact tells how the account stood
before this mail.  It learns from the model's word alone, never from a score that it is a
part of itself, so that no opinion feeds on itself.

    [[weight]]
    name = "reputation"
    when = "reputation.mails >= 20"
    add  = "3 * (reputation.bad - 0.3)"

Fails: Unavailable when the state is away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from millrace.engine.mail.amount import Share
from millrace.engine.mail.finding import Fact
from millrace.engine.mail.session import Login, Peer
from millrace.engine.operations.operation import DAY, digest
from millrace.engine.operations.reputation import AddReputation
from millrace.engine.options import Seconds
from millrace.engine.ports import State
from millrace.filters.spam import Spam


@dataclass(frozen=True, slots=True)
class Reputation(Fact):
    """`bad` is the share of spam, 0.0 to 1.0, among `mails` (old ones count less)."""

    bad: Share = 0.0
    mails: float = 0.0


@dataclass(frozen=True, slots=True)
class WeighNetwork:
    """Add a mail to the account of its network; mail of those with a login is not the network's."""

    half_life: Annotated[Seconds, "after that a mail weighs half"] = Seconds(7 * DAY)

    def __post_init__(self) -> None:
        if self.half_life <= 0:
            raise ValueError("half_life must be above 0")

    async def run(self, peer: Peer, login: Login | None, spam: Spam, state: State) -> Reputation:
        if not peer.network or login is not None:
            return Reputation()
        bad = spam.probability
        key = digest("network", peer.network)
        now = await state.ask(AddReputation(key, self.half_life, 1 - bad, bad))
        mails = max(0.0, now.good + now.bad - 1)
        share = min(1.0, max(0.0, (now.bad - bad) / mails)) if mails > 0.01 else 0.0
        return Reputation(round(share, 3), round(mails, 3))
