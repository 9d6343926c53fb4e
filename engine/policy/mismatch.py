"""Why a case did not come to what was expected: for whoever must mend it.

Says what came, and of each rule that was expected which part of its condition does not hold,
with the values that it looked at; or that another rule decided before it.

Fails: never.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from millrace.engine.mail.verdict import Action
from millrace.engine.policy.analysis.text import conjuncts, shown, tree
from millrace.engine.policy.judge import Term, score
from millrace.engine.policy.rule import Policy, Rule

RULES_MAX = 3  # rules that are spoken of where none was named


def told(
    policy: Policy,
    expected: tuple[Action, str | None],
    got: tuple[Action, str],
    values: Mapping[str, Any],
) -> tuple[str, ...]:
    """The lines after the first; `expected` and `got` are the action and the rule."""
    wanted = [rule for rule in policy.rules if _meant(rule, expected)]
    lines = [line for rule in wanted[:RULES_MAX] for line in _of_rule(policy, rule, got[1], values)]
    if expected[1] is not None and not wanted:
        lines.append(f"no rule is called {expected[1]}")
    decided = next((rule for rule in policy.rules if rule.name == got[1]), None)
    if decided is not None and decided not in wanted:
        lines.append(f"{decided.name} decided: {decided.when.text}{_seen(decided, values)}")
    return tuple(lines)


def sum_of(terms: Sequence[Term]) -> str:
    """A score with its terms: `5.2 = +4.2 spam-model +1 spf-softfail`."""
    total = score(list(terms))
    parts = " ".join(f"{term.add:+g} {term.name}" for term in terms)
    return f"{total:g} = {parts}"


def _meant(rule: Rule, expected: tuple[Action, str | None]) -> bool:
    action, name = expected
    return rule.name == name if name is not None else rule.then is action


def _of_rule(policy: Policy, rule: Rule, decided: str, values: Mapping[str, Any]) -> Iterator[str]:
    if not rule.live:
        yield f"{rule.name} can do nothing in this pipeline: no filter gives what it needs"
        return
    failing = list(_failing(rule, values))
    yield from (f"{rule.name} does not hold: {line}" for line in failing)
    other = next((each for each in policy.rules if each.name == decided), None)
    if not failing and other is None and rule.expires is not None:
        yield f"{rule.name} holds, but counts only until {rule.expires}"
    if failing or other is None or other is rule:
        return
    where = "above it" if other.stage == rule.stage else f"earlier, at {other.stage.name}"
    yield f"{rule.name} holds too, but {other.name} is judged {where}"


def _failing(rule: Rule, values: Mapping[str, Any]) -> Iterator[str]:
    body = tree(rule.when.text)
    parts = conjuncts(body) if body is not None else []
    if len(parts) != len(rule.when.parts):
        if rule.when.names <= values.keys() and not rule.when.run(values):
            yield rule.when.text
        return
    for part, (names, run) in zip(parts, rule.when.parts, strict=True):
        one_of_many = "recipient" in names and "recipient" not in values
        if not one_of_many and not run(values):
            seen = _values_of(part, values)
            yield shown(part) + (f" ({', '.join(seen)})" if seen else "")


def _seen(rule: Rule, values: Mapping[str, Any]) -> str:
    body = tree(rule.when.text)
    seen = _values_of(body, values) if body is not None else []
    return f" ({', '.join(seen)})" if seen else ""


def _values_of(node: ast.AST, values: Mapping[str, Any]) -> list[str]:
    """What each thing that a condition names is here: `dmarc.policy is 'none'`."""
    found: dict[str, str] = {}
    inner = {id(part.value) for part in ast.walk(node) if isinstance(part, ast.Attribute)}
    called = {id(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}
    for part in ast.walk(node):
        match part:
            case ast.Call(func=ast.Name("header"), args=[ast.Constant(value=str() as name)]):
                headers = values.get("headers")
                text = headers.text(name.lower().encode()) if headers is not None else None
                found.setdefault(shown(part), _valued(shown(part), text))
        if isinstance(part, (ast.Attribute, ast.Name)) and id(part) not in inner | called:
            text = shown(part)
            found.setdefault(text, _said(text, values))
    return list(found.values())


def _said(text: str, values: Mapping[str, Any]) -> str:
    first, *fields = text.split(".")
    value = values.get(first)
    for at, field in enumerate([*fields, None]):
        if value is None:
            return f"{'.'.join([first, *fields[:at]])} is absent"
        value = getattr(value, field, None) if field else value
    return _valued(text, value)


def _valued(text: str, value: object) -> str:
    if value is None:
        return f"{text} is absent"
    if not isinstance(value, (str, int, float, bool, tuple, list)):
        return f"{text} is there"
    return f"{text} is {value:g}" if type(value) is float else f"{text} is {value!r:.80}"
