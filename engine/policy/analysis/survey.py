"""All that can be said of one policy in one pipeline."""

from __future__ import annotations

import datetime
from collections.abc import Container, Iterator
from dataclasses import replace

from millrace.engine.document import Document
from millrace.engine.mail.verdict import Action
from millrace.engine.policy.analysis import order, presence, reach, upkeep
from millrace.engine.policy.analysis.finding import Finding
from millrace.engine.policy.analysis.formula import Reader
from millrace.engine.policy.analysis.near import Read
from millrace.engine.policy.analysis.total import score
from millrace.engine.policy.kinds import NUMBER
from millrace.engine.policy.rule import Policy, Rule, Vocabulary


def survey(
    policy: Policy,
    document: Document,
    words: Vocabulary,
    today: datetime.date,
    changed: Container[str] = (),
) -> Iterator[Finding]:
    """The findings; `words` are what the pipeline knows, `document` is the policy's file.

    `changed` are the rules in whose place overlays put others, for some mail.
    """
    letting = [r for r in policy.rules if r.live and (r.name in changed or _lets(r))]
    # what counts for some mail only takes no mail for sure
    rules = tuple(replace(r, stop=False) if r.name in changed else r for r in policy.rules)
    policy = replace(policy, rules=rules)
    kinds = {name: word.kind for name, word in words.items()} | {"score": NUMBER}
    reader = Reader(kinds, score(policy.weights, Reader(kinds)))
    yield from reach.never(policy, document, reader)
    read = [Read.of(at, rule, reader) for at, rule in enumerate(policy.rules)]
    yield from reach.shadowed(read, document)
    yield from reach.unreached(policy, document, reader, letting)
    yield from order.beaten(read, document)
    yield from presence.asleep(policy, document, words)
    yield from presence.hollow(policy, document, words)
    yield from presence.unread(policy, document)
    yield from upkeep.expired(policy, document, today)


def _lets(rule: Rule) -> bool:
    return rule.stop and rule.then <= Action.QUARANTINE
