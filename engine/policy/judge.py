"""The judge: facts in, a verdict out.  Pure functions.

At each stage the weights whose facts are there give their terms, then the rules of that
stage speak from the top: those that do not stop leave a mark and let the next one speak,
the first that stops decides.  Once a rule has decided for the mail, later ones are silent:
an early rule beats one that stands above it but knows more.

Fails: never; a term that is no finite number is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import AddHeader, AddRecipient, Edit, RemoveRecipient
from millrace.engine.mail.verdict import Action, Because, Reply, Verdict
from millrace.engine.policy.closures import Values
from millrace.engine.policy.rule import DEFAULT_REPLIES, Rule, Weight

PLACES = 3  # decimals of a term; the score is the exact sum of what is shown
TERM_MAX = 1e6  # beyond, a sum of floats would no longer be exact to the last decimal


@dataclass(frozen=True, slots=True)
class Term:
    """One addend of the score, with the weight that it came from."""

    name: str
    add: float
    why: str


@dataclass(frozen=True, slots=True)
class Act:
    """What a rule did beside deciding: a mark, header fields, another recipient."""

    because: Because
    action: Action
    headers: tuple[AddHeader, ...] = ()
    redirect: Address | None = None


def terms(weights: tuple[Weight, ...], values: Values, now: float = 0.0) -> list[Term]:
    """What these weights add; a term whose facts are absent adds nothing.

    `now` in Unix seconds: what has expired by then adds nothing; 0 asks for no date.
    """
    found = []
    for weight in weights:
        if weight.when is not None and not weight.when.run(values):
            continue
        add = weight.add.run(values)
        if add and math.isfinite(add) and weight.ends > now:
            add = min(max(float(add), -TERM_MAX), TERM_MAX)
            found.append(Term(weight.name, round(add, PLACES), weight.why))
    return found


def score(found: list[Term]) -> float:
    """The sum of the terms, exact to the last decimal that is shown."""
    return round(math.fsum(term.add for term in found), PLACES)


def speak(
    rules: tuple[Rule, ...], values: Values, now: float = 0.0
) -> tuple[Rule | None, tuple[Act, ...]]:
    """The rule that decides, if one does, and what it and those above it do besides."""
    acts: list[Act] = []
    for rule in rules:
        if rule.when.run(values) and rule.counts(values, now):
            if rule.acts:
                acts.append(_act(rule, values))
            if rule.stop:
                return rule, tuple(acts)
    return None, tuple(acts)


def verdict(rule: Rule, values: Values) -> Verdict:
    """What a rule that matched says, with its reply and its reason to hold filled in."""
    held = rule.quarantine.fill(values) if rule.quarantine else ""
    return Verdict(rule.then, _reply(rule, values), _because(rule), hold=held)


def marked(spoken: Verdict, acts: Iterable[Act]) -> Verdict:
    """The verdict with the marks that rules left: the strictest, the first among equals."""
    for act in acts:
        if act.action > spoken.action:
            spoken = Verdict(act.action, because=act.because)
    return spoken


def edits(acts: Iterable[Act], recipients: list[Address]) -> Iterator[Edit]:
    """What acts change in a mail to these recipients: all that are redirected get it instead."""
    targets: list[Address] = []
    for act in acts:
        yield from act.headers
        targets += [act.redirect] if act.redirect and act.redirect not in targets else []
    yield from (AddRecipient(target) for target in targets if target not in recipients)
    if targets:
        yield from (RemoveRecipient(each) for each in recipients if each not in targets)


def _act(rule: Rule, values: Values) -> Act:
    headers = tuple(AddHeader(name, text.fill_ascii(values)) for name, text in rule.headers)
    return Act(_because(rule), rule.then, headers, rule.redirect)


def _because(rule: Rule) -> Because:
    return Because(rule.name, rule.why, rule.stage.name, f"{rule.place.file}:{rule.place.line}")


def _reply(rule: Rule, values: Values) -> Reply | None:
    if rule.then not in DEFAULT_REPLIES:
        return None
    if rule.reply is None:
        return DEFAULT_REPLIES[rule.then]
    return rule.reply.fill_reply(values)
