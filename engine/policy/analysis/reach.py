"""Rules and weights that no mail ever meets.

A condition may contradict itself, or others may take all of its mail first.
A rule is shadowed when surely one of those that are judged before it matches wherever it
does.  A rule of one recipient takes nothing from a rule of the mail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from millrace.engine.document import Document
from millrace.engine.errors import Fault
from millrace.engine.mail.verdict import Action
from millrace.engine.policy.analysis.finding import Finding, fault_at
from millrace.engine.policy.analysis.formula import TRUE, Formula, Reader
from millrace.engine.policy.analysis.near import Read, Taking, takers
from millrace.engine.policy.analysis.proof import follows, together
from millrace.engine.policy.rule import Policy, Rule, Weight

EARLIER_MAX = 64  # rules before one that a proof looks at, the last ones


def never(policy: Policy, document: Document, reader: Reader) -> Iterator[Finding]:
    """Conditions that no mail can meet, of rules and of weights."""
    for rule in policy.rules:
        yield from _never(document, reader, rule, "rule", rule.when.text)
    for weight in policy.weights:
        if weight.when is not None:
            yield from _never(document, reader, weight, "weight", weight.when.text)


def _never(
    document: Document, reader: Reader, entry: Rule | Weight, kind: str, text: str
) -> Iterator[Finding]:
    parts = reader.parts(text)
    if together(formula for _, formula in parts):
        return
    core = _core(parts)
    if len(core) > 1:
        hint = "These exclude each other: " + ", ".join(words for words, _ in core)
    else:
        hint = f"Nothing makes this true: {core[0][0]}"
    if any("score" in words for words, _ in core):
        hint += f"\nAll weights together give from {reader.score[0]:g} to {reader.score[1]:g}."
    offset = max(text.find(core[0][0]), 0)
    width = len(core[0][0]) if core[0][0] in text else len(text)
    end = text.find(core[-1][0])
    if end > offset:
        width = end + len(core[-1][0]) - offset
    sentence = f'{kind} "{entry.name}" can never hold'
    where = (kind, entry.name, entry.place)
    fault = fault_at(document, where, sentence, hint, key="when", offset=offset, width=width)
    yield Finding("never-holds", "error", fault, entry.name)


def _core(parts: list[tuple[str, Formula]]) -> list[tuple[str, Formula]]:
    """As few parts as cannot hold together."""
    core = list(parts)
    for part in parts:
        rest = [each for each in core if each is not part]
        if not together(formula for _, formula in rest):
            core = rest
    return core or parts


def shadowed(read: list[Read], document: Document) -> Iterator[Finding]:
    """Rules all of whose mail is taken by others first."""
    taking = Taking([each for each in read if takes(each.rule)])
    for each in read:
        if not each.rule.live or not each.cases:
            continue
        before = takers(each, taking, _before)
        found = _least(each, before[-EARLIER_MAX:])
        if found is not None:
            fault = _taken(document, each.rule, [taker.rule for taker in found])
            yield Finding("shadowed", "error", fault, each.rule.name)


def unreached(
    policy: Policy, document: Document, reader: Reader, letting: Sequence[Rule] = ()
) -> Iterator[Finding]:
    """Weights all of whose mail is refused before they are looked at.

    `letting` are the rules that may let a mail go on and leave those below it no word.
    """
    refusing = [r for r in policy.rules if takes(r) and r.then > Action.QUARANTINE]
    for weight in policy.weights:
        said = reader.formula(weight.when.text) if weight.when else TRUE
        before = [r for r in refusing if r.stage < weight.stage and not r.recipient]
        if not weight.live or not together([said]) or not _take_all(before, said, reader):
            continue
        # seldom so far, so that pairs of rules are looked at for few weights
        before = [r for r in before if not _is_silenced(r, letting, said, reader, policy)]
        if not _take_all(before, said, reader):
            continue
        alone = [r for r in before if follows(said, [reader.formula(r.when.text)])]
        names = " or ".join(f'"{r.name}" (line {r.place.line})' for r in alone[:1] or before)
        hint = f"Every mail that it is for is refused by {names} first, at an earlier stage."
        where = ("weight", weight.name, weight.place)
        sentence = f'weight "{weight.name}" is never reached'
        fault = fault_at(document, where, sentence, hint + "\nRemove it, or narrow the rule.")
        yield Finding("weight-unreached", "error", fault, weight.name)


def _take_all(refusing: Sequence[Rule], said: Formula, reader: Reader) -> bool:
    claims = {rule.name: reader.formula(rule.when.text) for rule in refusing[-EARLIER_MAX:]}
    return follows(said, list(claims.values()))


def _is_silenced(
    rule: Rule, letting: Sequence[Rule], said: Formula, reader: Reader, policy: Policy
) -> bool:
    """Whether another may have its word before it on some of this mail, and let it go on."""
    both = (said, reader.formula(rule.when.text))
    above = (each for each in letting if _is_above(each, rule, policy))
    return any(together([*both, reader.formula(each.when.text)]) for each in above)


def _is_above(rule: Rule, other: Rule, policy: Policy) -> bool:
    if rule.stage != other.stage or rule.recipient:
        return rule.stage <= other.stage
    return (
        next(each.name for each in policy.rules if each.name in (rule.name, other.name))
        == rule.name
    )


def takes(rule: Rule) -> bool:
    """Whether a rule that matches ends the judging, now and always."""
    return rule.live and rule.stop and rule.expires is None


def _before(earlier: Read, later: Read) -> bool:
    """Whether the first, if it takes, has its word before the second, of all mail of that one."""
    first, second = earlier.rule, later.rule
    if first.recipient and not second.recipient:
        return False
    if first.stage != second.stage:
        return first.stage < second.stage
    return first.recipient == second.recipient and earlier.at < later.at


def _least(rule: Read, before: list[Read]) -> list[Read] | None:
    """As few rules as take all of its mail; None where some may be left over."""
    for each in before:
        if not together([rule.formula, each.opposite]):
            return [each]
    left = before
    if together([rule.formula, *(each.opposite for each in left)]):
        return None
    for each in reversed(before):
        rest = [other for other in left if other is not each]
        if not together([rule.formula, *(other.opposite for other in rest)]):
            left = rest
    return left


def _taken(document: Document, rule: Rule, taking: list[Rule]) -> Fault:
    names = " or ".join(f'"{each.name}" (line {each.place.line})' for each in taking)
    hint = f"Every mail that it matches is taken by {names} first."
    those = "that one" if len(taking) == 1 else "one of them"
    early = [each for each in taking if each.stage < rule.stage]
    if early:
        judged = "is judged" if len(early) == 1 else "are judged"
        stages = " and ".join(dict.fromkeys(each.stage.name for each in early))
        who = "That one" if len(taking) == 1 else "They"
        if len(early) < len(taking):
            who = " and ".join(f'"{each.name}"' for each in early)
        hint += f"\n{who} {judged} at {stages}, this one at {rule.stage.name}."
        hint += f"\nNarrow {those}, or remove this one."
    else:
        hint += f"\nMove it above, or narrow {those}."
    sentence = f'rule "{rule.name}" is never reached'
    return fault_at(document, ("rule", rule.name, rule.place), sentence, hint)
