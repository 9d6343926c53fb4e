"""State in the process alone: for rehearsals, and for tests of what stands on it.

Fails: never.
"""

from __future__ import annotations

from typing import TypeVar

from millrace.engine.ports import GreylistTerms, Visit
from millrace.engine.state.greylisting import Row, step

T = TypeVar("T")
ENTRIES_MAX = 100_000


class MemoryState:
    """The State port on two dictionaries; the eldest entries go when there are too many."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._clients: dict[str, tuple[int, float]] = {}

    async def visit(self, triplet: str, client: str, now: float, terms: GreylistTerms) -> Visit:
        """Note one visit."""
        passes, until = self._clients.get(client, (0, 0.0))
        passes = passes if until > now else 0
        result = step(self._rows.get(triplet), passes, now, terms)
        if result.row is not None:
            _put(self._rows, triplet, result.row)
        if result.client_passed:
            _put(self._clients, client, (passes + 1, now + terms.lifetime))
        return result.visit

    async def ping(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to let go."""


def _put(table: dict[str, T], key: str, value: T) -> None:
    if len(table) >= ENTRIES_MAX:
        del table[next(iter(table))]
    table[key] = value
