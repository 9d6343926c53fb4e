"""Spam: how likely is it that nobody asked for this mail?

Asks the learnt model that `model` names; `millrace model list` shows which there are.
GTUBE, the test pattern that every filter knows, is a fact of its own beside it.

Gives:  probability (0 to 1), the model's name and version, the words that told most.
Fails:  when the model is not there, which `check` says before any mail does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from millrace.engine.mail.amount import Share
from millrace.engine.mail.finding import Fact, Finding
from millrace.engine.mail.message import Message
from millrace.engine.ports import Classifier


@dataclass(frozen=True, slots=True)
class Spam(Fact):
    """What the model says; `words` are the strongest signs, spam first.

    `gtube`: the mail carries the test pattern.  `unreadable`: its HTML is nested deeper
    than any honest mail's.
    """

    probability: Share
    model: str
    words: tuple[str, ...] = ()
    gtube: bool = False
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class ScoreSpam:
    """Measure spam by a learnt model."""

    model: Annotated[str, "a name in your registry, or the one that ships with us"] = "default"

    def run(self, message: Message, classifier: Classifier) -> Finding[Spam]:
        """Score the text, the subject, the links and the shape of a mail."""
        score = classifier.score(self.model, message)
        fact = Spam(score.probability, score.model, score.words, score.gtube, score.unreadable)
        note = "the GTUBE test pattern" if score.gtube else ", ".join(score.words)
        return Finding(fact, note=note)
