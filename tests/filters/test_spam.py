"""The spam filter hands on what the classifier measured, and decides nothing."""

from __future__ import annotations

import pytest

from millrace.engine.mail.message import Message
from millrace.engine.mail.score import Score
from millrace.engine.mail.verdict import PASS
from millrace.filters.spam import ScoreSpam, Spam

MAIL = Message.parse(b"Subject: x\r\n\r\nhello\r\n")


class FakeClassifier:
    """Answers with one score and remembers which model was asked."""

    def __init__(self, score: Score) -> None:
        self.answer = score
        self.asked: list[str] = []

    def score(self, model: str, message: Message) -> Score:
        self.asked.append(model)
        return self.answer


@pytest.mark.parametrize(
    ("score", "fact", "note"),
    [
        (
            Score(0.97, "default-1", ('"verify"', '"suspended"')),
            Spam(0.97, "default-1", ('"verify"', '"suspended"')),
            '"verify", "suspended"',
        ),
        (Score(0.1, "m", gtube=True), Spam(0.1, "m", gtube=True), "the GTUBE test pattern"),
        (Score(0.5, "m", unreadable=True), Spam(0.5, "m", unreadable=True), ""),
    ],
)
def test_the_score_becomes_the_fact(score: Score, fact: Spam, note: str) -> None:
    finding = ScoreSpam().run(MAIL, FakeClassifier(score))
    assert (finding.fact, finding.note) == (fact, note)


def test_even_certain_spam_gets_no_advice() -> None:
    assert ScoreSpam().run(MAIL, FakeClassifier(Score(1.0, "m"))).advice is PASS


def test_the_named_model_is_asked() -> None:
    classifier = FakeClassifier(Score(0.5, "m"))
    ScoreSpam(model="ours").run(MAIL, classifier)
    ScoreSpam().run(MAIL, classifier)
    assert classifier.asked == ["ours", "default"]
