"""What a classifier says of a text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """The probability (0 to 1) that a mail is spam, by which model, and what told.

    `words` are the strongest signs, spam first; `gtube` is the fixed test pattern;
    `unreadable` says that the HTML was too deep to be parsed.
    """

    probability: float
    model: str
    words: tuple[str, ...] = ()
    gtube: bool = False
    unreadable: bool = False
