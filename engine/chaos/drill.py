"""One drill: mails flow, something breaks, is mended, and all must be as before.

Fails: `Unavailable` when the copy does not come up; a broken invariant is in the report.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millrace.engine.chaos.invariants import RECOVERY_S, Seen, broken
from millrace.engine.chaos.mails import Answer, Bearer, Senders
from millrace.engine.chaos.scenarios import Scenario
from millrace.engine.chaos.site import Site

FAULT_S = 3.0
STEADY_S = 15.0  # how long the flow may need to become steady: a greylist defers at first
STEADY_MAILS = 20
_AFTER_S = 0.5
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it.  Seconds; `recovery` is None when it never came.

    `taken_before` 0 means that no mail of the drill's is taken even when nothing fails, so
    that the archive was not put to the test; `untaken` is why, as most records say.
    """

    scenario: str
    verdicts: dict[str, int]
    taken_before: int
    untaken: str
    slowest: float
    recovery: float | None
    broken: tuple[str, ...]

    @property
    def mails(self) -> int:
        """How many were sent."""
        return sum(self.verdicts.values())


def run(site: Site, scenario: Scenario, bearer: Bearer, seconds: float = FAULT_S) -> Report:
    """Break for so many seconds, and see; the copy is ended, to be looked at."""
    with Senders(site.endpoints, bearer) as senders:
        usual = _steady(senders)
        site.look()
        scenario.begin(site)
        time.sleep(seconds)
        scenario.end(site)
        recovery = _recovered(site, senders, usual, time.monotonic())
        time.sleep(_AFTER_S)
    site.stop()
    answers = senders.answers
    seen = Seen(
        answers,
        site.archived(),
        site.delivered(),
        site.records(),
        site.spec.filters,
        recovery,
        scenario.hurts,
    )
    return Report(
        scenario.name,
        dict(Counter(answer.verdict for answer in answers)),
        usual["accept"],
        "" if usual["accept"] else _untaken(seen.records),
        max((answer.ended - answer.began for answer in answers), default=0.0),
        recovery,
        tuple(broken(seen)),
    )


def _steady(senders: Senders) -> Counter[str]:
    """What the latest mails were answered with, once each door takes them, or after a while."""

    def latest() -> Counter[str]:
        return Counter(answer.verdict for answer in senders.answers[-STEADY_MAILS:])

    _until(lambda: latest()["accept"] == STEADY_MAILS, STEADY_S)
    return latest()


def _recovered(site: Site, senders: Senders, usual: Counter[str], mended: float) -> float | None:
    """Seconds until all is well, and mails at all doors are answered as before."""
    verdict = usual.most_common(1)[0][0] if usual else ""

    def as_before() -> bool:
        fit = [answer for answer in senders.since(mended) if answer.verdict == verdict]
        return _doors(fit) == _doors(senders.answers) and site.well()

    if not _until(as_before, RECOVERY_S):
        return None
    return time.monotonic() - mended


def _untaken(records: Sequence[Mapping[str, Any]]) -> str:
    reasons = Counter(str(record["because"]["why"] or record["reply"]) for record in records)
    return reasons.most_common(1)[0][0] if reasons else ""


def _doors(answers: list[Answer]) -> set[str]:
    return {answer.door for answer in answers}


def _until(holds: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(_POLL_S)
    return False
