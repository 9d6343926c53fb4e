"""Leases: at most so many hold a thing at once, and each for a time.

An answer is never cached: a lease that two believe to hold would be none.  When the clock was set
back, leases last from its new time on, so that those of the dead do not last for the whole step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from millrace.engine.operations.operation import Kept, Operation, Outcome, Row


@dataclass(frozen=True, slots=True)
class Lease:
    """Whether it is held now, and by how many in all."""

    granted: bool
    holders: int


@dataclass(frozen=True, slots=True)
class Acquire(Operation[Lease]):
    """Hold `key` for `seconds`, unless `limit` others do; a holder may ask again."""

    key: str
    holder: str
    limit: int
    seconds: float

    script: ClassVar[str] = """
redis.call('zremrangebyscore', KEYS[1], '-inf', text(now))
local until_max = now + number(4)
local last = redis.call('zrange', KEYS[1], -1, -1, 'withscores')
while last[1] and tonumber(last[2]) > until_max do
  redis.call('zadd', KEYS[1], text(until_max), last[1])
  last = redis.call('zrange', KEYS[1], -1, -1, 'withscores')
end
local holders = redis.call('zcard', KEYS[1])
if not redis.call('zscore', KEYS[1], ARGV[2]) then
  if holders >= number(3) then return {0, holders} end
  holders = holders + 1
end
redis.call('zadd', KEYS[1], text(until_max), ARGV[2])
if redis.call('pttl', KEYS[1]) < number(4) * 1000 then
  redis.call('pexpire', KEYS[1], math.ceil(number(4) * 1000))
end
return {1, holders}
"""

    @property
    def keys(self) -> tuple[str, ...]:
        return (f"lease:{{{self.key}}}",)

    @property
    def arguments(self) -> tuple[float | str, ...]:
        return (self.holder, self.limit, self.seconds)

    @property
    def release(self) -> Release:
        """What gives it back."""
        return Release(self.key, self.holder)

    def step(self, rows: Sequence[Row | None], now: float) -> Outcome[Lease]:
        found = _live(rows[0], now)
        live = {holder: min(until, now + self.seconds) for holder, until in found.items()}
        if self.holder not in live and len(live) >= self.limit:
            kept = _kept(live, now) if live != found else None
            return Outcome(Lease(False, len(live)), (kept,))
        live[self.holder] = now + self.seconds
        return Outcome(Lease(True, len(live)), (_kept(live, now),))

    def answer(self, reply: Sequence[Any]) -> Lease:
        return Lease(int(reply[0]) == 1, int(reply[1]))


@dataclass(frozen=True, slots=True)
class Release(Operation[int]):
    """Give a lease back; tells how many hold it still."""

    key: str
    holder: str

    script: ClassVar[str] = """
redis.call('zrem', KEYS[1], ARGV[2])
redis.call('zremrangebyscore', KEYS[1], '-inf', text(now))
return {redis.call('zcard', KEYS[1])}
"""

    @property
    def keys(self) -> tuple[str, ...]:
        return (f"lease:{{{self.key}}}",)

    @property
    def arguments(self) -> tuple[float | str, ...]:
        return (self.holder,)

    def step(self, rows: Sequence[Row | None], now: float) -> Outcome[int]:
        live = _live(rows[0], now)
        live.pop(self.holder, None)
        return Outcome(len(live), (_kept(live, now),))

    def answer(self, reply: Sequence[Any]) -> int:
        return int(reply[0])


def _live(row: Row | None, now: float) -> dict[str, float]:
    return {holder: until for holder, until in (row or {}).items() if until > now}


def _kept(live: dict[str, float], now: float) -> Kept:
    return Kept(live, max(live.values(), default=now) - now)
