"""What conditions are compiled to: small functions over the facts of one mail.

None stands for what is absent, and the one rule for it stands here: an absent thing equals
nothing and is in nothing; `!=` and `not in` hold for it; what is computed from it is absent.

The comparison of a field with a constant, which most conditions are made of, has a
function of its own for each operator: one call, no detours.

Fails: never, whatever the facts are.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Container, Mapping
from typing import Any

Values = Mapping[str, Any]
Run = Callable[[Values], Any]
Holds = Callable[[str], bool]


def constant(value: object) -> Run:
    """The same for every mail."""
    return lambda values: value


def name(word: str) -> Run:
    """A whole fact or source; None where the mail has none."""
    return lambda values: values.get(word)


def field_of_name(word: str, attribute: str) -> Run:
    """One field of a fact: `spf.result`."""

    def run(values: Values) -> Any:  # noqa: ANN401
        record = values.get(word)
        return None if record is None else getattr(record, attribute)

    return run


def field(inner: Run, attribute: str) -> Run:
    """One field of a record inside a fact: `dmarc.aligned.spf`."""

    def run(values: Values) -> Any:  # noqa: ANN401
        record = inner(values)
        return None if record is None else getattr(record, attribute)

    return run


def header_text(field_name: bytes) -> Run:
    """The first header field of a name, as a text; None where the mail has none."""

    def run(values: Values) -> str | None:
        headers = values.get("headers")
        return None if headers is None else headers.text(field_name)

    return run


def has_header(field_name: bytes) -> Run:
    """Whether the mail has a header field of a name."""
    text = header_text(field_name)
    return lambda values: text(values) is not None


def mailbox(inner: Run) -> Run:
    """The address that a record names, as a text; "" for the null sender."""

    def run(values: Values) -> str | None:
        record = inner(values)
        local = None if record is None else record.local
        if local is None or record.domain is None:
            return None
        return f"{local}@{record.domain}" if record.domain else str(local)

    return run


def every(runs: list[Run]) -> Run:
    """`and`."""
    if len(runs) == 2:
        one, two = runs
        return lambda values: bool(one(values) and two(values))
    if len(runs) == 3:
        one, two, three = runs
        return lambda values: bool(one(values) and two(values) and three(values))
    return lambda values: all(run(values) for run in runs)


def either(runs: list[Run]) -> Run:
    """`or`."""
    if len(runs) == 2:
        one, two = runs
        return lambda values: bool(one(values) or two(values))
    return lambda values: any(run(values) for run in runs)


def negated(inner: Run) -> Run:
    """`not`."""
    return lambda values: not inner(values)


def signed(compute: Callable[[Any], Any], inner: Run) -> Run:
    """`-x` and `+x`."""
    return lambda values: None if (value := inner(values)) is None else compute(value)


def computed(compute: Callable[[Any, Any], float], left: Run, right: Run) -> Run:
    """Arithmetic of two numbers."""

    def run(values: Values) -> float | None:
        a, b = left(values), right(values)
        try:
            return None if a is None or b is None else compute(a, b)
        except OverflowError:  # whole numbers of any length meet a float
            return None

    return run


def compared(op: type[ast.cmpop], left: Run, right: Run) -> Run:
    """A comparison of any two things."""
    compare, denies = COMPARISONS[op], op in (ast.NotEq, ast.NotIn)

    def run(values: Values) -> bool:
        a, b = left(values), right(values)
        return denies if a is None or b is None else compare(a, b)

    return run


def field_compared(op: type[ast.cmpop], word: str, attribute: str, other: Any) -> Run:  # noqa: ANN401
    """A comparison of a field with a constant that is not absent."""
    if op is ast.Eq:

        def equals(values: Values) -> bool:
            record = values.get(word)
            return record is not None and getattr(record, attribute) == other

        return equals
    if op is ast.In:

        def among(values: Values) -> bool:
            record = values.get(word)
            if record is None:
                return False
            value = getattr(record, attribute)
            return value is not None and value in other

        return among
    if op is ast.NotEq or op is ast.NotIn:
        return negated(field_compared(_OPPOSITE[op], word, attribute, other))
    return _field_ordered(COMPARISONS[op], word, attribute, other)


def _field_ordered(
    compare: Callable[[Any, Any], bool], word: str, attribute: str, other: Any  # noqa: ANN401
) -> Run:  # fmt: skip
    def run(values: Values) -> bool:
        record = values.get(word)
        value = None if record is None else getattr(record, attribute)
        return value is not None and compare(value, other)

    return run


def held(holds: Holds, inner: Run, *, denies: bool = False) -> Run:
    """Whether a named list, or some networks, hold a text."""
    if denies:
        return negated(held(holds, inner))

    def run(values: Values) -> bool:
        value = inner(values)
        return value is not None and holds(value)

    return run


def looked_up(value_of: Callable[[str], str | None], key: Run) -> Run:
    """What a map has for a key; absent where the key is."""
    return lambda values: None if (found := key(values)) is None else value_of(found)


def _in(item: object, items: Container[object]) -> bool:
    return item in items


def _not_in(item: object, items: Container[object]) -> bool:
    return item not in items


def _quotient(a: float, b: float) -> float:
    return a / b if b else 0.0


ARITHMETIC: dict[type, Callable[[Any, Any], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _quotient,
}
COMPARISONS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: _in,
    ast.NotIn: _not_in,
}
_OPPOSITE: dict[type, type[ast.cmpop]] = {ast.NotEq: ast.Eq, ast.NotIn: ast.In}
