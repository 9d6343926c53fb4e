"""The servers that a stub resolver asks: addresses, health, counters.

Addresses are `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53`, `[2001:db8::53]:5353`.
Without any, the machine's own are taken: resolv.conf(5) with its `nameserver` lines and the
options `timeout` and `attempts`, all bounded.

Fails: `parse` raises `Misconfigured` for what is no address; a resolv.conf that cannot be
read, or names nobody, means the server on loopback, as for the C library.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from millrace.engine.errors import Fault, Misconfigured

PORT = 53
SERVERS_MAX = 8
TIMEOUT_MAX, ATTEMPTS_MAX = 30, 5  # what resolv.conf(5) allows
RESOLV_CONF = Path("/etc/resolv.conf")
RESTS_S = 10.0  # how long a server that did not answer is asked last
PLAIN_S = 900.0  # how long a server that refused EDNS is asked without
_BRACKETS = re.compile(r"\[([^\]]+)\](?::(\d{1,5}))?")
_OPTION = re.compile(r"(timeout|attempts):(\d{1,4})")


@dataclass(slots=True)
class UpstreamCounters:
    """What became of the questions to one server, and the seconds that they took."""

    outcomes: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("udp", "tcp", "servfail", "refused", "timeout", "unreachable", "malformed"), 0
        )
    )
    failovers: int = 0  # how often another server was asked in its place
    unwanted: int = 0  # datagrams that answered nothing that was asked
    seconds: float = 0.0


@dataclass(slots=True)
class Upstream:
    """One server; `name` is as the operator wrote it, times are those of the loop."""

    name: str
    family: socket.AddressFamily
    address: tuple[str, int]
    loopback: bool
    counters: UpstreamCounters = field(default_factory=UpstreamCounters)
    rests_until: float = 0.0
    plain_until: float = 0.0


def parse(text: str) -> Upstream:
    """Read one address."""
    bracketed = _BRACKETS.fullmatch(text)
    host, port = text, str(PORT)
    if bracketed:
        host, port = bracketed[1], bracketed[2] or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        ip = ipaddress.ip_address(host)
        if not 0 < int(port) < 65536:
            raise ValueError(port)
    except ValueError:
        hint = 'It reads like "192.0.2.53", "127.0.0.1:5353" or "[2001:db8::53]:53".'
        raise Misconfigured(Fault(f"dns.servers: '{text}' is no address", hint)) from None
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    return Upstream(text, family, (host, int(port)), ip.is_loopback)


@dataclass(frozen=True, slots=True)
class Host:
    """What the machine's own configuration says; None where it is silent."""

    servers: tuple[str, ...] = ("127.0.0.1",)
    timeout: float | None = None
    attempts: int | None = None


def of_host(path: Path = RESOLV_CONF) -> Host:
    """Read resolv.conf."""
    try:
        return read(path.read_bytes()[:65536].decode("utf-8", "replace"))
    except OSError:
        return Host()


def read(text: str) -> Host:
    """Understand the text of a resolv.conf; what it cannot use is passed over."""
    servers: list[str] = []
    options: dict[str, int] = {}
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if words[:1] == ["nameserver"] and len(words) > 1 and _usable(words[1]):
            servers.append(words[1])
        elif words[:1] == ["options"]:
            options |= _options(words[1:])
    timeout, attempts = options.get("timeout"), options.get("attempts")
    return Host(
        tuple(dict.fromkeys(servers))[:SERVERS_MAX] or Host().servers,
        None if timeout is None else float(min(max(timeout, 1), TIMEOUT_MAX)),
        None if attempts is None else min(max(attempts, 1), ATTEMPTS_MAX),
    )


def _usable(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _options(words: Iterable[str]) -> dict[str, int]:
    found = (_OPTION.fullmatch(word) for word in words)
    return {match[1]: int(match[2]) for match in found if match}


def in_turn(servers: Sequence[Upstream], now: float) -> list[Upstream]:
    """In the operator's order, those that just failed last."""
    if not any(each.rests_until > now for each in servers):
        return list(servers)
    return sorted(servers, key=lambda each: each.rests_until > now)
