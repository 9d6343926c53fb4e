"""A set whose members are forgotten one by one, each when its own time is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from millrace.engine.operations.operation import Kept, Operation, Outcome, Row


@dataclass(frozen=True, slots=True)
class Membership:
    """Whether the member was there before, and how many there are now."""

    known: bool
    members: int


@dataclass(frozen=True, slots=True)
class AddMember(Operation[Membership]):
    """Add a member for `seconds`; of more than `most`, those go whose time ends first."""

    key: str
    member: str
    seconds: float
    most: int = 1000

    script: ClassVar[str] = """
redis.call('zremrangebyscore', KEYS[1], '-inf', text(now))
local known = redis.call('zscore', KEYS[1], ARGV[2]) and 1 or 0
redis.call('zadd', KEYS[1], text(now + number(3)), ARGV[2])
local many = redis.call('zcard', KEYS[1])
if many > number(4) then
  redis.call('zremrangebyrank', KEYS[1], 0, many - number(4) - 1)
  many = number(4)
end
local last = redis.call('zrange', KEYS[1], -1, -1, 'withscores')
redis.call('pexpire', KEYS[1], math.ceil((tonumber(last[2]) - now) * 1000))
return {known, many}
"""

    @property
    def keys(self) -> tuple[str, ...]:
        return (f"set:{{{self.key}}}",)

    @property
    def arguments(self) -> tuple[float | str, ...]:
        return (self.member, self.seconds, self.most)

    def step(self, rows: Sequence[Row | None], now: float) -> Outcome[Membership]:
        live = {m: until for m, until in (rows[0] or {}).items() if until > now}
        known = self.member in live
        live[self.member] = now + self.seconds
        lasting = sorted(live.items(), key=lambda entry: (entry[1], entry[0]))[-self.most :]
        kept = Kept(dict(lasting), lasting[-1][1] - now)
        return Outcome(Membership(known, len(lasting)), (kept,))

    def answer(self, reply: Sequence[Any]) -> Membership:
        return Membership(int(reply[0]) == 1, int(reply[1]))
