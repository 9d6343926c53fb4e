"""What was found before, and is found again as long as the DNS says the same.

Whoever judges by nothing but a key and some answers of the DNS need not judge again when the
key comes again and the answers are the very ones that it saw.  How old an answer may grow is
the cache's matter: a new answer is another object.  Large senders come by the same hosts all
day.

Bounded: `KEPT_MAX` keys with `ANSWERS_MAX` answers each; all are forgotten together.

Fails: never.
"""

from __future__ import annotations

import operator
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from millrace.engine.ports import Answer, Dns, Question

KEPT_MAX = 1024
ANSWERS_MAX = 12
T = TypeVar("T")


class Recollections(Generic[T]):
    """Findings by key."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[list[Question], list[Answer], T]] = {}

    async def recall(self, key: Hashable, dns: Dns) -> tuple[T | None, Mapping[Question, Answer]]:
        """The finding, or None; and the answers that were asked for to know that."""
        known = self._kept.get(key)
        if known is None:
            return None, {}
        questions, seen, finding = known
        answers = await dns.ask_all(questions[:1])
        if answers[0] is seen[0]:  # otherwise the others may not be of interest any more
            answers += await dns.ask_all(questions[1:])
        if len(answers) == len(seen) and all(map(operator.is_, answers, seen)):
            return finding, {}
        return None, dict(zip(questions, answers, strict=False))

    def keep(self, key: Hashable, answers: Mapping[Question, Answer], finding: T) -> None:
        """Keep a finding that depends on nothing but the key and these answers."""
        if not 0 < len(answers) <= ANSWERS_MAX:
            return
        if len(self._kept) >= KEPT_MAX:
            self.forget()
        self._kept[key] = (list(answers), list(answers.values()), finding)

    def forget(self) -> None:
        """Begin anew."""
        self._kept.clear()
