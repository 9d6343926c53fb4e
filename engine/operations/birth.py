"""Since when a store remembers: one that was emptied is young again.

Asked now and then; an answer may be some seconds old, since an emptied store is young for
much longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from millrace.engine.operations.operation import DAY, Kept, Operation, Outcome, Row

FRESH_S = 5.0
KEPT_S = 400 * DAY


@dataclass(frozen=True, slots=True)
class AskBirth(Operation[float]):
    """When this store was first used, or used again after it was emptied: Unix seconds."""

    script: ClassVar[str] = """
local at = row(1, 'at') or now
keep(1, number(2), 'at', text(at))
return {text(at)}
"""

    @property
    def keys(self) -> tuple[str, ...]:
        return ("born",)

    @property
    def arguments(self) -> tuple[float | str, ...]:
        return (KEPT_S,)

    def step(self, rows: Sequence[Row | None], now: float) -> Outcome[float]:
        at = rows[0]["at"] if rows[0] else now
        return Outcome(at, (Kept({"at": at}, KEPT_S),))

    def answer(self, reply: Sequence[Any]) -> float:
        return float(reply[0])

    def fresh(self, answer: float) -> float:
        return FRESH_S
