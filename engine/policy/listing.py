"""Named lists, as conditions see them: a value is held, a key has a value.

A list is alive: what it holds may change between two mails, and a condition asks it anew
each time.

Fails: never; a list that cannot be read is refused before a condition meets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

ListKind = Literal["domains", "addresses", "networks", "patterns", "map"]


class Listing(Protocol):
    """One named list, alive: what it holds may change while conditions ask it."""

    @property
    def name(self) -> str:
        """As conditions write it: `lists.NAME`."""
        ...

    @property
    def kind(self) -> ListKind:
        """What its entries are."""
        ...

    def holds(self, value: str) -> bool:
        """Whether the value is held; never raises, and expired entries are not held."""
        ...

    def value(self, key: str) -> str | None:
        """A map's value; None for other kinds or unknown keys."""
        ...


EXAMPLES: dict[str, str] = {
    "domains": "from.domain in lists.NAME",
    "addresses": "sender in lists.NAME",
    "networks": "peer.ip in lists.NAME",
    "patterns": "headers.subject in lists.NAME",
    "map": "lists.NAME[from.domain] == 'gold'",
}  # how a condition asks each kind

Lists = Mapping[str, Listing]  # by name
