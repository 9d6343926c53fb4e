"""A sliding window: at most `limit` in any `seconds`, estimated.

Two fixed windows are kept.  The one before counts by the part of it that still lies within
the sliding one, as if its visits had come evenly: two numbers for each key, not one for
each visit, and off by less than the unevenness of one window.  When the clock was set back,
what was counted belongs to the window of its new time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from millrace.engine.operations.limit import Allowance, allowance, still_refused
from millrace.engine.operations.operation import Kept, Operation, Outcome, Row


@dataclass(frozen=True, slots=True)
class CountInWindow(Operation[Allowance]):
    """Count `cost` more, or nothing when that would pass the limit."""

    key: str
    seconds: float
    limit: float
    cost: float = 1.0

    script: ClassVar[str] = """
local seconds, limit, cost = number(2), number(3), number(4)
local at = math.floor(now / seconds)
local part = now / seconds - at
local start, count, before = row(1, 'start', 'count', 'before')
if not start or start < at - 1 then count, before = 0, 0
elseif start < at then count, before = 0, count end
local room = limit - math.min(cost, limit) - count
local late = before * (1 - part)
if late > room + 1e-9 then
  local wait
  if room >= 0 then wait = (1 - room / before - part) * seconds
  else wait = (1 - part + math.max(0, 1 - (room + count) / count)) * seconds end
  if start and start > at then
    keep(1, (2 - part) * seconds + 1, 'start', at, 'count', text(count), 'before', text(before))
  end
  return {0, text(limit - count - late), text(wait)}
end
count = count + cost
keep(1, (2 - part) * seconds + 1, 'start', at, 'count', text(count), 'before', text(before))
return {1, text(limit - count - late), '0'}
"""

    @property
    def keys(self) -> tuple[str, ...]:
        return (f"window:{{{self.key}}}",)

    @property
    def arguments(self) -> tuple[float | str, ...]:
        return (self.seconds, self.limit, self.cost)

    def step(self, rows: Sequence[Row | None], now: float) -> Outcome[Allowance]:
        at = math.floor(now / self.seconds)
        part = now / self.seconds - at
        count, before = _counts(rows[0], at)
        room = self.limit - min(self.cost, self.limit) - count
        late = before * (1 - part)
        if late > room + 1e-9:
            refused = Allowance(
                False, self.limit - count - late, self._wait(room, count, before, part)
            )
            ahead = rows[0] is not None and rows[0]["start"] > at
            return Outcome(refused, (self._kept(count, before, now) if ahead else None,))
        count += self.cost
        kept = self._kept(count, before, now)
        return Outcome(Allowance(True, self.limit - count - late), (kept,))

    def _kept(self, count: float, before: float, now: float) -> Kept:
        at = math.floor(now / self.seconds)
        row = {"start": float(at), "count": count, "before": before}
        return Kept(row, (2 + at) * self.seconds - now + 1)

    def _wait(self, room: float, count: float, before: float, part: float) -> float:
        """Until enough has slid out: of the window before, or of this one in the next."""
        if room >= 0:
            return (1 - room / before - part) * self.seconds
        return (1 - part + max(0.0, 1 - (room + count) / count)) * self.seconds

    def answer(self, reply: Sequence[Any]) -> Allowance:
        return allowance(reply)

    def fresh(self, answer: Allowance) -> float:
        return still_refused(answer)


def _counts(row: Row | None, at: int) -> tuple[float, float]:
    """Those of this window and of the one before."""
    if row is None or row["start"] < at - 1:
        return 0.0, 0.0
    if row["start"] < at:
        return 0.0, row["count"]
    return row["count"], row["before"]
