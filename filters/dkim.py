"""DKIM: who signed this mail, and do the signatures still hold?

RFC 6376, RFC 8301, RFC 8463.  A long body is hashed in a thread, so that it delays
nobody else's mail.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from millrace.engine.mail.finding import Fact
from millrace.engine.mail.message import Message
from millrace.engine.mailauth.bodyhash import hash_body
from millrace.engine.mailauth.dkim import DkimResult, Signature, judge, read_signatures, whole
from millrace.engine.ports import Clock, Dns

LONG = 1 << 20  # octets; hashing takes 3.5 ms for each MiB


@dataclass(frozen=True, slots=True)
class Dkim(Fact):
    """The best result of all signatures, and each of them from the top down."""

    result: DkimResult
    signatures: tuple[Signature, ...] = ()

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains (d=) whose signature passed."""
        return tuple(s.domain for s in self.signatures if s.result == "pass")

    @property
    def reason(self) -> str:
        """The first signature's reason, "" when there is none."""
        return next((s.reason for s in self.signatures if s.reason), "")


@dataclass(frozen=True, slots=True)
class CheckDkim:
    """Verify up to eight signatures."""

    async def run(self, message: Message, dns: Dns, clock: Clock) -> Dkim:
        unjudged = read_signatures(message.headers, clock.now())
        if not unjudged:
            return Dkim("none")
        wishes = {each.wish for each in unjudged if each.wish}
        if message.body.size > LONG:
            bodies = await asyncio.to_thread(hash_body, message.body.chunks(), wishes)
        else:
            bodies = hash_body(message.body.chunks(), wishes)
        signatures = await judge(unjudged, message.headers, bodies, dns)
        return Dkim(whole(signatures), signatures)
