"""Verdicts, and the replies that peers hear."""

import pytest

from millrace.engine.mail.verdict import (
    ACTIONS,
    LINE_MAX,
    PASS,
    Action,
    Reply,
    Verdict,
    strictest,
)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("550 5.7.1 No", Reply(550, "5.7.1", "No")),
        ("550 No", Reply(550, "5.7.1", "No")),
        ("451 Later", Reply(451, "4.7.1", "Later")),
        ("550-5.7.26 No\nmore", Reply(550, "5.7.26", "No\nmore")),
        (" 250 2.0.0 Ok ", Reply(250, "2.0.0", "Ok")),
        ("550 5.7.1", Reply(550, "5.7.1", "")),
        ("550 5.7.1x", Reply(550, "5.7.1", "5.7.1x")),
    ],
)
def test_reply_is_read_with_its_codes(text, reply):
    assert Reply.parse(text) == reply


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no", "a reply reads like '550 5.7.1 words for the sender'"),
        ("550", "a reply reads like '550 5.7.1 words for the sender'"),
        ("650 x", "a reply reads like '550 5.7.1 words for the sender'"),
        ("5500 x", "a reply reads like '550 5.7.1 words for the sender'"),
        ("550 4.7.1 x", "550 and 4.7.1 must begin with the same digit"),
    ],
)
def test_text_that_is_no_reply_is_refused(text, words):
    with pytest.raises(ValueError, match=r"\w") as caught:
        Reply.parse(text)
    assert str(caught.value) == words


def test_reply_is_written_as_it_is_read():
    assert str(Reply(550, "5.7.1", "No")) == "550 5.7.1 No"
    assert str(Reply(354, "", "go on")) == "354 go on"


def test_lines_of_a_reply_are_clean_and_bounded():
    reply = Reply(550, "5.7.1", "one\ntwo\r250 ok\x00\n" + "x" * 500)
    assert reply.lines == ("one", "two 250 ok", "x" * LINE_MAX)
    assert Reply(550, "5.7.1", "").lines == ("",)


def test_actions_are_ordered_by_strictness():
    words = ["pass", "tag", "quarantine", "defer", "reject", "discard"]
    assert [action.word for action in sorted(Action)] == words
    assert list(ACTIONS) == words
    assert [action.word for action in Action if action.takes] == words[:3]
    assert [action.word for action in Action if Verdict(action).refuses] == words[3:]


def test_strictest_prefers_the_first_of_equals():
    first, second = Verdict(Action.TAG, score=1), Verdict(Action.TAG, score=2)
    assert strictest(first, second) is first
    assert strictest(PASS, second) is second
    assert strictest(second, PASS) is second
