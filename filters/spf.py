"""SPF: may this peer send for this sender's domain?

RFC 7208.  Asks the DNS; a failure of it is the result "temperror", never an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from millrace.engine.mail.address import DomainName
from millrace.engine.mail.envelope import Sender
from millrace.engine.mail.finding import Fact
from millrace.engine.mail.session import Helo, Peer
from millrace.engine.mailauth import spf
from millrace.engine.ports import Clock, Dns


@dataclass(frozen=True, slots=True)
class Spf(Fact):
    """What SPF says.

    `scope` is the identity that was checked, `domain` its domain, `term` what matched;
    `explanation` is the domain owner's own text for a fail, and hostile like all text.
    `helo` is the result for the HELO name, "" where it was not checked.
    """

    result: spf.SpfResult
    scope: Literal["mfrom", "helo"]
    domain: DomainName
    term: str = ""
    reason: str = ""
    explanation: str = ""
    helo: Literal[spf.SpfResult, ""] = ""


@dataclass(frozen=True, slots=True)
class CheckSpf:
    """Check MAIL FROM, or HELO for the null sender (RFC 7208 §2.4)."""

    helo: Annotated[bool, "check the HELO name also where there is a sender (RFC 7208 §2.3)"] = (
        False
    )

    async def run(
        self, peer: Peer, helo: Helo | None, sender: Sender, dns: Dns, clock: Clock
    ) -> Spf:
        name, now = helo.name if helo else "", clock.now()
        found = await spf.check(peer.ip, str(sender), sender.domain, name, dns, now=now)
        greeted: Literal[spf.SpfResult, ""] = found.result if found.scope == "helo" else ""
        if self.helo and found.scope == "mfrom":
            greeted = (await spf.check(peer.ip, "", "", name, dns, now=now)).result
        return Spf(
            found.result,
            found.scope,
            found.domain,
            found.term,
            found.reason,
            found.explanation,
            greeted,
        )
