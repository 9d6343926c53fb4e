"""What an operation on shared memory is: keys, a pure step, the step as a script.

A store hands `step` what it keeps under the keys and keeps what comes back, all at once:
in one transaction, or in Redis by `script`.  So an operation is written once in Python and
once in Lua, in one file, and no store knows any of them by name.

A row is a small table of numbers by name.  A row whose time is over is never handed out.
Keys that one operation touches hold the same word in braces, so that a Redis cluster
keeps them in one place.

Fails: never; the stores raise `Unavailable`.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

Row = Mapping[str, float]
T = TypeVar("T")
DAY = 86_400.0


class Kept(NamedTuple):
    """A row to keep, and for how many seconds from now."""

    row: Row
    seconds: float


class Outcome(NamedTuple, Generic[T]):
    """The answer, and what to keep under each key; None leaves a row as it is."""

    answer: T
    keep: tuple[Kept | None, ...] = ()


class Operation(Generic[T]):
    """One need; a frozen dataclass, so that it can be a key of a cache.

    `script` is the step in Lua, behind the prelude of `engine.state.scripts`; its numbers
    come from `arguments`, its reply goes through `answer`.
    """

    __slots__ = ()
    script: ClassVar[str]

    @property
    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """What it touches."""

    @property
    @abstractmethod
    def arguments(self) -> tuple[float | str, ...]:
        """What the script must know."""

    @abstractmethod
    def step(self, rows: Sequence[Row | None], now: float) -> Outcome[T]:
        """Decide, by what is kept under each key; `now` is Unix time in seconds."""

    @abstractmethod
    def answer(self, reply: Sequence[Any]) -> T:
        """The answer, from what the script replied."""

    def fresh(self, answer: T) -> float:
        """For how many seconds this process may give the same answer without asking again."""
        return 0.0


def digest(*parts: str) -> str:
    """A short key; addresses do not stand in the store as they are."""
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=16).hexdigest()
