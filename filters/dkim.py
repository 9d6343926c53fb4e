"""DKIM: who signed this mail, and do the signatures still hold?

RFC 6376, RFC 8301, RFC 8463.  A large body is hashed in small pieces while it arrives, so
that it delays nobody else's mail.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from millrace.engine.mail.address import DomainName
from millrace.engine.mail.finding import Fact
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Listener, Message
from millrace.engine.mailauth.bodyhash import hashed, listeners
from millrace.engine.mailauth.dkim import (
    DkimResult,
    Signature,
    judge,
    read_signatures,
    whole,
    wishes,
)
from millrace.engine.ports import Clock, Dns


@dataclass(frozen=True, slots=True)
class Dkim(Fact):
    """The best result of all signatures, and each of them from the top down."""

    result: DkimResult
    signatures: tuple[Signature, ...] = ()

    @property
    def domains(self) -> tuple[DomainName, ...]:
        """The domains (d=) whose signature passed."""
        return tuple(s.domain for s in self.signatures if s.result == "pass")

    @property
    def appended(self) -> bool:
        """Whether the body goes on behind what a passing signature covers (l=)."""
        return any(s.appended and s.result == "pass" for s in self.signatures)

    @property
    def reason(self) -> str:
        """The first signature's reason, "" when there is none."""
        return next((s.reason for s in self.signatures if s.reason), "")


@dataclass(frozen=True, slots=True)
class CheckDkim:
    """Verify up to eight signatures."""

    distrust_length: Annotated[
        bool, "a signature behind whose l= the body goes on does not pass, but is policy"
    ] = False

    def listeners(self, headers: Headers) -> Mapping[Hashable, Listener]:
        """A running hash for each that the signatures want."""
        return listeners(wishes(headers))

    async def run(self, message: Message, dns: Dns, clock: Clock) -> Dkim:
        unjudged = read_signatures(message.headers, clock.now())
        if not unjudged:
            return Dkim("none")
        bodies = hashed(message.body, [each.wish for each in unjudged if each.wish])
        signatures = await judge(unjudged, message.headers, bodies, dns)
        if self.distrust_length:
            signatures = tuple(map(_distrusted, signatures))
        return Dkim(whole(signatures), signatures)


def _distrusted(signature: Signature) -> Signature:
    """RFC 6376 §8.2: whoever appends to such a mail speaks in the signer's name."""
    if signature.result != "pass" or not signature.appended:
        return signature
    return replace(signature, result="policy", reason="the body goes on behind l=")
