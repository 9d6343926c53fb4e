"""A policy with its overlays laid over it: each rule in all its versions.

**Recipients that differ.**  A rule that is judged at RCPT is judged for each recipient by that
one's overlay.  What is decided for the whole mail, from HEADERS on, is judged by an overlay when
all recipients are in it, and else by the policy's own rule, which was written for everybody.

An overlay's rule that has expired is as if it were not there: the policy's own counts again.

Fails: `laid` raises `Misconfigured` when two versions of a rule cannot stand beside each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import Action
from millrace.engine.policy.closures import Values
from millrace.engine.policy.overlay import Overlay, Subject
from millrace.engine.policy.rule import Policy, Rule

_WHOLE_MAIL = (Action.TAG, Action.QUARANTINE)


def effective(
    policy: Policy, overlays: Sequence[Overlay], subject: Subject, now: float
) -> list[Rule]:
    """The rules that count for such a mail at that time, in the policy's order."""
    found = []
    for rule in policy.rules:
        over = next((o for o in overlays if o.counts(rule.name, now) and o.fits(subject)), None)
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
    theirs = [overlay.rules.get(rule.name) for overlay in over]
    live = [each for each in (*theirs, rule) if each is not None and each.live]
    for least, recipient in _places(live, over, faults):
        for at, each in enumerate(theirs):
            if each is not None:
                yield _placed(_guarded(each, over[at], over[:at]), least, recipient=recipient)
        yield _placed(_guarded(rule, None, over), least, recipient=recipient)


def _places(
    live: list[Rule], over: Sequence[Overlay], faults: list[Fault]
) -> Iterator[tuple[Stage, bool]]:
    """When the versions of one rule are judged: all for each recipient, or all for the whole mail.

    The earliest stage, and whether for each recipient.  Were they judged at different times, a
    mail to several might be judged by none or by two.
    """
    if not any(each.asks("recipient") for each in over):
        yield Stage.MAIL if any(each.asks("login") for each in over) else Stage.CONNECT, False
        return
    late = next((r for r in live if r.stage > Stage.RCPT or r.then in _WHOLE_MAIL), None)
    own = next((r for r in live if r.recipient), None)
    if late is None:
        yield Stage.RCPT, True
    if late is not None and own is not None:
        hint = f"The other version ({late.place.file}:{late.place.line}) is of the whole mail."
        sentence = f'"{own.name}" is judged for each recipient here, for the whole mail there'
        faults.append(Fault(sentence, hint, own.place))
    # who is let pass at RCPT must be let pass by what is judged of the whole mail, too
    elif late is not None or (own is None and any(r.then is Action.PASS and r.stop for r in live)):
        yield Stage.HEADERS, False


def _placed(rule: Rule, least: Stage, *, recipient: bool) -> Rule:
    if not rule.live:  # nobody judges it; in tests it keeps its place among its like
        return rule
    return replace(rule, stage=max(rule.stage, least), recipient=recipient or rule.recipient)


def _guarded(rule: Rule, own: Overlay | None, others: Sequence[Overlay]) -> Rule:
    """The rule, where `own` fits and none of `others` does that counts by then."""
    asked = [*others, *([own] if own else [])]
    names = rule.when.names
    if any(each.asks("recipient") for each in asked):
        names |= {"recipient", "envelope"}
    if any(each.asks("login") for each in asked):
        names |= {"login"}

    def fits(values: Values, now: float) -> bool:
        subject = subject_of(values)
        if any(other.counts(rule.name, now) and other.fits(subject) for other in others):
            return False
        return own is None or own.fits(subject)

    return replace(rule, when=replace(rule.when, names=names), fits=fits)


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
