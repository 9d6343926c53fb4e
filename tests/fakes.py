"""Fakes that the tests share: real behaviour, nothing recorded, nothing mocked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from millrace.engine.ports import Answer, Question, RecordType


@dataclass
class ManualClock:
    """A clock that stands until it is moved."""

    time: float = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class FakeDns:
    """Answers from a table `{(name, type): Answer or records}`; all else is NXDOMAIN."""

    table: Mapping[Question, Any] = field(default_factory=dict)
    asked: list[Question] = field(default_factory=list)

    async def ask(self, name: str, kind: RecordType) -> Answer:
        self.asked.append((name, kind))
        found = self.table.get((name, kind))
        if found is None:
            known = any(other == name for other, _ in self.table)
            return Answer("nodata" if known else "nxdomain")
        return found if isinstance(found, Answer) else Answer("found", tuple(found), 300)

    async def ask_all(self, questions: Sequence[Question]) -> list[Answer]:
        return [await self.ask(name, kind) for name, kind in questions]
