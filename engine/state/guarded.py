"""A store behind a breaker: while it is away it is not asked.

What nobody waits for (a lease given back) is kept until the store is there again, some
thousands of such steps; else the leases of an outage would hold their clients out after it.

Fails: `Unavailable` as the store does, and at once for what the breaker spares; `Declined`
says that the store is there, and counts as an answer.
"""

from __future__ import annotations

from asyncio import CancelledError, Task, get_running_loop, wait
from collections import deque
from typing import Any, TypeVar

from millrace.engine.breaker import Breaker
from millrace.engine.errors import Declined, Unavailable
from millrace.engine.operations.operation import Operation
from millrace.engine.ports import State

T = TypeVar("T")
OWED_MAX = 10_000  # steps kept for the store, the newest
AT_ONCE = 64  # of them go with one answer, so that nothing rushes at a store that is back


class GuardedState:
    """The State port before another."""

    def __init__(self, store: State, breaker: Breaker) -> None:
        self.store, self.breaker = store, breaker
        self._owed: deque[Operation[Any]] = deque(maxlen=OWED_MAX)
        self._telling: set[Task[None]] = set()

    async def ask(self, operation: Operation[T]) -> T:
        """Take one step, if the store answers these days."""
        breaker = self.breaker
        began = breaker.admit()
        try:
            answer = await self.store.ask(operation)
        except Declined:
            breaker.succeeded()
            raise
        except Unavailable as error:
            breaker.failed(began, error.detail)
            raise
        except CancelledError:
            breaker.cancelled(began)
            raise
        breaker.succeeded()
        if self._owed:
            self._pay()
        return answer

    def tell(self, operation: Operation[Any]) -> None:
        """Take a step that nobody waits for, at last when the store is there again."""
        task = get_running_loop().create_task(self._told(operation))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _told(self, operation: Operation[Any]) -> None:
        try:
            await self.ask(operation)
        except Declined:
            pass  # what its key holds is not ours
        except Unavailable:
            self._owed.append(operation)

    def _pay(self) -> None:
        for _ in range(min(len(self._owed), AT_ONCE)):
            self.tell(self._owed.popleft())

    async def ping(self) -> None:
        """Ask the store itself; this opens and closes nothing."""
        await self.store.ping()

    async def close(self) -> None:
        """Tell what is to be told, then close the store."""
        if self._telling:
            await wait(self._telling)
        await self.store.close()
