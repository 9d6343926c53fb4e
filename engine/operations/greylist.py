"""The greylist's one step: a sender, network and recipient visit.  RFC 6647.

A triplet (all three) is seen for the first time ("new"), comes back too soon ("early"),
comes back within its window ("passed"), or passed before ("known").  After so many passes
its client (network and sender domain) is free ("client-known").

Whoever remembers by itself that a triplet or client passed says so (`recalled`), and a
store that was emptied learns it again.  While the store is young, new triplets wait less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

from millrace.engine.operations.operation import Kept, Operation, Outcome, Row

VisitState = Literal["new", "early", "passed", "known", "client-known"]


@dataclass(frozen=True, slots=True)
class Terms:
    """Waiting times and lifetimes in seconds; `allow_after` passes free a client, 0 never.

    Triplets first seen before `young_until` (Unix seconds) wait `young_wait`.
    """

    wait: float
    window: float
    lifetime: float
    allow_after: int
    young_wait: float = 0.0
    young_until: float = 0.0

    def wait_since(self, first: float) -> float:
        """How long a triplet waits that was first seen then."""
        return min(self.wait, self.young_wait) if first < self.young_until else self.wait


@dataclass(frozen=True, slots=True)
class Visit:
    """What the greylist knows: `state` and since when (Unix seconds), `left` seconds to wait."""

    state: VisitState
    first: float
    left: float = 0.0
    passes: int = 0


@dataclass(frozen=True, slots=True)
class NoteVisit(Operation[Visit]):
    """Note a visit, and say how often it was seen."""

    triplet: str
    client: str
    terms: Terms
    recalled: Literal["", "triplet", "client"] = ""

    script: ClassVar[str] = """
local wait, window, life, allow = number(2), number(3), number(4), number(5)
local young_wait, young_until, recalled = number(6), number(7), ARGV[8]
local passes = row(2, 'passes') or 0
if recalled == 'client' then passes = math.max(passes, allow) end
if allow > 0 and passes >= allow then
  keep(2, life, 'passes', passes + 1)
  return {'client-known', text(now), '0', passes}
end
local first, passed, times = row(1, 'first', 'passed', 'passes')
if not first and recalled == 'triplet' then first, passed, times = now, 1, 0 end
if first and passed == 0 and first > now then first = nil end
if (first or now) < young_until then wait = math.min(wait, young_wait) end
if not first then
  keep(1, window, 'first', text(now), 'passed', 0, 'passes', 0)
  return {'new', text(now), text(wait), 0}
end
local left = first + wait - now
if passed == 0 and left > 0 then return {'early', text(first), text(left), 0} end
keep(1, life, 'first', text(first), 'passed', 1, 'passes', times + 1)
if passed == 0 then keep(2, life, 'passes', passes + 1) end
return {passed == 0 and 'passed' or 'known', text(first), '0', times + 1}
"""

    @property
    def keys(self) -> tuple[str, ...]:
        return (f"grey:{{{self.client}}}:{self.triplet}", f"grey:{{{self.client}}}")

    @property
    def arguments(self) -> tuple[float | str, ...]:
        terms = self.terms
        times = (terms.wait, terms.window, terms.lifetime, terms.allow_after)
        return (*times, terms.young_wait, terms.young_until, self.recalled)

    def step(self, rows: Sequence[Row | None], now: float) -> Outcome[Visit]:
        triplet, client = rows
        terms, passes = self.terms, int(client["passes"]) if client else 0
        if self.recalled == "client":
            passes = max(passes, terms.allow_after)
        once_more = Kept({"passes": passes + 1}, terms.lifetime)
        if terms.allow_after and passes >= terms.allow_after:
            return Outcome(Visit("client-known", now, 0.0, passes), (None, once_more))
        if triplet is None and self.recalled == "triplet":
            triplet = {"first": now, "passed": 1, "passes": 0}
        if triplet is None or (triplet["passed"] == 0 and triplet["first"] > now):
            kept = Kept({"first": now, "passed": 0, "passes": 0}, terms.window)
            return Outcome(Visit("new", now, terms.wait_since(now)), (kept, None))
        first, passed = triplet["first"], triplet["passed"] == 1
        left = first + terms.wait_since(first) - now
        if not passed and left > 0:
            return Outcome(Visit("early", first, left))
        times = int(triplet["passes"]) + 1
        kept = Kept({"first": first, "passed": 1, "passes": times}, terms.lifetime)
        visit = Visit("known" if passed else "passed", first, 0.0, times)
        return Outcome(visit, (kept, None if passed else once_more))

    def answer(self, reply: Sequence[Any]) -> Visit:
        state = cast("VisitState", str(reply[0]))
        return Visit(state, float(reply[1]), float(reply[2]), int(reply[3]))
