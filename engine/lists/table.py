"""A compiled list that answers: its image lies in memory, or in a mapped file.

Fails: `opened` raises ValueError for an image that is none; look-ups never raise.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from millrace.engine.lists import hashed, ranges
from millrace.engine.lists.entries import FOREVER, folded
from millrace.engine.lists.image import Image
from millrace.engine.lists.patterns import Patterns
from millrace.engine.mailauth.domains import ascii_domain

Clock = Callable[[], float]


class Table(Protocol):
    """What a list holds at one moment."""

    def holds(self, value: str) -> bool:
        """Whether an entry that has not ended holds the value."""
        ...

    def value(self, key: str) -> str | None:
        """A map's value."""
        ...


class _Keyed:
    """The keys of a hash table, in force or ended."""

    def __init__(self, image: Image, clock: Clock) -> None:
        self._find, self._clock = hashed.finder(image), clock

    def _held(self, key: bytes) -> bool:
        found = self._find(key)
        return found is not None and (found[0] == FOREVER or found[0] > self._clock())

    def value(self, key: str) -> str | None:
        return None


class Domains(_Keyed):
    """Exact names, and names with all below them; depths that no entry has are not looked up."""

    def __init__(self, image: Image, clock: Clock) -> None:
        super().__init__(image, clock)
        self._exact: int = image.head["exact"]  # bit n: an entry of n + 1 labels
        self._below: int = image.head["below"]

    def holds(self, value: str) -> bool:
        name = _name(value)
        dots = name.count(b".")
        if self._exact >> dots & 1 and self._held(name):
            return True
        return self._below != 0 and bool(name) and self._is_below(b"." + name, dots)

    def _is_below(self, name: bytes, dots: int) -> bool:
        at = 0
        while at >= 0:
            if self._below >> dots & 1 and self._held(name[at:]):
                return True
            at, dots = name.find(b".", at + 1), dots - 1
        return False


class Addresses(_Keyed):
    """Whole addresses, and `@domain` for everybody there."""

    def holds(self, value: str) -> bool:
        local, _, name = value.rpartition("@")
        domain = b"@" + _name(name)
        return self._held(_octets(local.lower()) + domain) or self._held(domain)


class Networks:
    """Addresses in networks."""

    def __init__(self, image: Image, clock: Clock) -> None:
        self._search, self._clock = ranges.searcher(image), clock

    def holds(self, value: str) -> bool:
        address = ranges.number(value)
        until = self._search(address) if address is not None else 0
        return until == FOREVER or until > self._clock()

    def value(self, key: str) -> str | None:
        return None


class Map(_Keyed):
    """Keys with values; it holds its keys."""

    def __init__(self, image: Image, clock: Clock) -> None:
        super().__init__(image, clock)
        self._records = image.section("records")

    def holds(self, value: str) -> bool:
        return self._held(_octets(folded(value)))

    def value(self, key: str) -> str | None:
        found = self._find(_octets(folded(key)))
        if found is None or not (found[0] == FOREVER or found[0] > self._clock()):
            return None
        return bytes(self._records[found[1] : found[2]]).decode()


def _name(text: str) -> bytes:
    if text.isascii():
        return text.lower().removesuffix(".").encode()
    return ascii_domain(text).encode()


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # a lone surrogate equals no entry


_TABLES: dict[str, Callable[[Image, Clock], Table]] = {
    "domains": Domains,
    "addresses": Addresses,
    "networks": Networks,
    "patterns": Patterns,
    "map": Map,
}


def opened(data: memoryview, clock: Clock = time.time) -> tuple[Table, dict[str, Any]]:
    """The table of an image, and the image's head."""
    image = Image(data)
    return _TABLES[image.head["kind"]](image, clock), image.head


def mapped(path: Path) -> memoryview:
    """A file, as memory that all processes share."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
