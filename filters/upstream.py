"""Upstream: what did the relay in front of us find of this mail?

RFC 8601 §5.  Behind a relay our peer is not the sender, so that SPF belongs to the relay,
which wrote its results into Authentication-Results.  They are believed when the peer is
listed, the field bears a listed authserv-id, and it stands above every Received field: a
relay puts its Received on top of all that came to it, so nobody but itself can write there.
`hops` lets that many Received fields stand above, for relays that write below their own;
then the relay must remove fields that forge its name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from millrace.engine.mail.address import DomainName
from millrace.engine.mail.finding import Fact
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.session import Peer
from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.mailauth.results import Method, claimed_id, read

FIELDS_MAX = 10
_WORDS = frozenset(
    ["none", "pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror"]
)
_BEST = ("pass", "temperror", "fail", "policy", "permerror", "neutral", "none")


@dataclass(frozen=True, slots=True)
class Upstream(Fact):
    """The results of the relay; a word is "" where it says nothing, all are for strangers.

    `dkim` is the best of its signatures, `dkim_domains` those that passed.
    """

    authserv_id: str = ""
    spf: str = ""
    spf_domain: DomainName = ""
    dkim: str = ""
    dkim_domains: tuple[DomainName, ...] = ()
    dmarc: str = ""
    arc: str = ""


@dataclass(frozen=True, slots=True)
class BelieveUpstream:
    """Take the results of a listed relay as facts."""

    peers: Annotated[tuple[str, ...], 'networks of the relays, such as "192.0.2.0/24"'] = ()
    authserv_ids: Annotated[tuple[str, ...], "the names that their results bear"] = ()
    hops: Annotated[int, "how many Received fields may stand above their results"] = 0

    def __post_init__(self) -> None:
        for network in self.peers:
            ipaddress.ip_network(network)  # ValueError is told at load

    def run(self, peer: Peer, headers: Headers) -> Upstream:
        if not self._listed(peer.ip):
            return Upstream()
        found: list[Method] = []
        who = ""
        for value in self._believed(headers):
            results = read(value)
            # one relay speaks: fields of another listed name below it are its predecessor's
            if results is not None and who in ("", results.authserv_id):
                who = results.authserv_id
                found += results.methods
        return _told(who, [method for method in found if method.result in _WORDS])

    def _listed(self, ip: str) -> bool:
        address = ipaddress.ip_address(ip) if ip else None
        return address is not None and any(
            address in ipaddress.ip_network(network) for network in self.peers
        )

    def _believed(self, headers: Headers) -> Iterator[bytes]:
        ours = {name.lower().rstrip(".") for name in self.authserv_ids}
        received, fields = 0, 0
        for name, value in headers:
            received += name.lower() == b"received"
            if received > self.hops or fields >= FIELDS_MAX:
                return
            if name.lower() == b"authentication-results" and claimed_id(value) in ours:
                fields += 1
                yield value


def _told(who: str, methods: list[Method]) -> Upstream:
    spf = [m for m in methods if m.name == "spf"]
    # a result for HELO alone proves no sender
    sent = next((m for m in spf if _property(m, "smtp", "mailfrom")), None)
    dkim = [m for m in methods if m.name == "dkim"]
    words = [m.result for m in dkim]
    passed = (_signer(m) for m in dkim if m.result == "pass")
    return Upstream(
        who,
        sent.result if sent else "",
        _domain(_property(sent, "smtp", "mailfrom")) if sent else "",
        next((word for word in _BEST if word in words), ""),
        tuple(dict.fromkeys(filter(None, passed))),
        _first(methods, "dmarc"),
        _first(methods, "arc"),
    )


def _first(methods: list[Method], name: str) -> str:
    return next((m.result for m in methods if m.name == name), "")


def _property(method: Method, kind: str, name: str) -> str:
    return next((v for k, n, v in method.properties if (k, n) == (kind, name)), "")


def _signer(method: Method) -> str:
    return _domain(_property(method, "header", "d") or _property(method, "header", "i"))


def _domain(value: str) -> str:
    return ascii_domain(value.rpartition("@")[2])
