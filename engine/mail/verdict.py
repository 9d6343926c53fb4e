"""What happens to the mail, which words the peer hears, and because of what.

Actions are ordered by strictness; where two meet, the stricter one wins.
Replies follow RFC 5321 §4.2 (code), RFC 3463 and RFC 2034 (enhanced status code).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

LINE_MAX = 200  # characters of public text in a line; RFC 5321 §4.5.3.1.5 allows 512 octets
_REPLY = re.compile(r"([245]\d\d)[ -](?:([245]\.\d{1,3}\.\d{1,3})(?:[ ]|$))?(.*)", re.S)


class Action(IntEnum):
    """From mildest to strictest."""

    PASS = 0
    TAG = 1
    QUARANTINE = 2
    DEFER = 3
    REJECT = 4
    DISCARD = 5

    @property
    def word(self) -> str:
        """The name in policies, logs and JSON."""
        return self.name.lower()

    @property
    def takes(self) -> bool:
        """Whether the mail is taken in, delivered or held."""
        return self <= Action.QUARANTINE


ACTIONS = {action.word: action for action in Action}


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP answer: code, enhanced code ("" if none), and text of one or more lines."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)

    @property
    def lines(self) -> tuple[str, ...]:
        """The text cut at its line breaks, cleaned of what could end a line on the wire."""
        return tuple(_clean(line) for line in self.text.split("\n")) or ("",)

    @staticmethod
    def parse(text: str) -> Reply:
        """Read `550 5.7.1 words`; ValueError when it is no answer, or the codes disagree."""
        found = _REPLY.fullmatch(text.strip())
        if not found:
            raise ValueError("a reply reads like '550 5.7.1 words for the sender'")
        code, enhanced, words = int(found[1]), found[2] or "", found[3].strip()
        if enhanced and enhanced[0] != found[1][0]:
            raise ValueError(f"{found[1]} and {enhanced} must begin with the same digit")
        return Reply(code, enhanced or f"{found[1][0]}.7.1", words)


def _clean(line: str) -> str:
    return "".join(ch if ch.isprintable() else " " for ch in line).strip()[:LINE_MAX]


@dataclass(frozen=True, slots=True)
class Because:
    """The reason: a rule's name (or a filter's), its words, the stage, and where it stands."""

    rule: str
    why: str = ""
    stage: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer to one mail, or one recipient of it; `score` is the sum of the terms.

    `hold` says why, or where, a mail is held, "" where the rule does not say.
    """

    action: Action = Action.PASS
    reply: Reply | None = None
    because: Because | None = None
    score: float = 0.0
    hold: str = ""

    @property
    def refuses(self) -> bool:
        """Whether the walk ends here: the mail, or the recipient, is not taken."""
        return self.action > Action.QUARANTINE


PASS = Verdict()


def strictest(first: Verdict, second: Verdict) -> Verdict:
    """The stricter of two; the first where they are equal."""
    return second if second.action > first.action else first
