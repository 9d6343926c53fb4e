"""Dnsbl: does a list in the DNS name this peer, and what does it say of it?

RFC 5782.  One filter is one list: give it a name, and policies may ask `zen.listed` or
`'pbl' in zen.meanings`, weigh it, and give each list its own `timeout` and `on_error`.

Fails: Unavailable when the list does not answer, or answers that it does not serve us.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Annotated

from millrace.engine.errors import Unavailable
from millrace.engine.mail.finding import Fact
from millrace.engine.mail.session import Peer
from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.ports import Answer, Dns

CODES = ipaddress.ip_network("127.0.0.0/8")  # RFC 5782 §2.3; all else is a parked or stolen domain
REFUSALS = ipaddress.ip_network("127.255.255.0/24")  # large lists' word for "not to you"
REASON_MAX = 200


@dataclass(frozen=True, slots=True)
class Listed(Fact):
    """Whether the peer is on the list; `codes` as it answered, `meanings` by the options.

    `reason` is the list's own text, when `text` asks for it.
    """

    listed: bool
    codes: tuple[str, ...] = ()
    meanings: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AskList:
    """Ask one list; addresses that nobody routes are not asked about."""

    zone: Annotated[str, "the list's domain"]
    codes: Annotated[
        tuple[str, ...], 'what answers mean: "127.0.0.2=spam", "127.0.0.10/31=pbl"'
    ] = ()
    only_known: Annotated[bool, "count only answers that `codes` names"] = False
    text: Annotated[bool, "ask for the list's reason, too"] = False

    def __post_init__(self) -> None:
        if not ascii_domain(self.zone):
            raise ValueError(f"zone: '{self.zone}' is no domain name")
        for entry in self.codes:
            _meaning(entry)  # ValueError is told at load

    async def run(self, peer: Peer, dns: Dns) -> Listed:
        if not peer.ip or not ipaddress.ip_address(peer.ip).is_global:
            return Listed(False)
        name = f"{_reversed(peer.ip)}.{ascii_domain(self.zone)}"
        found = self._codes(await dns.ask(name, "A"))
        known = [_meaning(entry) for entry in self.codes]
        meanings = [word for network, word in known if any(code in network for code in found)]
        listed = bool(meanings if self.only_known else found)
        reason = await self._reason(name, dns) if listed and self.text else ""
        return Listed(listed, tuple(map(str, found)), tuple(dict.fromkeys(meanings)), reason)

    def _codes(self, answer: Answer) -> list[ipaddress.IPv4Address]:
        if answer.failed:
            raise Unavailable(f"list {self.zone}", f"the DNS says {answer.status}")
        found = [ipaddress.IPv4Address(str(record)) for record in answer.records[:20]]
        if any(code in REFUSALS for code in found):
            raise Unavailable(f"list {self.zone}", f"it does not serve us ({found[0]})")
        return [code for code in found if code in CODES]

    async def _reason(self, name: str, dns: Dns) -> str:
        texts = (await dns.ask(name, "TXT")).texts
        said = texts[0].decode("utf-8", "replace")[:REASON_MAX] if texts else ""
        return "".join(ch if ch.isprintable() else "?" for ch in said)


def _reversed(ip: str) -> str:
    """RFC 5782 §2.1 (octets), §2.4 (nibbles of IPv6)."""
    return ipaddress.ip_address(ip).reverse_pointer.rpartition(".")[0].rpartition(".")[0]


def _meaning(entry: str) -> tuple[ipaddress.IPv4Network, str]:
    network, equals, word = entry.partition("=")
    if not equals or not word.strip():
        raise ValueError(f"codes: '{entry}' is not CODE=WORD, such as \"127.0.0.2=spam\"")
    try:
        return ipaddress.IPv4Network(network.strip()), word.strip()
    except ValueError as error:
        raise ValueError(f"codes: {error}") from None
