"""Reloads: new plans in all workers, or in none; one at a time.

    1. the supervisor builds and tests them      nothing is touched when they are no good
    2. every worker builds them and opens what they need ("prepare")
    3. all of them swap ("commit")

Whoever asks while one is under way is answered by the next one.  A worker that was forked
meanwhile with the old plans is not asked: the supervisor replaces it.

Fails: never; how it ended is in the outcome.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from millrace.engine import history, reload
from millrace.engine.history import Asked
from millrace.engine.pipeline.plan import Plan
from millrace.engine.reload import Reloaded
from millrace.engine.settings import Settings
from millrace.engine.workers.channel import Data
from millrace.engine.workers.surveys import Answers, Then

PREPARE_S = 60.0
COMMIT_S = 15.0
Done = Callable[[Reloaded], None]
_NOBODY = Asked()


@dataclass(frozen=True, slots=True)
class Refusal:
    """The files that were no good; `moment` is Unix seconds."""

    moment: float
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For status pages."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.moment))
        return {"at": at, "problems": list(self.problems)}


class AskWorkers(Protocol):
    """Puts a question to every worker that serves; their pids."""

    def __call__(self, what: str, data: Data, seconds: float, then: Then) -> list[int]:
        """The answers go to `then`."""


class Reloads:
    """`plans` are those in force."""

    def __init__(self, settings: Settings, plans: Mapping[str, Plan], ask: AskWorkers) -> None:
        self.plans = dict(plans)
        self.last: Reloaded | None = None
        self.counts = Counter({"swapped": 0, "unchanged": 0, "refused": 0})
        self.refusal: Refusal | None = None  # until a reload is not refused
        self._settings = settings
        self._ask = ask
        self._now: list[Done] = []
        self._next: list[Done] = []
        self._asked = self._next_asked = _NOBODY

    @property
    def revisions(self) -> dict[str, str]:
        """Those in force, by pipeline."""
        return reload.revisions_of(self.plans)

    def pass_by(self, problems: Sequence[str]) -> None:
        """A rollback serves since the start, and the files are no good for the same reasons."""
        if problems:
            self.refusal = Refusal(time.time(), tuple(problems))

    @property
    def busy(self) -> bool:
        """Whether one is under way."""
        return bool(self._now)

    def ask(self, done: Done, asked: Asked = _NOBODY) -> None:
        """Reload; `done` hears how it ended, the history who asked last."""
        if self._now:
            self._next.append(done)
            self._next_asked = asked
            return
        self._now, self._asked = [done], asked
        built = reload.attempt(self._settings, self.revisions)
        if isinstance(built, Reloaded):
            self._end(built)
        else:
            self._prepare(built)

    def _prepare(self, built: dict[str, Plan]) -> None:
        def prepared(answers: Answers) -> None:
            trouble = _trouble(asked, answers, reload.revisions_of(built))
            if trouble:
                self._end(reload.refused(self.revisions, trouble))
            else:
                self._commit(built)

        asked: list[int] = []
        asked += self._ask("prepare", None, PREPARE_S, prepared)

    def _commit(self, built: dict[str, Plan]) -> None:
        before, self.plans = self.revisions, built  # whoever is forked from now on has them

        def committed(_: Answers) -> None:
            history.accept(self._settings, self.plans, "reload", self._asked)
            self._end(reload.swapped(before, self.revisions))

        self._ask("commit", None, COMMIT_S, committed)

    def _end(self, outcome: Reloaded) -> None:
        self.last = outcome
        self.counts[outcome.result] += 1
        refused = outcome.result == "refused"
        self.refusal = Refusal(time.time(), outcome.problems) if refused else None
        waiting, self._now = self._now, []
        for done in waiting:
            done(outcome)
        if self._next:
            following, self._next = self._next, []
            self.ask(lambda later: _all(following, later), self._next_asked)


def _all(waiting: list[Done], outcome: Reloaded) -> None:
    for done in waiting:
        done(outcome)


def _trouble(asked: list[int], answers: Answers, wanted: Mapping[str, str]) -> str:
    """Why the workers cannot swap, "" when they can."""
    for pid in asked:
        told: dict[str, Any] | None = answers.get(pid)
        if told is None:
            continue  # it is gone or hangs, and is replaced: the new one begins with new plans
        if told.get("problems"):
            return "\n\n".join(told["problems"])
        if told["revisions"] != wanted:
            return "the files changed while they were read: reload once more"
    return ""
