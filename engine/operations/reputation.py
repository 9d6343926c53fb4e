"""Reputation: how much good and bad came from somebody, old deeds weighing less.

Each deed counts half after `half_life` seconds.  A reading may be a second old.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from millrace.engine.operations.operation import Kept, Operation, Outcome, Row

FRESH_S = 1.0
KEPT = 10  # half-lives; what is older weighs less than a thousandth


@dataclass(frozen=True, slots=True)
class Reputation:
    """Weights of good and of bad deeds, as they count now."""

    good: float
    bad: float


@dataclass(frozen=True, slots=True)
class AddReputation(Operation[Reputation]):
    """Add deeds, and tell the sums; adding nothing only reads."""

    key: str
    half_life: float
    good: float = 0.0
    bad: float = 0.0

    script: ClassVar[str] = """
local half_life, more_good, more_bad = number(2), number(3), number(4)
local good, bad, at = row(1, 'good', 'bad', 'at')
if not good then good, bad, at = 0, 0, now end
local faded = 0.5 ^ (math.max(0, now - at) / half_life)
good, bad = good * faded + more_good, bad * faded + more_bad
if more_good ~= 0 or more_bad ~= 0 then
  keep(1, half_life * number(5), 'good', text(good), 'bad', text(bad), 'at', text(now))
end
return {text(good), text(bad)}
"""

    @property
    def keys(self) -> tuple[str, ...]:
        return (f"reputation:{{{self.key}}}",)

    @property
    def arguments(self) -> tuple[float | str, ...]:
        return (self.half_life, self.good, self.bad, KEPT)

    @property
    def _reads(self) -> bool:
        return not (self.good or self.bad)

    def step(self, rows: Sequence[Row | None], now: float) -> Outcome[Reputation]:
        row = rows[0] or {"good": 0.0, "bad": 0.0, "at": now}
        faded = 0.5 ** (max(0.0, now - row["at"]) / self.half_life)
        found = Reputation(row["good"] * faded + self.good, row["bad"] * faded + self.bad)
        kept = Kept({"good": found.good, "bad": found.bad, "at": now}, self.half_life * KEPT)
        return Outcome(found, (None if self._reads else kept,))

    def answer(self, reply: Sequence[Any]) -> Reputation:
        return Reputation(float(reply[0]), float(reply[1]))

    def fresh(self, answer: Reputation) -> float:
        return FRESH_S if self._reads else 0.0
