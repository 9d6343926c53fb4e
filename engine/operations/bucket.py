"""A token bucket: so many at once (`burst`), and `rate` more each second.

What costs more than the burst passes on a full bucket and leaves it in debt, so that one
large mail is late and not impossible.  A clock that was set back gives no tokens; they are
counted on from its new time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from millrace.engine.operations.limit import Allowance, allowance, still_refused
from millrace.engine.operations.operation import Kept, Operation, Outcome, Row


@dataclass(frozen=True, slots=True)
class TakeTokens(Operation[Allowance]):
    """Take `cost` tokens, or none and be told when there will be enough."""

    key: str
    rate: float
    burst: float
    cost: float = 1.0

    script: ClassVar[str] = """
local rate, burst, cost = number(2), number(3), number(4)
local tokens, at = row(1, 'tokens', 'at')
if not tokens then tokens, at = burst, now end
tokens = math.min(burst, tokens + math.max(0, now - at) * rate)
local needed = math.min(cost, burst)
if tokens + 1e-9 < needed then
  if at > now then keep(1, (burst - tokens) / rate + 1, 'tokens', text(tokens), 'at', text(now)) end
  return {0, text(tokens), text((needed - tokens) / rate)}
end
tokens = tokens - cost
keep(1, (burst - tokens) / rate + 1, 'tokens', text(tokens), 'at', text(now))
return {1, text(tokens), '0'}
"""

    @property
    def keys(self) -> tuple[str, ...]:
        return (f"bucket:{{{self.key}}}",)

    @property
    def arguments(self) -> tuple[float | str, ...]:
        return (self.rate, self.burst, self.cost)

    def step(self, rows: Sequence[Row | None], now: float) -> Outcome[Allowance]:
        row = rows[0] or {"tokens": self.burst, "at": now}
        gained = max(0.0, now - row["at"]) * self.rate
        tokens, needed = min(self.burst, row["tokens"] + gained), min(self.cost, self.burst)
        if tokens + 1e-9 < needed:  # what floats lose is nobody's fault
            refused = Allowance(False, tokens, (needed - tokens) / self.rate)
            return Outcome(refused, (self._kept(tokens, now) if row["at"] > now else None,))
        tokens -= self.cost
        return Outcome(Allowance(True, tokens), (self._kept(tokens, now),))

    def _kept(self, tokens: float, now: float) -> Kept:
        return Kept({"tokens": tokens, "at": now}, (self.burst - tokens) / self.rate + 1)

    def answer(self, reply: Sequence[Any]) -> Allowance:
        return allowance(reply)

    def fresh(self, answer: Allowance) -> float:
        return still_refused(answer)
