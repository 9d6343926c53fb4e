"""A policy with its overlays laid over it: each rule in all its versions.

**Recipients that differ.**  A rule that is judged at RCPT is judged for each recipient by that
one's overlay.  What is decided for the whole mail, from HEADERS on, is judged by an overlay when
all recipients are in it, and else by the policy's own rule, which was written for everybody.

Fails: `laid` raises `Misconfigured` when two versions of a rule cannot stand beside each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import Action
from millrace.engine.policy.closures import Run, Values
from millrace.engine.policy.overlay import Overlay, Subject
from millrace.engine.policy.rule import Policy, Rule

_WHOLE_MAIL = (Action.TAG, Action.QUARANTINE)


def effective(policy: Policy, overlays: Sequence[Overlay], subject: Subject) -> list[Rule]:
    """The rules that count for such a mail, in the policy's order."""
    found = []
    for rule in policy.rules:
        over = next((o for o in overlays if o.changes(rule.name) and o.fits(subject)), None)
        if over is None:
            found.append(rule)
        elif rule.name in over.rules:
            found.append(over.rules[rule.name])
    return found


def laid(policy: Policy, overlays: Sequence[Overlay]) -> Policy:
    """The policy with its overlays: each rule stands in all its versions, each for its mail."""
    faults: list[Fault] = []
    found: list[Rule] = []
    for rule in policy.rules:
        over = [overlay for overlay in overlays if overlay.changes(rule.name)]
        found += _versions(rule, over, faults) if over else [rule]
    if faults:
        raise Misconfigured(*faults)
    return replace(policy, rules=tuple(found))


def _versions(rule: Rule, over: list[Overlay], faults: list[Fault]) -> Iterator[Rule]:
    """In the order of the overlays, the policy's own last."""
    chosen = [(overlay, overlay.rules.get(rule.name)) for overlay in over]
    all_rules = [rule, *(each for _, each in chosen if each is not None)]
    for placed in _places(all_rules, over, faults):
        for at, (_, each) in enumerate(chosen):
            if each is not None:
                yield placed(each, over[at], over[:at])
        yield placed(rule, None, over)


Placed = Callable[[Rule, Overlay | None, Sequence[Overlay]], Rule]


def _places(versions: list[Rule], over: Sequence[Overlay], faults: list[Fault]) -> Iterator[Placed]:
    """How the versions of one rule are placed: all at RCPT, or all for the whole mail.

    Were they judged at different times, a mail to several might be judged by none or by two.
    """
    least = Stage.MAIL if any(each.asks("login") for each in over) else Stage.CONNECT
    if not any(each.asks("recipient") for each in over):
        yield lambda rule, own, others: _guarded(rule, own, others, max(rule.stage, least))
        return
    early = all(r.stage <= Stage.RCPT and r.then not in _WHOLE_MAIL for r in versions)
    own = next((r for r in versions if r.recipient), None)
    if early:
        yield lambda rule, mine, others: replace(
            _guarded(rule, mine, others, Stage.RCPT), recipient=True
        )
    if not early and own is not None:
        late = next(r for r in versions if r.stage > Stage.RCPT or r.then in _WHOLE_MAIL)
        hint = f"The other version ({late.place.file}:{late.place.line}) is of the whole mail."
        sentence = f'"{own.name}" is judged for each recipient here, for the whole mail there'
        faults.append(Fault(sentence, hint, own.place))
    # who is let pass at RCPT must be let pass by what is judged of the whole mail, too
    elif not early or (own is None and any(r.then is Action.PASS and r.stop for r in versions)):
        yield lambda rule, mine, others: _guarded(
            rule, mine, others, max(rule.stage, Stage.HEADERS)
        )


def _guarded(rule: Rule, own: Overlay | None, others: Sequence[Overlay], stage: Stage) -> Rule:
    """The rule, where `own` fits and none of `others` does."""
    when, asked = rule.when.run, [*others, *([own] if own else [])]
    names = rule.when.names
    if any(each.asks("recipient") for each in asked):
        names |= {"recipient", "envelope"}
    if any(each.asks("login") for each in asked):
        names |= {"login"}

    def run(values: Values) -> bool:
        subject = subject_of(values)
        if any(other.fits(subject) for other in others):
            return False
        return (own is None or own.fits(subject)) and bool(when(values))

    guarded: Run = run
    return replace(rule, when=replace(rule.when, run=guarded, names=names), stage=stage)


def subject_of(values: Values) -> Subject:
    """Whom a mail is for: the recipient that is judged, or all that were taken."""
    found: Any = values.get("recipient")
    envelope: Any = values.get("envelope")
    several = (found,) if found is not None else envelope.recipients if envelope else ()
    login: Any = values.get("login")
    user = (login.user or "") if login else ""
    listener = values.get("listener") or ""
    return Subject(
        tuple(f"{each.local or ''}@{each.domain or ''}" for each in several), user, listener
    )
