"""A coroutine that is begun at once, and waited for only if it has to wait.

Most of what may wait does not: the answer is cached, the filter is plain.  A timer, a time-out
or a task around it would be dearer than the thing itself, so it takes its first step before
they are made.

Fails: as the coroutine does.
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class Begun(Generic[T]):
    """One coroutine after its first step; `rest` goes on with it, in the same task."""

    __slots__ = ("_coroutine", "_waited", "ended", "value")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.ended = False
        self._coroutine = coroutine
        try:
            self._waited = coroutine.send(None)
        except StopIteration as end:
            self.ended, self.value = True, cast("T", end.value)

    @types.coroutine
    def rest(self) -> Generator[Any, Any, T]:
        """What it gives, at its end."""
        running, waited = self._coroutine, self._waited
        try:
            while True:
                try:
                    told = yield waited
                except BaseException as error:  # a cancellation is the coroutine's to hear
                    waited = running.throw(error)
                else:
                    waited = running.send(told)
        except StopIteration as end:
            return cast("T", end.value)
