"""Dnsbl: does a list in the DNS name this peer, and what does it say of it?

RFC 5782.  One filter is one list: give it a name, and policies may ask `zen.listed` or
`'pbl' in zen.meanings`, weigh it, and give each list its own `timeout` and `on_error`.

Fails: Unavailable when the list does not answer, answers that it does not serve us, or
lists everybody: whoever is listed is held against 127.0.0.1, which no list may hold.
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
NOBODY = {4: "127.0.0.1", 6: "::ffff:127.0.0.1"}  # RFC 5782 §5: never listed
REASON_MAX = 200
# no peer has one of these but in a drill, which should find what it would find in earnest
DOCUMENTATION = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"),
    )
)


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
    """Ask one list; addresses of private networks are not asked about."""

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
        if not peer.ip or not _public(peer.ip):
            return Listed(False)
        name = self._name(peer.ip)
        found = self._codes(await dns.ask(name, "A"))
        known = [_meaning(entry) for entry in self.codes]
        meanings = [word for network, word in known if any(code in network for code in found)]
        listed = bool(meanings if self.only_known else found)
        if listed:
            await self._doubt(peer.ip, dns)
        reason = await self._reason(name, dns) if listed and self.text else ""
        return Listed(listed, tuple(map(str, found)), tuple(dict.fromkeys(meanings)), reason)

    def _name(self, ip: str) -> str:
        return f"{_reversed(ip)}.{ascii_domain(self.zone)}"

    async def _doubt(self, ip: str, dns: Dns) -> None:
        """A list that was given up may answer for every name; the cache answers this mostly."""
        nobody = NOBODY[ipaddress.ip_address(ip).version]
        answer = await dns.ask(self._name(nobody), "A")
        if not answer.failed and self._codes(answer):
            raise Unavailable(f"list {self.zone}", f"it lists everybody, {nobody} too")

    def _codes(self, answer: Answer) -> list[ipaddress.IPv4Address]:
        if answer.failed:
            raise Unavailable(f"list {self.zone}", f"the DNS says {answer.status}")
        found = [ipaddress.IPv4Address(str(record)) for record in answer.records[:20]]
        for code in found:
            if code in REFUSALS:
                raise Unavailable(f"list {self.zone}", f"it does not serve us ({code})")
        return [code for code in found if code in CODES]

    async def _reason(self, name: str, dns: Dns) -> str:
        texts = (await dns.ask(name, "TXT")).texts
        said = texts[0].decode("utf-8", "replace")[:REASON_MAX] if texts else ""
        return "".join(ch if ch.isprintable() else "?" for ch in said)


def _public(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    return address.is_global or any(address in network for network in DOCUMENTATION)


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
