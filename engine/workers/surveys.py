"""Surveys: one question to several children, and what is done with their answers.

A survey ends when all have answered, or are gone, or when its time is over; whoever was late
is simply not among the answers.

Fails: never.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from millrace.engine.workers.channel import Data, SupervisorEnd

Answers = dict[int, Data]  # by pid
Then = Callable[[Answers], None]


@dataclass(slots=True)
class _Survey:
    waiting: set[int]
    until: float
    then: Then
    answers: Answers = field(default_factory=dict)


class Surveys:
    """Those that are under way."""

    def __init__(self) -> None:
        # children answer the supervisor before us too: its numbers must not be ours
        self._numbers = itertools.count(time.monotonic_ns())
        self._open: dict[int, _Survey] = {}

    def ask(
        self,
        ends: Mapping[int, SupervisorEnd],
        question: tuple[str, Data],
        until: float,
        then: Then,
    ) -> None:
        """Ask the children of these pids; nobody to ask is an answer too."""
        number = next(self._numbers)
        self._open[number] = _Survey(set(ends), until, then)
        what, data = question
        for end in ends.values():
            end.send({"ask": number, "what": what, "data": data})
        self._conclude(number)

    def answered(self, pid: int, number: int, data: Data) -> None:
        """A child said something; late answers are dropped."""
        survey = self._open.get(number)
        if survey is not None and pid in survey.waiting:
            survey.waiting.discard(pid)
            survey.answers[pid] = data
            self._conclude(number)

    def gone(self, pid: int) -> None:
        """A child will answer nothing any more."""
        for number, survey in list(self._open.items()):
            survey.waiting.discard(pid)
            self._conclude(number)

    def expire(self, now: float) -> None:
        """End those whose time is over."""
        for number, survey in list(self._open.items()):
            if now > survey.until:
                survey.waiting.clear()
                self._conclude(number)

    def _conclude(self, number: int) -> None:
        survey = self._open.get(number)
        if survey is not None and not survey.waiting:
            del self._open[number]
            survey.then(survey.answers)
