"""What conditions and policies mean, told a second time and as plainly as can be.

A condition is a tree of tuples; `written` is its text, `meant` its value over some facts.
"""

from __future__ import annotations

import email.header
import ipaddress
import math
import operator
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

Tree = tuple[Any, ...]
Facts = Mapping[str, Any]
COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "min": min, "max": max}
UNITS = {"KB": 1000, "MiB": 1 << 20, "ms": 0.001, "s": 1, "m": 60, "h": 3600}
HELD = {
    "domains": {"a.example", "b.example"},
    "offices": {"192.0.2.7"},
    "tier": {"a.example": "gold", "c.example": "iron"},
}


def written(tree: Tree) -> str:  # noqa: C901 - one case for each form
    """The text of a condition."""
    match tree:
        case ("const", value):
            return repr(value)
        case ("amount", number, unit):
            return f"{number}{unit}"
        case ("field", path):
            return str(path)
        case ("neg", inner):
            return f"-({written(inner)})"
        case ("not", inner):
            return f"(not {written(inner)})"
        case (("and" | "or") as word, *parts):
            return "(" + f"\n  {word} ".join(written(part) for part in parts) + ")"
        case ("chain", ops, terms):
            pairs = zip(ops, terms[1:], strict=True)
            return f"({written(terms[0])}" + "".join(f" {o} {written(t)}" for o, t in pairs) + ")"
        case ("in", op, item, values):
            return f"({written(item)} {op} {values!r})"
        case ("held", op, item, name):
            return f"({written(item)} {op} lists.{name})"
        case ("map", key):
            return f"lists.tier[{written(key)}]"
        case (("header" | "has_header") as word, name):
            return f"{word}({name!r})"
        case ("call", name, *parts):
            return f"{name}({', '.join(written(part) for part in parts)})"
        case (op, left, right):
            return f"({written(left)} {op} {written(right)})"
    raise AssertionError(tree)


def meant(tree: Tree, facts: Facts) -> Any:  # noqa: C901 - one case for each form
    """Its value; None is what the mail lacks."""
    match tree:
        case ("const", value):
            return value
        case ("amount", number, unit):
            return number * UNITS[unit]
        case ("field", path):
            return _field(path, facts)
        case ("neg", inner):
            value = meant(inner, facts)
            return None if value is None else -value
        case ("not", inner):
            return not meant(inner, facts)
        case ("and", *parts):
            return all(meant(part, facts) for part in parts)
        case ("or", *parts):
            return any(meant(part, facts) for part in parts)
        case ("chain", ops, terms):
            values = [meant(term, facts) for term in terms]
            return all(_compared(op, values[at], values[at + 1]) for at, op in enumerate(ops))
        case ("in", op, item, values):
            value = meant(item, facts)
            return (value is not None and _inside(value, values)) == (op == "in")
        case ("held", op, item, name):
            value = meant(item, facts)
            return (value is not None and value in HELD[name]) == (op == "in")
        case ("header", name):
            return _header(name, facts)
        case ("has_header", name):
            return _header(name, facts) is not None
        case ("map", key):
            return HELD["tier"].get(meant(key, facts))  # type: ignore[union-attr]
        case ("call", name, *parts):
            return _called(name, [meant(part, facts) for part in parts])
        case (op, left, right):
            return _computed(op, meant(left, facts), meant(right, facts))
    raise AssertionError(tree)


def _field(path: str, facts: Facts) -> Any:
    first, *rest = path.split(".")
    found = facts.get(first)
    for name in rest:
        found = None if found is None else getattr(found, name)
    return found


_ENCODED_WORD = re.compile(r"=\?[^?]+\?[bBqQ]\?[^?]*\?=")


def _header(name: str, facts: Facts) -> str | None:
    fields = facts["headers"].fields if "headers" in facts else ()
    for field, value in fields:
        if field.decode().lower() == name.lower():
            return _ENCODED_WORD.sub(_decoded, value.decode())
    return None


def _decoded(word: re.Match[str]) -> str:
    # one word alone: around it the library adds blanks that the field does not have
    return str(email.header.make_header(email.header.decode_header(word[0])))


def _compared(op: str, a: Any, b: Any) -> bool:
    if a is None or b is None:
        return op == "!="
    return bool(COMPARE[op](a, b))


def _inside(value: Any, values: Any) -> bool:
    entries = [values] if isinstance(values, str) else values
    if any(isinstance(entry, str) and "/" in entry for entry in entries):
        return _within(value, entries)
    return value in entries


def _within(value: str, networks: list[str]) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network) for network in networks)


def _called(name: str, values: list[Any]) -> Any:
    if values[0] is None or None in values:
        return None if name in ("len", "lower", "min", "max") else False
    match name:
        case "len":
            return len(values[0])
        case "lower":
            return values[0].lower()
        case "min" | "max":
            return ARITHMETIC[name](values[0], values[1])
        case "under":
            return any(f".{values[0].lower()}".endswith(f".{each}") for each in values[1:])
        case "within":
            return _within(values[0], values[1:])
        case "matches":
            return re.search(values[1], values[0]) is not None
    raise AssertionError(name)


def _computed(op: str, a: Any, b: Any) -> Any:
    if a is None or b is None:
        return None
    if op == "/":
        return a / b if b else 0.0
    return ARITHMETIC[op](a, b)


def names(tree: Tree) -> set[str]:
    """The facts that a condition asks for."""
    if tree[0] in ("header", "has_header"):
        return {"headers"}
    if tree[0] == "field":
        return {tree[1].partition(".")[0]}
    found: set[str] = set()
    for part in tree[1:]:
        for each in part if isinstance(part, (list, tuple)) and tree[0] == "chain" else [part]:
            found |= names(each) if isinstance(each, tuple) else set()
    return found


def judged(policy: Mapping[str, list[dict[str, Any]]], facts: Facts, stages: Mapping[str, int]):
    """(rule that decides, rules that marked, terms) of a policy of trees."""

    def stage(*trees: Tree | None) -> int:
        asked = set().union(*(names(tree) for tree in trees if tree))
        return max((stages[name] for name in asked), default=0)

    terms: list[tuple[str, Decimal]] = []
    decided, marks = None, []
    known: dict[str, Any] = dict(facts)
    late = max((stage(w["add"], w["when"]) for w in policy["weights"]), default=0)
    stages = {**stages, "score": late}
    for now in range(max(stages.values()) + 1):
        for weight in policy["weights"]:
            if stage(weight["add"], weight["when"]) != now:
                continue
            if weight["when"] and not meant(weight["when"], facts):
                continue
            add = meant(weight["add"], facts)
            if add and math.isfinite(add):
                shown = Decimal(repr(round(float(add), 3)))
                terms.append((weight["name"], max(min(shown, Decimal(10**6)), Decimal(-(10**6)))))
        known["score"] = float(sum(add for _, add in terms))
        for rule in policy["rules"] if decided is None else ():
            if stage(rule["when"]) == now and meant(rule["when"], known):
                if rule["stop"]:
                    decided = rule["name"]
                    break
                marks.append(rule["name"])
    return decided, marks, terms
