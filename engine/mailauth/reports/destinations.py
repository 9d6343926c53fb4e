"""Where a domain wants its reports, and whether they may go there.

RFC 9989 §4.7 (`rua`), RFC 9990 §3.5 (sizes) and §4 (destinations elsewhere must agree,
by a TXT record at `<policy domain>._report._dmarc.<destination>`).

Only `mailto:` is known.  A size limit such as `!10m` is RFC 7489's; who writes one does
not want more, so it is kept.

Fails: never.  DNS trouble is "later", a destination that does not agree is "refused".
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass
from typing import Literal

from millrace.engine.mailauth.dmarc import Trouble, Walker
from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.ports import Dns

DESTINATIONS_MAX = 5  # of one domain; RFC 7489 §6.2 asks for two at least
URIS_MAX = 20  # that are looked at
_MAILTO = re.compile(r"mailto:([^!\s]{1,320})(?:!(\d{1,18})([kmgt]?))?", re.I)
_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_VERSION = re.compile(r"v\s*=\s*DMARC1\s*(;|$)")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True, slots=True)
class Destination:
    """One address; `limit` in octets of the attachment on its way, 0 for none."""

    address: str
    limit: int = 0

    @property
    def host(self) -> str:
        """Its domain."""
        return self.address.rpartition("@")[2]

    def takes(self, octets: int) -> bool:
        """Whether a report of this size is wanted."""
        return not self.limit or octets <= self.limit


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one wish: addresses that may be used, or why there are none."""

    status: Literal["agreed", "refused", "later"]
    destinations: tuple[Destination, ...] = ()
    why: str = ""


def parse(rua: str) -> tuple[Destination, ...]:
    """The addresses of a `rua` tag, each once, in its order; what is no address is left out."""
    found: dict[str, Destination] = {}
    for uri in rua.split(",")[:URIS_MAX]:
        destination = _destination(uri.strip())
        if destination is not None:
            found.setdefault(destination.address, destination)
    return tuple(found.values())[:DESTINATIONS_MAX]


def _destination(uri: str) -> Destination | None:
    matched = _MAILTO.fullmatch(uri)
    if matched is None:
        return None
    address = urllib.parse.unquote(matched[1].partition("?")[0])
    local, _, host = address.rpartition("@")
    domain = ascii_domain(host)
    if not _LOCAL.fullmatch(local) or "." not in domain or not re.fullmatch(r"[\w.-]+", domain):
        return None
    return Destination(
        f"{local}@{domain}", int(matched[2] or 0) * _UNITS[(matched[3] or "").lower()]
    )


async def check(policy_domain: str, wanted: Destination, dns: Dns) -> Answer:
    """May reports about `policy_domain` go there?  RFC 9990 §4."""
    try:
        walker = Walker(dns)
        home = await walker.organization(policy_domain)
        if await walker.organization(wanted.host) == home:
            return Answer("agreed", (wanted,))
    except Trouble as trouble:
        return Answer("later", (), str(trouble))
    name = f"{policy_domain}._report._dmarc.{wanted.host}"
    if not ascii_domain(name):
        return Answer("refused", (), f"{name} is too long to be asked for")
    answer = await dns.ask(name, "TXT")
    if answer.failed:
        return Answer("later", (), f"DNS {answer.status} for {name}")
    texts = [text.decode("utf-8", "replace") for text in answer.texts]
    agreeing = [text for text in texts if _VERSION.match(text)]
    if not agreeing:
        return Answer("refused", (), f"{wanted.host} does not agree: no v=DMARC1 at {name}")
    return _overridden(wanted, agreeing)


def _overridden(wanted: Destination, texts: list[str]) -> Answer:
    """The confirming record may name another address of the same host."""
    for text in texts:
        tags = (part.partition("=") for part in text.split(";"))
        rua = next((value for name, _, value in tags if name.strip().lower() == "rua"), "")
        if not rua.strip():
            continue
        others = parse(rua)
        if not others or any(other.host != wanted.host for other in others):
            return Answer("refused", (), f"{wanted.host} sends it on to somebody else")
        return Answer("agreed", others)
    return Answer("agreed", (wanted,))
