"""What differs between two policies, in words that a postmaster would use.

Takes the data of the files, not compiled rules, so that a policy of long ago can be told of too.

Fails: never; what is not of the expected shape is passed over.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millrace.engine.policy.analysis.text import tree

Table = Mapping[str, Any]
_WORD = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[\w.]+|[=!<>]=|\S""", re.S)
_NOW = {
    "pass": "lets pass",
    "tag": "tags",
    "quarantine": "quarantines",
    "defer": "defers",
    "reject": "refuses",
    "discard": "discards",
}
_THEN = {
    "pass": "let pass",
    "tag": "tagged",
    "quarantine": "quarantined",
    "defer": "deferred",
    "reject": "refused",
    "discard": "discarded",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: a sentence, and what was and is where both are worth showing."""

    sentence: str
    was: str = ""
    now: str = ""


def policies(before: Table, after: Table) -> Iterator[Change]:
    """What a policy does otherwise than the one before."""
    old, new = named(before, "rule"), named(after, "rule")
    yield from _rules(old, new)
    for name, follower in moved(list(old), list(new)):
        where = f"before `{follower}`" if follower else "last"
        yield Change(f"`{name}` now stands {where}")
    yield from _weights(named(before, "weight"), named(after, "weight"))


def overlays(before: Table, after: Table) -> Iterator[Change]:
    """What an overlay does otherwise than the one before."""
    yield from values("the overlay", before, after, ("rule", "title"))
    yield from _rules(named(before, "rule"), named(after, "rule"))


def _rules(old: Mapping[str, Table], new: Mapping[str, Table]) -> Iterator[Change]:
    for name, rule in old.items():
        if name not in new:
            yield Change(f"`{name}` is gone: it {_did(rule)} when", now=_text(rule.get("when")))
    order = list(new)
    for at, (name, rule) in enumerate(new.items()):
        if name in old:
            yield from _rule(name, old[name], rule)
            continue
        follower = f", before `{order[at + 1]}`" if at + 1 < len(order) else ""
        yield Change(
            f"`{name}` is new{follower}: it {_does(rule)} when", now=_text(rule.get("when"))
        )


def _rule(name: str, old: Table, new: Table) -> Iterator[Change]:
    if old.get("then") != new.get("then"):
        yield Change(f"`{name}` now {_does(new)} where it {_did(old)}")
    if not same_condition(old.get("when"), new.get("when")):
        yield Change(f"`{name}` has another condition", _text(old.get("when")), _text(new["when"]))
    told = ["name", "when", "then"]
    if old.get("stop", True) == new.get("stop", True):  # it stops where nothing is said
        told.append("stop")
    yield from values(f"`{name}`", old, new, told)


def _does(rule: Table) -> str:
    return _NOW.get(str(rule.get("then")), "acts")


def _did(rule: Table) -> str:
    return _THEN.get(str(rule.get("then")), "acted")


def _weights(old: Mapping[str, Table], new: Mapping[str, Table]) -> Iterator[Change]:
    for name, weight in old.items():
        if name not in new:
            yield Change(f"weight `{name}` is gone: it added {_text(weight.get('add'))}")
    for name, weight in new.items():
        add, when = _text(weight.get("add")), _text(weight.get("when"))
        if name not in old:
            yield Change(
                f"weight `{name}` is new: it adds {add}" + (" when" if when else ""), now=when
            )
            continue
        was = _text(old[name].get("add"))
        if not same_condition(was, add):
            yield Change(f"weight `{name}` now adds {add} where it added {was}")
        if not same_condition(old[name].get("when"), weight.get("when")):
            before = _text(old[name].get("when")) or "always"
            yield Change(f"weight `{name}` has another condition", before, when or "always")
        yield from values(f"weight `{name}`", old[name], weight, ("name", "when", "add"))


def values(
    what: str,
    old: Table,
    new: Table,
    told: Sequence[str],
    same: Callable[[Any, Any], bool] = lambda a, b: a == b,
) -> Iterator[Change]:
    """Other keys of two tables that differ; those in `told` are left to the caller."""
    for key in dict.fromkeys([*old, *new]):
        if key in told or same(old.get(key), new.get(key)):
            continue
        if key not in new:
            yield Change(f"{what} no longer has {key}", _text(old[key]))
        elif key not in old:
            yield Change(f"{what} now has {key}", now=_text(new[key]))
        else:
            yield Change(f"{what} has another {key}", _text(old[key]), _text(new[key]))


def named(data: Table, kind: str) -> dict[str, Table]:
    """The tables of a kind by their names, in the order of the file."""
    tables = data.get(kind, [])
    found = tables if isinstance(tables, list) else []
    return {str(each["name"]): each for each in found if isinstance(each, dict) and "name" in each}


def moved(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The fewest names whose move explains the new order, each with who follows it now."""
    was = {name: at for at, name in enumerate(old)}
    common = [name for name in new if name in was]
    stayed = _longest_rising([was[name] for name in common])
    for at, name in enumerate(common):
        if was[name] not in stayed:
            yield name, common[at + 1] if at + 1 < len(common) else ""


def _longest_rising(numbers: Sequence[int]) -> set[int]:
    """The longest rising subsequence of numbers that differ."""
    tails: list[int] = []  # the least end of a rising run of each length
    before: dict[int, int | None] = {}
    for number in numbers:
        at = bisect_left(tails, number)
        before[number] = tails[at - 1] if at else None
        tails[at : at + 1] = [number]
    found: set[int] = set()
    each = tails[-1] if tails else None
    while each is not None:
        found.add(each)
        each = before[each]
    return found


def same_condition(one: object, other: object) -> bool:
    """Whether two conditions are the same but for space, brackets, quotes, and 5 or 5.0."""
    trees = [tree(_text(each)) for each in (one, other)]
    if None in trees:  # no condition, or none that can be read
        return _WORD.findall(_text(one)) == _WORD.findall(_text(other))
    return _plain(trees[0]) == _plain(trees[1])


def _plain(found: ast.AST | None) -> str:
    assert found is not None
    for node in ast.walk(found):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            node.value = int(node.value) if node.value.is_integer() else node.value
    return ast.dump(found)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
