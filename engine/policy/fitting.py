"""Do the two sides of an operator fit?  Kinds, units and choices, at load.

Fails: each function raises `Misfit` at the node that does not fit.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import NamedTuple

from millrace.engine.document import meant
from millrace.engine.policy import places
from millrace.engine.policy.kinds import TEXT, TRUTH, Kind, Word, fields_of
from millrace.engine.policy.syntax import Misfit, Parsed, Unit

_HOLDS = {
    "domains": "domains",
    "addresses": "addresses",
    "networks": "networks",
    "patterns": "patterns",
    "map": "keys",
}


class Term(NamedTuple):
    """One side: where it stands, and what it is."""

    node: ast.expr
    kind: Kind


def one(parsed: Parsed) -> None:
    """Refuse two conditions with a comma between them."""
    if isinstance(parsed.body, ast.Tuple) and not parsed.plain.startswith("("):
        hint = "Write and, or or, between two conditions; a fraction has a point: 10.5MiB."
        raise parsed.misfit(parsed.body, "a comma stands between two conditions", hint)


def comparison(parsed: Parsed, op: ast.cmpop, left: Term, right: Term) -> None:
    """Refuse what can never hold, or compares things of two kinds."""
    if isinstance(op, (ast.Is, ast.IsNot)):
        raise parsed.misfit(left.node, "'is' is not of this language", "Write == or !=.")
    if isinstance(op, (ast.In, ast.NotIn)):
        if right.kind.word not in ("list", "text"):
            hint = "Write == to compare with one value." if right.kind.word != "record" else ""
            raise parsed.misfit(right.node, "after 'in' comes a list or a text", hint)
        if _constant(right.node) and not _constant(left.node):
            raise parsed.misfit(right.node, *_inside_out(parsed, op, left, right.node))
        _possible(parsed, left, right.node)
        _same(parsed, right.node, left, Term(right.node, right.kind.item or TEXT))
    elif isinstance(op, (ast.Eq, ast.NotEq)):
        _many(parsed, op, left, right)
        _possible(parsed, left, right.node)
        _possible(parsed, right, left.node)
        _same(parsed, right.node, left, right)
    else:
        number(parsed, left)
        number(parsed, right)
        units(parsed, left, right)


def whole_facts(
    parsed: Parsed, left: ast.expr, right: ast.Attribute, beside: Mapping[str, Kind]
) -> Misfit:
    """Nothing is in a list of whole facts; `beside` are the fields that may have been meant."""
    text, fact = parsed.shown(left), parsed.shown(right.value)
    value = left.value if isinstance(left, ast.Constant) else None
    found = [f"{fact}.{name} == {text}" for name, kind in beside.items() if value in kind.choices]
    for name, kind in beside.items():
        if not found and kind.item is not None and kind.item.texty:
            found.append(f"{text} in {fact}.{name}")
    if not found:
        found = [f"{fact}.{name}" for name in ("domain", "local") if name in beside]
    hint = f"Write {', or '.join(found)}." if found else ""
    return parsed.misfit(right, f"'{parsed.shown(right)}' holds whole facts", hint)


def networked(
    parsed: Parsed, op: ast.cmpop, left: ast.Attribute, right: ast.expr, beside: Mapping[str, Kind]
) -> None:
    """Refuse to look for a field in networks where another one is the address."""
    if beside[left.attr].place == "address":
        return
    owner = parsed.shown(left.value)
    found = [f"{owner}.{name}" for name, kind in beside.items() if kind.place == "address"]
    found += ["peer.ip"] if owner == "headers" else []
    if found:
        word = "not in" if isinstance(op, ast.NotIn) else "in"
        sentence = f"{parsed.shown(left)} is no address, so no network holds it"
        raise parsed.misfit(left, sentence, f"Write {found[0]} {word} {parsed.shown(right)}.")


def beside(parsed: Parsed, node: ast.Attribute, fields: Mapping[str, Kind]) -> str:
    """What to write for the field of a list, such as dkim.signatures.result."""
    fact = parsed.shown(node.value).rpartition(".")[0]
    if node.attr in fields:
        return f"Write {fact}.{node.attr}."
    many = f"{node.attr}s"
    return f"Write 'x' in {fact}.{many}." if many in fields else ""


def placed(parsed: Parsed, op: type[ast.cmpop], term: Term, other: ast.expr) -> frozenset[object]:
    """The values that a domain or an address is compared with, in the form of the facts."""
    found: set[object] = set()
    denies = op in (ast.NotEq, ast.NotIn)
    for each in other.elts if isinstance(other, (ast.List, ast.Tuple)) else [other]:
        text = each.value if isinstance(each, ast.Constant) else None
        if not isinstance(text, str):
            continue
        if refused := places.refusal(term.kind, text, parsed.shown(term.node), denies=denies):
            raise parsed.misfit(each, *refused)
        found |= places.forms(term.kind, text)
    return frozenset(found)


def number(parsed: Parsed, term: Term) -> None:
    """Refuse what is no number."""
    if term.kind.word != "number":
        shown = parsed.shown(term.node)
        quoted = isinstance(term.node, ast.Constant) and term.kind.texty
        shown, hint = (shown, "Write it without quotes.") if quoted else (f"'{shown}'", "")
        if term.kind.record:
            known = fields_of(term.kind.record).items()
            numbers = [f"{shown[1:-1]}.{name}" for name, kind in known if kind.word == "number"]
            hint = f"Write {', or '.join(numbers)}." if numbers else ""
        raise parsed.misfit(term.node, f"{shown} is {term.kind.shown}, not a number", hint)


def units(parsed: Parsed, left: Term, right: Term) -> None:
    """Refuse two numbers of two units; a plain constant goes with each unit."""
    if left.kind.unit == right.kind.unit:
        return
    for amount, other in ((right, left), (left, right)):
        if amount.kind.unit and not _constant(other.node):
            sentence = f"{parsed.shown(other.node)} {_COUNTS[other.kind.unit]}; "
            sentence += f"'{parsed.shown(amount.node)}' is {amount.kind.shown}"
            raise parsed.misfit(amount.node, sentence, _AMOUNTS[other.kind.unit])


def decides(parsed: Parsed, term: Term) -> None:
    """Refuse a part of and, or, not that holds whatever the mail is."""
    node, kind = term
    if kind.word in ("choice", "listing") or (
        isinstance(node, ast.Constant) and kind.word != TRUTH.word
    ):
        shown = parsed.shown(node)
        shown = shown if isinstance(node, ast.Constant) else f"'{shown}'"
        sentence = f"{shown} is {kind.shown}, not a condition"
        hint = "Compare it: a == 'x' or a == 'y', a in ['x', 'y']."
        if kind.word == "listing":
            hint = f"Write NAME in {parsed.shown(node)}."
        raise parsed.misfit(node, sentence, hint)


def entry(parsed: Parsed, listing: ast.expr, held: Kind, asked: Term) -> None:
    """Refuse what a named list can never hold."""
    if asked.kind.texty or (asked.kind.mailbox and held.holds not in ("domains", "networks")):
        return
    shown = parsed.shown(asked.node)
    what = "a whole fact" if asked.kind.word == "record" else asked.kind.shown
    wanted = {"networks": "ip", "domains": "domain"}.get(str(held.holds), "")
    known = fields_of(asked.kind.record) if asked.kind.record else {}
    hint = f"Write {shown}.{wanted}." if wanted in known else "Ask for a text such as from.domain."
    sentence = f"{parsed.shown(listing)} holds {_HOLDS[str(held.holds)]}; '{shown}' is {what}"
    raise parsed.misfit(asked.node, sentence, hint)


def _inside_out(
    parsed: Parsed, op: ast.In | ast.NotIn, left: Term, right: ast.expr
) -> tuple[str, str]:
    """Why no field is looked for inside one text: it would be found by any piece of that."""
    shown, text = parsed.shown(left.node), parsed.shown(right)
    denies = isinstance(op, ast.NotIn)
    word, equals = ("not in", "!=") if denies else ("in", "==")
    hint = f"Write {shown} {equals} {text}, or {shown} {word} [{text}, …]."
    if left.kind.place == "address":
        hint = f"Write {shown} {word} '192.0.2.0/24'."
    elif left.kind.word == "text":
        hint += f"\nTo look for a text in it: {text} {word} {shown}."
    return f"after '{word}' comes a list; {text} is one text", hint


def _many(parsed: Parsed, op: ast.Eq | ast.NotEq, left: Term, right: Term) -> None:
    """Refuse one value that is compared with a list of them."""
    for one, many in ((left, right), (right, left)):
        if isinstance(many.node, (ast.List, ast.Tuple)) and one.kind.word != "list":
            word = "in" if isinstance(op, ast.Eq) else "not in"
            hint = f"Write {parsed.shown(one.node)} {word} {parsed.shown(many.node)}."
            raise parsed.misfit(many.node, "one value is compared with a list", hint)


def _possible(parsed: Parsed, term: Term, other: ast.expr) -> None:
    """Refuse a comparison of a choice with a word that it can never be."""
    if term.kind.word != "choice":
        return
    entries = other.elts if isinstance(other, (ast.List, ast.Tuple)) else [other]
    for each in entries:
        if isinstance(each, ast.Constant) and each.value not in term.kind.choices:
            sentence = f"{parsed.shown(term.node)} can never be {each.value!r}"
            raise parsed.misfit(each, sentence, meant(str(each.value), term.kind.choices))


def _same(parsed: Parsed, node: ast.expr, left: Term, right: Term) -> None:
    if left.kind.word != right.kind.word and not (left.kind.texty and right.kind.texty):
        raise _unlike(parsed, node, left, right)
    if left.kind.word == "record":
        raise parsed.misfit(node, "compares a whole fact", "Name one of its fields.")
    if left.kind.word in ("list", "listing"):
        raise parsed.misfit(node, "compares whole lists", "Write 'x' in LIST.")
    if left.kind.word == "number":
        units(parsed, left, right)


def _unlike(parsed: Parsed, node: ast.expr, left: Term, right: Term) -> Misfit:
    words: set[Word] = {left.kind.word, right.kind.word}
    hint = ""
    if "list" in words:
        whole, single = (left, right) if left.kind.word == "list" else (right, left)
        of_texts = whole.kind.item is not None and whole.kind.item.texty
        if of_texts and not isinstance(single.node, (ast.List, ast.Tuple)):
            told = f"{parsed.shown(single.node)} in {parsed.shown(whole.node)}"
            hint = f"Write in, or not in: {told}."
    elif words <= {"number", "text", "choice"}:
        hint = "A number stands without quotes, a text in quotes."
    elif "record" in words:
        hint = _field(parsed, *((left, right) if left.kind.record else (right, left)))
    elif "listing" in words:
        hint = "Write NAME in lists.NAME."
    sentence = f"compares {left.kind.shown} with {right.kind.shown}"
    return parsed.misfit(node, sentence, hint)


def _field(parsed: Parsed, whole: Term, other: Term) -> str:
    """Which field of a whole fact was meant, by what it is compared with."""
    shown, record = parsed.shown(whole.node), whole.kind.record
    fields = fields_of(record) if record else {}
    if whole.kind.mailbox and other.kind.texty:
        return f"Write {shown}.domain or {shown}.local, or {shown} in lists.NAME."
    value = other.node.value if isinstance(other.node, ast.Constant) else None
    for name, kind in fields.items():
        if kind.word == "choice" and value in kind.choices:
            return f"Write {shown}.{name}."
    return "Name one of its fields: " + " ".join(fields) if fields else "It has no fields."


def _constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant)


_COUNTS: dict[Unit, str] = {
    "octets": "is octets",
    "seconds": "is seconds",
    "": "is a plain number",
}
_AMOUNTS: dict[Unit, str] = {
    "octets": "Write a size such as 25MiB.",
    "seconds": "Write a time such as 5m.",
    "": "Write it without a unit.",
}
