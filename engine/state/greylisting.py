"""The one step of the greylist, as every store must take it.

A triplet is seen for the first time ("new"), comes back too soon ("early"), comes back
within its window ("passed"), or passed before ("known").  After so many passes its client
(network and sender domain) is free ("client-known").  Stores differ in how they keep the
row and make this atomic; the step itself is one function, tested once.
"""

from __future__ import annotations

from dataclasses import dataclass

from millrace.engine.ports import GreylistTerms, Visit


@dataclass(frozen=True, slots=True)
class Row:
    """What a store keeps of one triplet; times in Unix seconds."""

    first: float
    passed: bool
    passes: int
    until: float


@dataclass(frozen=True, slots=True)
class StepResult:
    """What to answer, the row to keep (None: leave it), and whether the client passed once more."""

    visit: Visit
    row: Row | None
    client_passed: bool = False


def step(row: Row | None, client_passes: int, now: float, terms: GreylistTerms) -> StepResult:
    """Decide one visit; `row` is None when the triplet is unknown or its time is over."""
    if terms.allow_after and client_passes >= terms.allow_after:
        return StepResult(Visit("client-known", now, 0.0, client_passes), None, client_passed=True)
    if row is None or row.until <= now:
        kept = Row(now, passed=False, passes=0, until=now + terms.window)
        return StepResult(Visit("new", now, terms.wait), kept)
    left = row.first + terms.wait - now
    if not row.passed and left > 0:
        return StepResult(Visit("early", row.first, left), None)
    kept = Row(row.first, passed=True, passes=row.passes + 1, until=now + terms.lifetime)
    state = "known" if row.passed else "passed"
    visit = Visit(state, row.first, 0.0, kept.passes)  # type: ignore[arg-type]
    return StepResult(visit, kept, client_passed=not row.passed)
