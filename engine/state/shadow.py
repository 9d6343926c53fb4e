"""What this process remembers itself, before the store: a shadow, short answers.

Who passed the greylist is kept here too (bounded; the longest unseen goes first), so that a
store that is away defers none of them, and one that was emptied learns them again.
Answers that may be a little old are given again without asking: each operation says for
how long (`fresh`); leases and first visits say never.

Fails: `Unavailable` as the store does, but not for those in the shadow.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, Literal, TypeVar

from millrace.engine.errors import Unavailable
from millrace.engine.operations.greylist import NoteVisit, Visit
from millrace.engine.operations.operation import Operation
from millrace.engine.ports import State

T = TypeVar("T")
V = TypeVar("V")
ANSWERS_MAX = 10_000


class ShadowedState:
    """The State port before another; `entries` bounds who is remembered, `tick` is monotonic."""

    def __init__(
        self, store: State, entries: int, tick: Callable[[], float] = time.monotonic
    ) -> None:
        self.store = store
        self._passed: _Lasting[None] = _Lasting(entries, tick)
        self._answers: _Lasting[Any] = _Lasting(ANSWERS_MAX, tick)

    async def ask(self, operation: Operation[T]) -> T:
        """Answer from here where that is as good, else take the step."""
        if isinstance(operation, NoteVisit):
            visit: Any = await self._visit(operation)
            answered: T = visit
            return answered
        if operation in self._answers:
            found: T = self._answers[operation]
            return found
        answer = await self.store.ask(operation)
        seconds = operation.fresh(answer)
        if seconds > 0:
            self._answers.put(operation, answer, seconds)
        return answer

    def tell(self, operation: Operation[Any]) -> None:
        """Take a step that nobody waits for."""
        self.store.tell(operation)

    async def ping(self) -> None:
        """Return when the store answers."""
        await self.store.ping()

    async def close(self) -> None:
        """Close the store."""
        await self.store.close()

    async def _visit(self, visit: NoteVisit) -> Visit:
        if recalled := self._recalled(visit):
            visit = NoteVisit(visit.triplet, visit.client, visit.terms, recalled)
        try:
            found = await self.store.ask(visit)
        except Unavailable:
            if recalled:
                return Visit("client-known" if recalled == "client" else "known", 0.0)
            raise
        triplet, client = visit.keys
        if found.state in ("passed", "known"):
            self._passed.put(triplet, None, visit.terms.lifetime)
        elif found.state == "client-known":
            self._passed.put(client, None, visit.terms.lifetime)
        return found

    def _recalled(self, visit: NoteVisit) -> Literal["", "triplet", "client"]:
        triplet, client = visit.keys
        if visit.terms.allow_after and client in self._passed:
            return "client"
        return "triplet" if triplet in self._passed else ""


class _Lasting(Generic[V]):
    """Entries that end by themselves; of too many the longest unused goes."""

    def __init__(self, entries: int, tick: Callable[[], float]) -> None:
        self._entries, self._tick = entries, tick
        self._kept: OrderedDict[Hashable, tuple[V, float]] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        found = self._kept.get(key)
        if found is None:
            return False
        if found[1] <= self._tick():
            del self._kept[key]
            return False
        return True

    def __getitem__(self, key: Hashable) -> V:
        return self._kept[key][0]

    def put(self, key: Hashable, value: V, seconds: float) -> None:
        if self._entries <= 0:
            return
        self._kept[key] = (value, self._tick() + seconds)
        self._kept.move_to_end(key)
        if len(self._kept) > self._entries:
            self._kept.popitem(last=False)
