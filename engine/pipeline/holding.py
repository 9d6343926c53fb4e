"""The state as one mail sees it: what the mail holds is given back at its end.

A lease is noted before it is asked for, so that also the one comes back whose answer
nobody waited for any more.

Fails: as the state does; `release` never.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from millrace.engine.operations.lease import Acquire, Lease
from millrace.engine.operations.operation import Operation
from millrace.engine.ports import State

T = TypeVar("T")


class Holding:
    """The State port of one mail."""

    __slots__ = ("_held", "_state")

    def __init__(self, state: State) -> None:
        self._state = state
        self._held: list[Acquire] = []

    async def ask(self, operation: Operation[T]) -> T:
        """Take one step; a lease is the mail's from now on."""
        if isinstance(operation, Acquire):
            self._held.append(operation)
        answer = await self._state.ask(operation)
        if isinstance(answer, Lease) and not answer.granted:
            self._held.remove(operation)  # type: ignore[arg-type]
        return answer

    def tell(self, operation: Operation[Any]) -> None:
        """Take a step that nobody waits for."""
        self._state.tell(operation)

    async def ping(self) -> None:
        """Return when the store answers."""
        await self._state.ping()

    async def close(self) -> None:
        """The store is not this mail's to close."""

    def release(self) -> None:
        """The mail is over."""
        while self._held:
            self._state.tell(self._held.pop().release)


def holding(ports: Mapping[str, Any]) -> Mapping[str, Any]:
    """The ports of one mail, whose leases `release` gives back."""
    state = ports.get("state")
    return ports if state is None else {**ports, "state": Holding(state)}


def release(ports: Mapping[str, Any]) -> None:
    """Give back what the mail of these ports holds."""
    state = ports.get("state")
    if isinstance(state, Holding):
        state.release()
