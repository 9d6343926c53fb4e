"""What has outlived its use: rules past their day, lists that nothing reads."""

from __future__ import annotations

import datetime
from collections.abc import Container, Iterator, Mapping, Sequence

from millrace.engine.document import Document
from millrace.engine.errors import Fault, Place
from millrace.engine.policy.analysis.finding import Finding, fault_at
from millrace.engine.policy.listing import EXAMPLES
from millrace.engine.policy.rule import Policy, Rule, Weight


def expired(policy: Policy, document: Document, today: datetime.date) -> Iterator[Finding]:
    """Rules and weights whose `expires` is over: they no longer count."""
    kinds: tuple[tuple[str, Sequence[Rule | Weight]], ...]
    kinds = (("rule", policy.rules), ("weight", policy.weights))
    for kind, entry in ((kind, entry) for kind, entries in kinds for entry in entries):
        if entry.expires is None or entry.expires >= today:
            continue
        sentence = f'{kind} "{entry.name}" expired on {entry.expires} and no longer counts'
        owner = f"; ask {entry.owner}." if entry.owner else "."
        hint = f"Remove it, or give it a later day{owner}"
        fault = fault_at(document, (kind, entry.name, entry.place), sentence, hint)
        yield Finding("expired", "note", fault, entry.name)


def unread(lists: Mapping[str, Place], read: Container[str]) -> Iterator[Finding]:
    """Lists, by name and file, that are not among those that somebody reads."""
    for name, place in sorted(lists.items()):
        if name not in read:
            example = EXAMPLES[place.file.rpartition(".")[2]].replace("NAME", name)
            hint = f'Use it   when = "{example}"   or remove the file.'
            fault = Fault(f"list '{name}' is read by no rule", hint, place)
            yield Finding("list-unread", "note", fault, name)
