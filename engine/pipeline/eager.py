"""A coroutine that is begun at once, and waited for only if it has to wait.

Most of what may wait does not: the answer is cached, the filter is plain.  A timer, a time-out
or a task around it would be dearer than the thing itself, so it takes its first step before
they are made.

Fails: as the coroutine does.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_TOLD = object()  # the loop knows what is waited for


class Begun(Generic[T]):
    """One coroutine after its first step; awaiting it goes on, in the task that began it."""

    __slots__ = ("_coroutine", "_waited", "ended", "value")

    value: T

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.ended = False
        self._coroutine = coroutine
        self._waited: Any = None
        try:
            self._waited = coroutine.send(None)
        except StopIteration as end:
            self.ended, self.value = True, end.value

    def __await__(self) -> Generator[Any, Any, T]:
        return self  # type: ignore[return-value]  # it has what `await` calls

    def __next__(self) -> Any:  # noqa: ANN401 - what a loop waits for
        waited, self._waited = self._waited, _TOLD
        return self._coroutine.send(None) if waited is _TOLD else waited

    def send(self, told: Any) -> Any:  # noqa: ANN401
        """See PEP 342; loops tell nothing."""
        return self._coroutine.send(told)

    def throw(self, *error: Any) -> Any:  # noqa: ANN401
        """A cancellation is the coroutine's to hear."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """Nobody waits any more."""
        self._coroutine.close()
