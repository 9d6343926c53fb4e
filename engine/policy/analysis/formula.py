"""Conditions as logic: literals joined by and, or, not.

`Reader.formula` follows `expr` to the letter where it can (comparisons with constants,
`in` lists, `under`, `within`, whether a thing is there); any other part is a statement of
its own, equal only to itself.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from millrace.engine.policy import networks, places
from millrace.engine.policy.analysis import region
from millrace.engine.policy.analysis.bounds import ANY, Bounds, bounds, constant
from millrace.engine.policy.analysis.literal import (
    Among,
    Between,
    Inside,
    Literal,
    Subject,
    Truthy,
    Value,
)
from millrace.engine.policy.analysis.text import conjuncts, key, records, shown, tree
from millrace.engine.policy.kinds import Kind, fields_of

_BOTH: tuple[Value, ...] = (True, False)
_NUMERIC = ("min", "max", "len")
_VALUED = (*_NUMERIC, "lower", "header")  # what they give is compared elsewhere, too


@dataclass(frozen=True, slots=True)
class Atom:
    """One literal about one subject, said or denied."""

    subject: Subject
    literal: Literal
    sign: bool = True


@dataclass(frozen=True, slots=True)
class All:
    """All of these hold; of none it is true."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these holds; of none it is false."""

    parts: tuple[Formula, ...]


Formula = Atom | All | OneOf
TRUE, FALSE = All(()), OneOf(())


ALWAYS = ("peer", "sender")  # what every mail has; of a bounce the sender has no address


def denied(formula: Formula) -> Formula:
    """The opposite, with denials at the literals."""
    if isinstance(formula, Atom):
        return replace(formula, sign=not formula.sign)
    parts = tuple(denied(part) for part in formula.parts)
    return OneOf(parts) if isinstance(formula, All) else All(parts)


def plain(formula: Formula) -> Formula:
    """The same without an `and` in an `and`, an `or` in an `or`, or one of a single part."""
    if isinstance(formula, Atom):
        return formula
    parts: list[Formula] = []
    for part in map(plain, formula.parts):
        parts += part.parts if isinstance(part, type(formula)) else (part,)
    return parts[0] if len(parts) == 1 else type(formula)(tuple(parts))


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads conditions over these names; `score` is what the weights can add up to."""

    names: Mapping[str, Kind]
    score: Bounds = (-math.inf, math.inf)
    _read: dict[str, Formula] = field(default_factory=dict, compare=False)
    _parts: dict[str, list[tuple[str, Formula]]] = field(default_factory=dict, compare=False)

    def formula(self, text: str) -> Formula:
        """The whole condition; each text is read once."""
        if text not in self._read:
            self._read[text] = plain(All(tuple(part for _, part in self.parts(text))))
        return self._read[text]

    def parts(self, text: str) -> list[tuple[str, Formula]]:
        """What a top-level `and` joins, each with its text; each text is read once."""
        if text not in self._parts:
            self._parts[text] = self._parted(text)
        return self._parts[text]

    def _parted(self, text: str) -> list[tuple[str, Formula]]:
        body = tree(text)
        if body is None:
            return [(text, self._unknown(text))]
        return [(shown(part), self._truth(part)) for part in conjuncts(body)]

    def _truth(self, node: ast.expr) -> Formula:
        if isinstance(node, ast.BoolOp):
            parts = tuple(self._truth(part) for part in node.values)
            return All(parts) if isinstance(node.op, ast.And) else OneOf(parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return denied(self._truth(node.operand))
        if isinstance(node, ast.Compare):
            return self._compared(node)
        if isinstance(node, ast.Constant):
            return TRUE if node.value else FALSE
        if isinstance(node, ast.Call):
            return self._called(node)
        if isinstance(node, ast.Name) and node.id in ALWAYS:
            return TRUE
        return Atom(self._subject(node), Truthy())

    def _called(self, node: ast.Call) -> Formula:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        words = [constant(argument) for argument in node.args[1:]]
        if name in _VALUED:
            return Atom(self._subject(node), Truthy())
        if name not in ("under", "within") or not all(isinstance(w, str) for w in words):
            return self._unknown(key(node), node)
        texts = [word for word in words if isinstance(word, str)]
        if name == "under":
            named = {form for text in texts for form in places.domain_forms(text.strip("."))}
            paths = frozenset(map(region.domain_path, named))
            literal = Inside("domain", paths)
        else:
            paths = frozenset(region.network_path(text) for text in texts)
            literal = Inside("network", paths)
        if () in paths:
            return self._unknown(shown(node))
        return Atom(self._subject(node.args[0]), literal)

    def _compared(self, node: ast.Compare) -> Formula:
        terms = [node.left, *node.comparators]
        pairs = zip(terms, node.ops, terms[1:], strict=False)
        return All(tuple(self._pair(*pair) for pair in pairs))

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Formula:
        if isinstance(op, (ast.NotEq, ast.NotIn)):
            opposite = ast.Eq() if isinstance(op, ast.NotEq) else ast.In()
            return denied(self._pair(left, opposite, right))
        if isinstance(op, ast.In):
            return self._listed(left, right)
        if isinstance(op, ast.Eq):
            return self._equal(left, right)
        return self._ordered(left, op, right)

    def _equal(self, left: ast.expr, right: ast.expr) -> Formula:
        a, b = constant(left), constant(right)
        if a is not None and b is not None:
            return TRUE if a == b else FALSE
        if (a is None and b is None) or self._address(left) or self._address(right):
            return self._unknown(" == ".join(sorted((shown(left), shown(right)))), left, right)
        node, value = (left, b) if a is None else (right, a)
        return Atom(self._subject(node), Among(self._values(node, [value])))

    def _listed(self, left: ast.expr, right: ast.expr) -> Formula:
        whole = f"{shown(left)} in {shown(right)}"
        kind = self.kind(left)
        if (kind is None or kind.word == "text") and (found := networks.named(right)):
            paths = frozenset(map(region.network_path, found))
            return Atom(self._subject(left), Inside("network", paths))
        if not isinstance(right, (ast.List, ast.Tuple)):
            return self._unknown(whole, left, right)
        entries = [constant(entry) for entry in right.elts]
        value = constant(left)
        if value is not None and None not in entries:
            return TRUE if value in entries else FALSE
        if None in entries or value is not None or self._address(left):
            return self._unknown(whole, left)
        return Atom(self._subject(left), Among(self._values(left, entries))) if entries else FALSE

    def _values(self, node: ast.expr, constants: Iterable[Value]) -> frozenset[Value]:
        """The values that equal one of these constants."""
        kind = self.kind(node)
        forms = (places.forms(kind, c) if isinstance(c, str) else {c} for c in constants)
        return frozenset[Value]().union(*forms)

    def _ordered(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Formula:
        a, b = constant(left), constant(right)
        closed = isinstance(op, (ast.LtE, ast.GtE))
        rising = isinstance(op, (ast.Lt, ast.LtE))  # left is the smaller one
        if isinstance(a, str) or isinstance(b, str) or (a is None and b is None):
            return self._unknown(f"{shown(left)} {'<' if rising else '>'}{closed} {shown(right)}")
        if a is not None and b is not None:
            low, high = (a, b) if rising else (b, a)
            return TRUE if low < high or (closed and low == high) else FALSE
        if a is not None:
            between = Between(a, math.inf, closed) if rising else Between(-math.inf, a, closed)
            return Atom(self._subject(right), between)
        assert b is not None
        between = Between(-math.inf, b, closed) if rising else Between(b, math.inf, closed)
        return Atom(self._subject(left), between)

    def _address(self, node: ast.expr) -> bool:
        """Whether it is a whole sender or recipient, whose domain has no case."""
        kind = self.kind(node)
        return kind is not None and kind.record is not None

    def _unknown(self, text: str, *terms: ast.expr) -> Formula:
        """A statement of which only its text is known; it needs all of its terms to be there."""
        needs = frozenset[str]().union(*(records(term) for term in terms))
        return Atom(Subject(text, "choice", _BOTH, needs=needs), Truthy())

    def _subject(self, node: ast.expr) -> Subject:
        text = key(node)
        needs = records(node) - {text}
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            if called == "lower":
                return Subject(text, "lower", needs=needs)
            if called not in _NUMERIC:
                return Subject(text, needs=needs)
        kind = self.kind(node)
        if kind is not None and kind.word == "choice":
            return Subject(text, "choice", kind.choices, needs=needs)
        if kind is not None and kind.word == "truth":
            return Subject(text, "choice", _BOTH, needs=needs)
        if isinstance(node, ast.Subscript):
            return Subject(text)
        low, high = bounds(node, self.limits)
        counted = isinstance(node, ast.Call) and shown(node.func) == "len"
        whole = counted or (kind is not None and kind.whole)
        return Subject(text, "bounded", (), low, high, needs, whole, self._owner(node))

    def _owner(self, node: ast.expr) -> str:
        """What a mailbox has no domain without: the address of `sender.domain`."""
        if isinstance(node, ast.Attribute) and node.attr in ("domain", "local"):
            outer = self.kind(node.value)
            if outer is not None and outer.record and "address" in fields_of(outer.record):
                return f"{shown(node.value)}.address"
        return ""

    def limits(self, node: ast.expr) -> Bounds:
        """The least and the greatest that a name or a field can be."""
        if isinstance(node, ast.Name) and node.id == "score":
            return self.score
        kind = self.kind(node)
        return ANY if kind is None else (kind.low, kind.high)

    def kind(self, node: ast.expr) -> Kind | None:
        """The kind of a name or a field; None for what is neither."""
        if isinstance(node, ast.Name):
            return self.names.get("from" if node.id == "From" else node.id)
        if isinstance(node, ast.Attribute):
            outer = self.kind(node.value)
            if outer is not None and outer.record is not None:
                return fields_of(outer.record).get(node.attr)
        return None
