"""A counter that begins anew when its time is over, counted from the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from millrace.engine.operations.operation import Kept, Operation, Outcome, Row


@dataclass(frozen=True, slots=True)
class Count(Operation[float]):
    """Add, and tell the sum; adding nothing only reads, and may be a second old."""

    key: str
    seconds: float
    add: float = 1.0

    script: ClassVar[str] = """
local count, ends = row(1, 'count', 'ends')
if not count then count, ends = 0, now + number(2) end
count = count + number(3)
if number(3) ~= 0 then keep(1, ends - now, 'count', text(count), 'ends', text(ends)) end
return {text(count)}
"""

    @property
    def keys(self) -> tuple[str, ...]:
        return (f"count:{{{self.key}}}",)

    @property
    def arguments(self) -> tuple[float | str, ...]:
        return (self.seconds, self.add)

    def step(self, rows: Sequence[Row | None], now: float) -> Outcome[float]:
        row = rows[0] or {"count": 0.0, "ends": now + self.seconds}
        count, ends = row["count"] + self.add, row["ends"]
        kept = Kept({"count": count, "ends": ends}, ends - now) if self.add else None
        return Outcome(count, (kept,))

    def answer(self, reply: Sequence[Any]) -> float:
        return float(reply[0])

    def fresh(self, answer: float) -> float:
        return 0.0 if self.add else 1.0
