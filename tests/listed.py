"""A named list that stands in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from millrace.engine.policy.listing import ListKind


@dataclass
class FakeListing:
    """Holds exactly its entries; keys and values for a map."""

    name: str
    kind: ListKind
    entries: Mapping[str, str] = field(default_factory=dict)

    def holds(self, value: str) -> bool:
        return value in self.entries

    def value(self, key: str) -> str | None:
        return self.entries.get(key) if self.kind == "map" else None


def lists(**kinds: tuple[ListKind, Mapping[str, str]]) -> dict[str, FakeListing]:
    """Named lists by name."""
    return {name: FakeListing(name, kind, entries) for name, (kind, entries) in kinds.items()}
