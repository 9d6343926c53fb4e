"""What has outlived its use: rules past their day, lists that nothing reads."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping

from millrace.engine.document import Document
from millrace.engine.errors import Fault, Place
from millrace.engine.policy.analysis.finding import Finding, fault_at
from millrace.engine.policy.analysis.text import list_names
from millrace.engine.policy.rules import Policy


def expired(policy: Policy, document: Document, today: datetime.date) -> Iterator[Finding]:
    """Rules whose `expires` is over: they are no longer judged."""
    for rule in policy.rules:
        until = getattr(rule, "expires", None)
        if not isinstance(until, datetime.date) or until >= today:
            continue
        sentence = f'rule "{rule.name}" expired on {until} and is no longer judged'
        owner = getattr(rule, "owner", "")
        hint = "Remove it, or give it a later day" + (f"; ask {owner}." if owner else ".")
        fault = fault_at(document, ("rule", rule.name, rule.place), sentence, hint)
        yield Finding("expired", "note", fault, rule.name)


def unread(lists: Mapping[str, Place], conditions: Iterable[str]) -> Iterator[Finding]:
    """Lists, by name and file, that none of these conditions reads."""
    read = {name for text in conditions for name in list_names(text)}
    for name, place in sorted(lists.items()):
        if name not in read:
            hint = f'Use it   when = "sender in lists.{name}"   or remove the file.'
            fault = Fault(f"list '{name}' is read by no rule", hint, place)
            yield Finding("list-unread", "note", fault, name)
