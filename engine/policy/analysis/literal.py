"""What one comparison says of one subject, and whether several can be true.

A subject is whatever a condition compares: `spf.result`, `lower(helo.name)`, `score`.  An
absent one makes every literal false, as in `expr`, so a conjunction of denials can always
be met by a mail that lacks the thing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal as Word

from millrace.engine.policy.analysis import region
from millrace.engine.policy.analysis.region import Paths

Value = str | float | bool | None
Universe = Word["anything", "choice", "lower", "bounded"]
_FALSY: tuple[Value, ...] = (None, "", 0.0, False)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is compared: its text, what it can be, and the records that it cannot be without.

    It is empty without its `owner`, where it has one.
    """

    text: str
    universe: Universe = "anything"
    choices: tuple[Value, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    needs: frozenset[str] = frozenset()
    whole: bool = False
    owner: str = ""

    def can_be(self, value: Value) -> bool:
        """Whether it can have this value."""
        if value is None:
            return True
        if self.universe == "choice":
            return value in self.choices
        if self.universe == "lower":
            return isinstance(value, str) and value == value.lower()
        if self.universe == "bounded" and isinstance(value, (int, float)):
            fits = not self.whole or float(value).is_integer()
            return fits and self.low <= value <= self.high
        return True


@dataclass(frozen=True, slots=True)
class Among:
    """It is one of these."""

    values: frozenset[Value]

    def of(self, value: Value) -> bool:
        """Whether a value makes this true."""
        return value is not None and value in self.values


@dataclass(frozen=True, slots=True)
class Between:
    """It is a number above `low` and below `high`; `closed` when the ends belong to it."""

    low: float
    high: float
    closed: bool

    def of(self, value: Value) -> bool:
        """Whether a value makes this true."""
        if not isinstance(value, (int, float)):
            return False
        if self.closed:
            return self.low <= value <= self.high
        return self.low < value < self.high


@dataclass(frozen=True, slots=True)
class Inside:
    """It is a domain or address in one of these regions."""

    kind: Word["domain", "network"]
    paths: Paths

    def of(self, value: Value) -> bool:
        """Whether a value makes this true."""
        if not isinstance(value, str):
            return False
        read = region.domain_path if self.kind == "domain" else region.network_path
        path = read(value)
        whole = self.kind == "domain" or "/" not in value
        return whole and region.inside(path, self.paths)


@dataclass(frozen=True, slots=True)
class Truthy:
    """It is there, and neither false, zero nor empty."""

    def of(self, value: Value) -> bool:
        """Whether a value makes this true."""
        return bool(value)


Literal = Among | Between | Inside | Truthy
Signed = tuple[Literal, bool]  # and whether it is said or denied


def possible(subject: Subject, said: Sequence[Signed]) -> bool:
    """Whether some value makes all of them true; True where that is not known."""
    positive = [literal for literal, sign in said if sign]
    if not positive:
        return True  # it may be absent
    few = _few(subject, said)
    if few is not None:
        return any(
            subject.can_be(value) and all(literal.of(value) is sign for literal, sign in said)
            for value in few
        )
    denied = [literal for literal, sign in said if not sign]
    if any(isinstance(literal, Between) for literal in positive):
        return _some_number(subject, positive, denied)
    return _some_place(positive, denied)


def _few(subject: Subject, said: Sequence[Signed]) -> Iterable[Value] | None:
    """The only values that come into question, if they are few."""
    for literal, sign in said:
        if isinstance(literal, Among) and sign:
            return literal.values
        if isinstance(literal, Truthy) and not sign:
            return _FALSY
    return (*subject.choices, None) if subject.universe == "choice" else None


def _some_number(subject: Subject, said: list[Literal], denied: list[Literal]) -> bool:
    low, low_in, high, high_in = subject.low, True, subject.high, True
    for between in _betweens(said, denied):
        if (between.low, not between.closed) > (low, not low_in):
            low, low_in = between.low, between.closed
        if (-between.high, not between.closed) > (-high, not high_in):
            high, high_in = between.high, between.closed
    if subject.whole:
        low, low_in = _next_whole(low, low_in, 1), True
        high, high_in = _next_whole(high, high_in, -1), True
    if low < high:
        return True
    if low > high or not (low_in and high_in):
        return False
    return all(literal.of(low) for literal in said) and not any(each.of(low) for each in denied)


def _next_whole(end: float, inside: bool, step: int) -> float:
    """The first whole number from an end on, going inwards."""
    if not math.isfinite(end):
        return end
    whole = math.ceil(end) if step > 0 else math.floor(end)
    return whole + step if whole == end and not inside else whole


def _betweens(said: list[Literal], denied: list[Literal]) -> Iterable[Between]:
    yield from (literal for literal in said if isinstance(literal, Between))
    for literal in denied:  # the number is there, so a denial is the other side of the limit
        if isinstance(literal, Between) and literal.high == math.inf:
            yield Between(-math.inf, literal.low, not literal.closed)
        elif isinstance(literal, Between) and literal.low == -math.inf:
            yield Between(literal.high, math.inf, not literal.closed)


def _some_place(said: list[Literal], denied: list[Literal]) -> bool:
    for kind in ("domain", "network"):
        inner = [each.paths for each in said if isinstance(each, Inside) and each.kind == kind]
        if not inner:
            continue
        left = inner[0]
        for paths in inner[1:]:
            left = region.common(left, paths)
        outer = [e.paths for e in denied if isinstance(e, Inside) and e.kind == kind]
        if not region.without(left, outer):
            return False
    return True
