"""The keys of a policy file: what each is for, and in which order they stand.

One table for the loader, the formatter, the reference and the schema, so that they agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KeyType = Literal["text", "condition", "number", "truth", "date", "action", "table", "tables"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what its value is, what it is for, and whether it must be there."""

    type: KeyType
    help: str
    required: bool = False


_WHY = Key("text", "the reason, for records and people")
_OWNER = Key("text", "who answers for it")
_EXPIRES = Key("date", "the last day (UTC) on which it counts: 2027-01-31, without quotes")
_NOTE = Key("text", "what the next reader must know")

FILE_KEYS: dict[str, Key] = {
    "title": Key("text", "what the policy is called"),
    "weight": Key("tables", "terms of the score, each [[weight]]"),
    "rule": Key("tables", "rules in their order, each [[rule]]"),
}
RULE_KEYS: dict[str, Key] = {
    "name": Key("text", "shown in logs, records and X-Millrace", required=True),
    "when": Key("condition", "which mails it is about", required=True),
    "then": Key("action", "what happens to them; may be left out where stop = false"),
    "reply": Key("text", "what the sender is told: '550 5.7.1 words', with {placeholders}"),
    "quarantine": Key("text", 'why, or where, the mail is held: with then = "quarantine"'),
    "redirect": Key("text", "the address that gets the mail in place of its recipients"),
    "add_header": Key("table", "header fields to add: { X-Team = 'text with {placeholders}' }"),
    "stop": Key("truth", "false: the rule only marks and adds, and judging goes on"),
    "why": _WHY,
    "owner": _OWNER,
    "expires": _EXPIRES,
    "note": _NOTE,
}
WEIGHT_KEYS: dict[str, Key] = {
    "name": Key("text", "the name of its term", required=True),
    "when": Key("condition", "which mails it is about; all, where it is left out"),
    "add": Key("number", "a number, or a computation in quotes", required=True),
    "why": _WHY,
    "owner": _OWNER,
    "expires": _EXPIRES,
    "note": _NOTE,
}
