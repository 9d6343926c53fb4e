"""State in the process alone: for rehearsals, and for tests of what stands on it.

Fails: never.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from millrace.engine.operations.operation import Operation, Row

T = TypeVar("T")
ENTRIES_MAX = 100_000
ALWAYS: Row = {"at": 0.0}


class MemoryState:
    """The State port on a dictionary; the eldest entries go when there are too many.

    It behaves as a store that was always there, not as one that was emptied; `fresh` undoes it.
    """

    def __init__(self, now: Callable[[], float] = time.time, *, fresh: bool = False) -> None:
        self.now = now
        self._rows: dict[str, tuple[Row, float]] = {}
        if not fresh:
            self._rows["born"] = (ALWAYS, float("inf"))

    async def ask(self, operation: Operation[T]) -> T:
        """Take one step."""
        return self._step(operation)

    def tell(self, operation: Operation[Any]) -> None:
        """Take one step, whatever it answers."""
        self._step(operation)

    def _step(self, operation: Operation[T]) -> T:
        now, keys = self.now(), operation.keys
        found = [self._rows.get(key) for key in keys]
        rows = [entry[0] if entry and entry[1] > now else None for entry in found]
        outcome = operation.step(rows, now)
        for key, kept in zip(keys, outcome.keep, strict=False):
            if kept is not None:
                self._keep(key, kept.row, now + kept.seconds)
        return outcome.answer

    def _keep(self, key: str, row: Row, until: float) -> None:
        if len(self._rows) >= ENTRIES_MAX and key not in self._rows:
            del self._rows[next(iter(self._rows))]
        self._rows[key] = (row, until)

    async def ping(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to let go."""
