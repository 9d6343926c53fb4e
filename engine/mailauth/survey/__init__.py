"""A domain's records for mail, looked at together: what to mend.

    line        one finding, its state, and the mending
    spf         who may send: the tree of records, what it costs, how it may be flattened
    dkim        the keys that selectors publish
    dmarc       the policy, and where its reports go
    transport   MX, reverse names, MTA-STS, TLS reports, TLSA

Every part is `async def look(…, dns)` over the `Dns` port and gives lines, so that the whole
works offline from a zone file.

Fails: never; what the DNS does not answer is the state "unknown".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from millrace.engine.mailauth.survey import dkim, dmarc, spf, transport
from millrace.engine.mailauth.survey.line import Line
from millrace.engine.ports import Dns


@dataclass(frozen=True, slots=True)
class Subject:
    """What to look at: an A-label domain, selectors that must be there, addresses that send.

    `own` are the records of the keys that sign here, by selector.
    """

    domain: str
    selectors: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)


async def survey(subject: Subject, dns: Dns) -> list[Line]:
    """All lines, in the order in which one mends them."""
    answer = await dns.ask(subject.domain, "TXT")
    if answer.status == "nxdomain":
        return [Line("DNS", "wrong", "there is no such domain", "Look at its spelling.")]
    lines: list[Line] = []
    lines += await spf.look(subject.domain, dns)
    lines += await dkim.look(subject.domain, subject.selectors, dns, subject.own)
    lines += await dmarc.look(subject.domain, dns)
    lines += await transport.look(subject.domain, subject.addresses, dns)
    return lines


def worst(lines: Sequence[Line]) -> str:
    """The state of all: "unknown" where the DNS failed, "wrong" where something is, else "ok"."""
    states = {line.state for line in lines}
    return next((state for state in ("unknown", "wrong") if state in states), "ok")
