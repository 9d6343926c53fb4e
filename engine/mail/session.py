"""Who is talking to us: the peer, its greeting, its TLS, its login.

These are facts of one connection ("the visit"); they are sources that a filter
may ask for.  RFC 5321 §4.1.1.1 (HELO), RFC 3207 (TLS), RFC 4954 (login).
"""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import dataclass, field
from typing import Annotated

IpAddress = Annotated[str, "an address in its canonical text"]


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end: `ip` is canonical text, "" when it came over a Unix socket.

    `rdns` is a name that was checked forward and back by whoever gives it, else "".
    """

    ip: IpAddress
    port: int = 0
    rdns: str = ""

    @property
    def network(self) -> str:
        """The /24 (IPv4) or /64 (IPv6) that the peer sits in; "" without an address."""
        return _network(self.ip) if self.ip else ""

    @staticmethod
    def at(text: str, port: int = 0, rdns: str = "") -> Peer:
        """Make one from an address as a wire gives it.

        A zone is dropped and an IPv4-mapped address becomes IPv4, so that one host has one
        name.  Raises ValueError for what is no address; "" is a peer without one.
        """
        return Peer(_canonical(text) if text else "", port, rdns)


# an MTA's own address comes with each connection, a peer's with each mail and recipient
@functools.lru_cache(maxsize=1024)
def _canonical(text: str) -> str:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


@functools.lru_cache(maxsize=1024)
def _network(ip: str) -> str:
    prefix = 64 if ":" in ip else 24
    return str(ipaddress.ip_network(f"{ip}/{prefix}", strict=False))


@dataclass(frozen=True, slots=True)
class Helo:
    """The name that the peer gives itself; `extended` when it said EHLO."""

    name: str
    extended: bool = True


@dataclass(frozen=True, slots=True)
class Tls:
    """The encryption of the connection; `verified` when the peer's certificate was."""

    version: str
    cipher: str
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Login:
    """The peer proved to be `user`."""

    user: str
    mechanism: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """One connection as a record keeps it."""

    id: str
    listener: str
    peer: Peer = field(default_factory=lambda: Peer(""))
    helo: Helo | None = None
    tls: Tls | None = None
    login: Login | None = None
    tenant: str = ""
