"""A store behind a breaker: while it is away it is not asked.

Fails: `Unavailable` as the store does, and at once for what the breaker spares; `Declined`
says that the store is there, and counts as an answer.
"""

from __future__ import annotations

from asyncio import CancelledError
from typing import Any, TypeVar

from millrace.engine.breaker import Breaker
from millrace.engine.errors import Declined, Unavailable
from millrace.engine.operations.operation import Operation
from millrace.engine.ports import State

T = TypeVar("T")


class GuardedState:
    """The State port before another."""

    def __init__(self, store: State, breaker: Breaker) -> None:
        self.store, self.breaker = store, breaker

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
        return answer

    def tell(self, operation: Operation[Any]) -> None:
        """Take a step that nobody waits for; nobody hears of it either, so it is no probe."""
        if self.breaker.state == "closed":
            self.store.tell(operation)

    async def ping(self) -> None:
        """Ask the store itself; this opens and closes nothing."""
        await self.store.ping()

    async def close(self) -> None:
        """Close the store."""
        await self.store.close()
