"""ARC: who handed this mail on, and does the chain of their seals hold?

RFC 8617.  A forwarder breaks SPF, and a list breaks DKIM; its seal says what it saw before.
The seal is worth what its maker is: `trusted` is true only for a chain that holds and whose
every sealer is listed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Annotated

from millrace.engine.mail.address import DomainName
from millrace.engine.mail.finding import Fact
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Listener, Message
from millrace.engine.mailauth.arc import ArcResult, Chain, judge, read_chain
from millrace.engine.mailauth.bodyhash import BodyHashing, hashed, listeners
from millrace.engine.mailauth.domains import is_under
from millrace.engine.ports import Dns


@dataclass(frozen=True, slots=True)
class Arc(Fact):
    """The chain's result; `sealers` from the oldest to the newest."""

    result: ArcResult
    sealers: tuple[DomainName, ...] = ()
    trusted: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CheckArc:
    """Check the chain, and whether its sealers are trusted."""

    trust: Annotated[tuple[str, ...], "domains whose seals are believed"] = ()

    def listeners(self, headers: Headers) -> Mapping[Hashable, Listener]:
        """A running hash for the newest message signature."""
        return listeners(_wishes(read_chain(headers)))

    async def run(self, message: Message, dns: Dns) -> Arc:
        chain = read_chain(message.headers)
        bodies = hashed(message.body, _wishes(chain))
        found = await judge(chain, message.headers, bodies, dns)
        trusted = found.result == "pass" and all(map(self._trusts, found.sealers))
        return Arc(found.result, found.sealers, trusted, found.reason)

    def _trusts(self, sealer: str) -> bool:
        return any(is_under(sealer, domain.lower()) for domain in self.trust)


def _wishes(chain: Chain) -> list[BodyHashing]:
    return [chain.wish] if chain.wish else []
