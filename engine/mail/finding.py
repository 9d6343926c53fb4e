"""What a filter says: a fact, and perhaps advice, edits and a note.

A filter measures; it never decides.  Advice stands only where no rule of the policy
has spoken; edits are data and are applied later, in the order of the pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from millrace.engine.mail.edits import Edit
from millrace.engine.mail.verdict import PASS as PASS
from millrace.engine.mail.verdict import Action, Reply, Verdict


class Fact:
    """What a filter gives is a frozen dataclass derived from this; its fields are policy words."""

    __slots__ = ()


F = TypeVar("F", bound=Fact)


@dataclass(frozen=True, slots=True)
class Finding(Generic[F]):
    """The whole answer of one run; `note` is for people who read records."""

    fact: F | None = None
    advice: Verdict = PASS
    edits: tuple[Edit, ...] = ()
    note: str = ""


def reject(enhanced: str, text: str) -> Verdict:
    """Advise a permanent refusal; `enhanced` such as "5.7.1"."""
    return Verdict(Action.REJECT, Reply(550, enhanced, text))


def defer(enhanced: str, text: str) -> Verdict:
    """Advise "come again later"; `enhanced` such as "4.7.1"."""
    return Verdict(Action.DEFER, Reply(451, enhanced, text))


QUARANTINE = Verdict(Action.QUARANTINE)
TAG = Verdict(Action.TAG)
DISCARD = Verdict(Action.DISCARD)
