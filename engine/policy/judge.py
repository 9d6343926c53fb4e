"""The judge: facts in, a verdict out.  Pure functions.

At each stage the weights whose facts are there give their terms, then the first
matching rule of that stage speaks.  Once a rule has spoken for the mail, later ones
are silent: an early rule beats one that stands above it but knows more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from millrace.engine.mail.verdict import Because, Reply, Verdict
from millrace.engine.policy.closures import Values
from millrace.engine.policy.rules import DEFAULT_REPLIES, Rule, Weight

PLACES = 3  # decimals of a term; the score is the exact sum of what is shown


@dataclass(frozen=True, slots=True)
class Term:
    """One addend of the score, with the weight that it came from."""

    name: str
    add: float
    why: str


def terms(weights: tuple[Weight, ...], values: Values) -> list[Term]:
    """What these weights add; a term whose facts are absent adds nothing."""
    found = []
    for weight in weights:
        if weight.when is not None and not weight.when.run(values):
            continue
        add = weight.add.run(values)
        if add and math.isfinite(add):
            found.append(Term(weight.name, round(float(add), PLACES), weight.why))
    return found


def score(found: list[Term]) -> float:
    """The sum of the terms."""
    return round(sum(term.add for term in found), PLACES)


def first_match(rules: tuple[Rule, ...], values: Values) -> Rule | None:
    """The first rule whose condition holds."""
    for rule in rules:
        if rule.when.run(values):
            return rule
    return None


def verdict(rule: Rule, values: Values) -> Verdict:
    """What a rule that matched says, with its reply filled in."""
    place = f"{rule.place.file}:{rule.place.line}"
    because = Because(rule.name, rule.why, rule.stage.name, place)
    return Verdict(rule.then, _reply(rule, values), because)


def _reply(rule: Rule, values: Values) -> Reply | None:
    if rule.then not in DEFAULT_REPLIES:
        return None
    if rule.reply is None:
        return DEFAULT_REPLIES[rule.then]
    return Reply.parse(rule.reply.fill(values))
