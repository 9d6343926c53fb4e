"""One line of a list's file: the entry, until when it holds, and why.

    example.org      until 2026-12-31    # why it stands here
    .example.org                         # a domain and all below it
    ann@example.org                      # of addresses; @example.org is everybody there
    192.0.2.0/24                         # of networks
    (?i)act now                          # of patterns
    example.org = gold                   # of maps

What is compared is without case, but for patterns and the values of maps.  A day is held to its
end, a time (`2026-12-31T18:00Z`) to the minute, both UTC.

Fails: `read` raises `Unfit`: the sentence, the hint and the column of a line that is no entry.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.policy.listing import ListKind

KINDS: tuple[ListKind, ...] = ("domains", "addresses", "networks", "patterns", "map")
FOREVER = 0xFFFFFFFF  # Unix seconds; what has no end
LINE_MAX = 4096
_DOMAIN = re.compile(r"\.?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_LOCAL = re.compile(r"[^\s@<>\x00-\x1f\x7f]+|\"[^\x00-\x1f\x7f]+\"")
_NOTE = re.compile(r"(?:^|\s)#(.*)$")
_UNTIL = re.compile(r"\s+until\s+(\d\S*)\s*$")
_LOOSE_UNTIL = re.compile(r"\s+(until\b.*)$")
_DATE = "until 2026-12-31, or until 2026-12-31T18:00Z"


class Unfit(ValueError):
    """A line that is no entry; `column` counts from 1."""

    def __init__(self, sentence: str, hint: str = "", column: int = 1, width: int = 1) -> None:
        super().__init__(sentence)
        self.sentence, self.hint, self.column, self.width = sentence, hint, column, width


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: what is looked up, a map's value, Unix seconds of its end, and why."""

    key: str
    value: str = ""
    until: int = FOREVER
    why: str = ""


def read(kind: ListKind, line: str) -> Entry | None:
    """One line; None when it holds nothing but space and a comment."""
    if len(line) > LINE_MAX:
        raise Unfit(f"is longer than {LINE_MAX} characters")
    note = _NOTE.search(line)
    body = line[: note.start()] if note else line
    text = body.strip()
    if not text:
        return None
    column = len(body) - len(body.lstrip()) + 1
    why = note[1].strip() if note else ""
    until = FOREVER
    if ended := _UNTIL.search(body):
        until = _moment(ended[1], ended.start(1) + 1)
        text = body[: ended.start()].strip()
    elif kind not in ("patterns", "map") and (loose := _LOOSE_UNTIL.search(body)):
        raise Unfit("'until' wants a date", _DATE, loose.start(1) + 1, len(loose[1].rstrip()))
    try:
        key, value = _READERS[kind](text)
    except Unfit as unfit:
        width = unfit.width if unfit.width > 1 else len(text)
        raise Unfit(unfit.sentence, unfit.hint, column + unfit.column - 1, width) from None
    return Entry(key, value, until, why)


def written(entry: Entry, kind: ListKind) -> str:
    """The line of an entry, without a line break."""
    text = f"{entry.key} = {entry.value}" if kind == "map" else entry.key
    until = f"   until {shown(entry.until)}" if entry.until != FOREVER else ""
    return text + until + (f"   # {entry.why}" if entry.why else "")


def shown(until: int) -> str:
    """An end as it is written: a day where it is that of a day, or a time."""
    moment = datetime.datetime.fromtimestamp(until, datetime.UTC)
    if moment.time() == datetime.time():
        return (moment - datetime.timedelta(days=1)).strftime("%Y-%m-%d")
    return moment.strftime("%Y-%m-%dT%H:%MZ")


def _moment(text: str, column: int) -> int:
    try:
        if "T" not in text:
            day = datetime.date.fromisoformat(text) + datetime.timedelta(days=1)
            found = datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC)
        else:
            found = datetime.datetime.fromisoformat(text)
            found = found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
        return min(max(int(found.timestamp()), 1), FOREVER - 1)
    except (ValueError, OverflowError):
        raise Unfit(f"'{text}' is no date", _DATE, column, len(text)) from None


def domain(text: str) -> tuple[str, str]:
    """`example.org`, or `.example.org` for all below it too."""
    dot = "." if text.startswith(".") else ""
    name = dot + ascii_domain(text.removeprefix("."))
    if _DOMAIN.fullmatch(name):
        return name, ""
    if " " in text or "\t" in text:
        hint = "A reason stands behind '#', an end behind 'until'."
        raise Unfit(f"'{text}' is more than one entry; each has its line", hint)
    if "*" in text:
        hint = f"Write .{text.lstrip('*').lstrip('.')} for a domain and all below it."
        raise Unfit(f"'{text}' is no domain", hint)
    if "@" in text:
        hint = "A list of addresses is a file that ends in .addresses."
        raise Unfit(f"'{text}' is an address, not a domain", hint)
    raise Unfit(f"'{text}' is no domain", "Such as example.org, or .example.org with all below it.")


def address(text: str) -> tuple[str, str]:
    """`ann@example.org`, or `@example.org` for everybody there."""
    local, at, name = text.rpartition("@")
    if not at:
        raise Unfit(f"'{text}' is no address", "Such as ann@example.org, or @example.org.")
    if local and not _LOCAL.fullmatch(local):
        raise Unfit(f"'{local}' cannot stand before the @", "Write it plainly: ann@example.org.")
    found, _ = domain(name)
    if found.startswith("."):
        hint = f"@{found[1:]} is everybody at that domain; a list of domains can hold {found}."
        raise Unfit("an address names one domain", hint)
    return f"{local.lower()}@{found}", ""


def network(text: str) -> tuple[str, str]:
    """`192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`; returned as a network."""
    try:
        return _plainly(ipaddress.ip_network(text)), ""
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        hint = "Such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32."
        raise Unfit(f"'{text}' is no network", hint) from None
    hint = f"Write {meant}, or the address alone."
    raise Unfit(f"'{text}' has bits behind its mask", hint)


def _plainly(found: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    mapped = getattr(found.network_address, "ipv4_mapped", None)
    if mapped is not None and found.prefixlen >= 96:  # one host has one name here, an IPv4 one
        return f"{mapped}/{found.prefixlen - 96}"
    return str(found)


def pattern(text: str) -> tuple[str, str]:
    """A regular expression as it stands; it is compiled with the whole list."""
    return text, ""


def pair(text: str) -> tuple[str, str]:
    """`key = value`."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise Unfit("is no pair", "Such as example.org = gold.")
    if not key or not value:
        raise Unfit("lacks its key" if not key else "lacks its value", "Such as example.org = gold")
    return folded(key), value


def folded(key: str) -> str:
    """The key of a map, as it is compared."""
    return key.lower()


_READERS: dict[ListKind, Callable[[str], tuple[str, str]]] = {
    "domains": domain,
    "addresses": address,
    "networks": network,
    "patterns": pattern,
    "map": pair,
}
