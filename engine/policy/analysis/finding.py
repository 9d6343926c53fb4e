"""A finding: something that `check` says of files that load.

An error is a thing that cannot be meant (a rule that no mail ever meets); a note is a thing
worth knowing that may well be meant.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

from millrace.engine.document import Document
from millrace.engine.errors import Fault, Place

Level = Literal["error", "note"]
CODES = {
    "unfit": "what is written does not fit",
    "red-test": "a test of the policy fails",
    "never-holds": "a condition that no mail can meet",
    "shadowed": "a rule all of whose mail others take first",
    "beaten": "a rule that is judged before one listed above it",
    "weight-unreached": "a weight that never adds to a score",
    "no-filter": "something that no filter measures",
    "always-holds": "a condition that holds only because nobody measures",
    "score-unread": "weights whose score no rule reads",
    "deadline": "time-outs that do not fit into the deadline",
    "list-unread": "a list that nothing reads",
    "list-odd": "an entry of a list that does nothing",
    "expired": "a rule whose time is over",
    "no-listener": "an overlay for a door that the settings do not have",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; `about` names the rule or weight, so that pipelines can be compared."""

    code: str
    level: Level
    fault: Fault
    about: str = ""


def table_of(document: Document, kind: str, name: str) -> tuple[str, int] | None:
    """The path of the `[[rule]]` or `[[weight]]` of that name; None where it is of another file."""
    at = _numbers(document, kind).get(name)
    return None if at is None else (kind, at)


@functools.lru_cache(maxsize=8)  # a long policy has many findings
def _numbers(document: Document, kind: str) -> dict[str, int]:
    """At which number each name of a kind stands first."""
    found: dict[str, int] = {}
    for at, table in enumerate(document.data.get(kind, [])):
        found.setdefault(table.get("name"), at)
    return found


def fault_at(
    document: Document,
    entry: tuple[str, str, Place],
    sentence: str,
    hint: str,
    *,
    key: str = "",
    offset: int = 0,
    width: int = 1,
) -> Fault:
    """A fault at an entry (kind, name, place), or at one of its keys with a caret."""
    kind, name, place = entry
    path = table_of(document, kind, name) if place.file == document.name else None
    if path is None:
        return Fault(sentence, hint, place)
    if not key:
        return document.fault(path, sentence, hint)
    return document.fault((*path, key), sentence, hint, offset=offset, width=width)
