"""The fixed functions of the condition language.

Each is bound at compile time: constants such as networks are read once, and a wrong
one is an error at load.  An absent argument gives an absent (or false) answer.
"""

from __future__ import annotations

import ast
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from millrace.engine.policy.kinds import NUMBER, TEXT, TRUTH, Kind

Values = Mapping[str, Any]
Run = Callable[[Values], Any]


@dataclass(frozen=True, slots=True)
class Function:
    """One of the fixed functions: how it is written, what it takes and gives."""

    usage: str
    least: int
    most: int
    takes: tuple[str, ...]
    gives: Kind
    bind: Callable[[list[Run], list[ast.expr]], Run]


def _lower(runs: list[Run], arguments: list[ast.expr]) -> Run:
    return lambda values: None if (text := runs[0](values)) is None else text.lower()


def _length(runs: list[Run], arguments: list[ast.expr]) -> Run:
    return lambda values: None if (value := runs[0](values)) is None else len(value)


def _least(runs: list[Run], arguments: list[ast.expr]) -> Run:
    def run(values: Values) -> float | None:
        known = [value for each in runs if (value := each(values)) is not None]
        return min(known) if len(known) == len(runs) else None

    return run


def _most(runs: list[Run], arguments: list[ast.expr]) -> Run:
    def run(values: Values) -> float | None:
        known = [value for each in runs if (value := each(values)) is not None]
        return max(known) if len(known) == len(runs) else None

    return run


def _constants(arguments: list[ast.expr], usage: str) -> list[str]:
    found = [part.value for part in arguments if isinstance(part, ast.Constant)]
    if len(found) != len(arguments):
        raise ValueError(f"it is written {usage}")
    return [str(value) for value in found]


def _under(runs: list[Run], arguments: list[ast.expr]) -> Run:
    domains = [
        d.lower().strip(".") for d in _constants(arguments[1:], "under(NAME, 'example.org')")
    ]
    suffixes = tuple("." + domain for domain in domains)
    exact = frozenset(domains)

    def run(values: Values) -> bool:
        found = runs[0](values)
        name = found.lower().removesuffix(".") if found is not None else ""
        return name in exact or name.endswith(suffixes)

    return run


def _within(runs: list[Run], arguments: list[ast.expr]) -> Run:
    usage = "within(peer.ip, '192.0.2.0/24')"
    networks = [
        ipaddress.ip_network(text, strict=False) for text in _constants(arguments[1:], usage)
    ]

    def run(values: Values) -> bool:
        try:
            address = ipaddress.ip_address(runs[0](values) or "")
        except ValueError:  # absent, or no address: a HELO name may be either
            return False
        return any(address.version == net.version and address in net for net in networks)

    return run


FUNCTIONS: dict[str, Function] = {
    "lower": Function("lower(TEXT)", 1, 1, ("text", "choice"), TEXT, _lower),
    "len": Function("len(TEXT or LIST)", 1, 1, ("text", "choice", "list"), NUMBER, _length),
    "min": Function("min(NUMBER, NUMBER, …)", 2, 8, ("number",), NUMBER, _least),
    "max": Function("max(NUMBER, NUMBER, …)", 2, 8, ("number",), NUMBER, _most),
    "under": Function("under(NAME, 'example.org', …)", 2, 64, ("text",), TRUTH, _under),
    "within": Function("within(peer.ip, '192.0.2.0/24', …)", 2, 64, ("text",), TRUTH, _within),
}
