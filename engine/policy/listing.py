"""Named lists as conditions see them: `from.domain in lists.partners`.

A list is alive: what it holds may change while conditions ask it, which is how a file
of a million names changes without a new plan.

Fails: never; what cannot be read any more is as it was read last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

ListKind = Literal["domains", "addresses", "networks", "patterns", "map"]


class Listing(Protocol):
    """One named list, alive: what it holds may change while conditions ask it."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> ListKind: ...

    def holds(self, value: str) -> bool:
        """Whether the value is in it now; expired entries are not held."""
        ...

    def value(self, key: str) -> str | None:
        """A map's value; None for other kinds or unknown keys."""
        ...


Lists = Mapping[str, Listing]
