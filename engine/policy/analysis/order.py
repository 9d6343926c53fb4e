"""Where the order of the file is not the order of judgement.

A rule is judged as soon as all that it names is known.  So one that needs little goes before
one that stands above it and needs more; whoever reads the file from the top may not expect it.
"""

from __future__ import annotations

from collections.abc import Iterator

from millrace.engine.document import Document
from millrace.engine.errors import Fault
from millrace.engine.policy.analysis.finding import Finding, fault_at
from millrace.engine.policy.analysis.near import Read
from millrace.engine.policy.analysis.reach import takes
from millrace.engine.policy.rule import Rule

ABOVE_MAX = 1000  # rules above one that are looked at
NAMED_MAX = 5  # rules that one finding names


def beaten(read: list[Read], document: Document) -> Iterator[Finding]:
    """Rules that decide before another that stands above them and would decide otherwise."""
    for each in read:
        rule = each.rule
        if not takes(rule):
            continue
        above = [
            other
            for other in read[max(each.at - ABOVE_MAX, 0) : each.at]
            if _beats(rule, other.rule)
        ]
        found = [other.rule for other in above if each.meets(other)]
        if found:
            yield Finding("beaten", "note", _told(document, rule, found), rule.name)


def _beats(rule: Rule, above: Rule) -> bool:
    return above.live and rule.stage < above.stage and rule.then is not above.then


def _told(document: Document, rule: Rule, above: list[Rule]) -> Fault:
    names = ", ".join(f'"{each.name}"' for each in above[:NAMED_MAX])
    if len(above) > NAMED_MAX:
        names += f" and {len(above) - NAMED_MAX} more"
    stand = "stands" if len(above) == 1 else "stand"
    sentence = f'rule "{rule.name}" is judged before {names}, which {stand} above it'
    later = " and ".join(dict.fromkeys(each.stage.name for each in above))
    whose = "the other" if len(above) == 1 else "the others"
    hint = f"All that it names is known at {rule.stage.name}; {whose} must wait for {later}."
    hint += "\nMove it above, so that the file reads as it is judged."
    return fault_at(document, ("rule", rule.name, rule.place), sentence, hint)
