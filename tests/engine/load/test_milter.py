"""A mail told to a milter, against our own codec's server side: no sockets."""

from __future__ import annotations

import pytest

from millrace.engine.errors import ProtocolError
from millrace.engine.load.mails import Mail, made
from millrace.engine.load.milter import MilterTalk, Script
from millrace.engine.mail.edits import AddHeader
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire import milter as wire
from millrace.engine.wire.milter import Answer, Command

QUIET = wire.Wants(replies=frozenset({Command.RCPT}))


def talked(mail: Mail, answers: dict, wants: wire.Wants = QUIET) -> tuple[MilterTalk, list]:
    """Both sides to the end; `answers` by the event's type, CONTINUE else."""
    server, talk = wire.MilterServer(wants), MilterTalk(Script(mail, 1))
    out, heard = talk.opening(), []
    for _ in range(500):
        back = b""
        for event in server.receive(out):
            heard.append(event)
            if isinstance(event, wire.Negotiate):
                back += server.answer()
            elif server.terms.replies_to(event.command):
                said = answers.get(type(event), Answer.CONTINUE)
                said = said.pop(0) if isinstance(said, list) else said
                back += server.send(*(said if isinstance(said, tuple) else (said,)))
        if talk.verdict or not back:
            break
        out = talk.receive(back)
    return talk, heard


def two_recipients() -> Mail:
    mail = made(1)(0)
    return Mail(mail.raw, mail.ip, mail.host, mail.sender, ("a@r.example", "b@r.example"))


@pytest.mark.parametrize("wants", [QUIET, wire.Wants()], ids=["quiet", "every step"])
def test_a_mail_is_told_whole_and_accepted(wants):
    talk, heard = talked(made(1)(0), {wire.EndOfMessage: Answer.ACCEPT}, wants)
    assert talk.verdict == "accept"
    body = b"".join(event.data for event in heard if isinstance(event, wire.BodyChunk))
    assert body == made(1)(0).raw.partition(b"\r\n\r\n")[2]


def test_edits_before_the_verdict_are_counted():
    end = (AddHeader("X-A", "b"), Answer.ACCEPT)
    wants = wire.Wants(replies=frozenset(), actions=wire.Act.ADD_HEADERS)
    talk, _ = talked(made(1)(0), {wire.EndOfMessage: end}, wants)
    assert (talk.verdict, talk.edits) == ("accept", 1)


def test_a_refused_recipient_does_not_end_the_mail():
    refused = Reply(550, "5.1.1", "nobody")
    talk, heard = talked(two_recipients(), {wire.RcptTo: [refused, Answer.CONTINUE]})
    assert talk.verdict == "accept"
    assert any(isinstance(event, wire.EndOfMessage) for event in heard)


def test_when_all_recipients_are_refused_the_mail_is():
    refused = Reply(450, "4.7.1", "later")
    talk, heard = talked(two_recipients(), {wire.RcptTo: [refused, refused]})
    assert talk.verdict == "defer"
    assert not any(isinstance(event, wire.EndOfMessage) for event in heard)


def test_a_skipped_body_is_not_told_on():
    mail = made(1, octets=300_000)(0)
    wants = wire.Wants(replies=frozenset({Command.BODY}))
    talk, heard = talked(mail, {wire.BodyChunk: Answer.SKIP}, wants)
    assert talk.verdict == "accept"
    assert len([event for event in heard if isinstance(event, wire.BodyChunk)]) == 1


def test_a_filter_that_hangs_up_gives_no_verdict_of_its_own():
    talk = MilterTalk(Script(made(1)(0), 1))
    assert talk.receive(b"") == b""
    assert talk.verdict == "hung up"
    assert talk.farewell() == b""


def test_a_second_mail_follows_on_the_same_connection():
    talk, _ = talked(made(2)(0), {})
    more = talk.again(Script(made(2)(1), 2))
    assert more is not None
    assert more.startswith(b"\0\0\0\x01K")


def test_an_answer_after_the_verdict_is_a_fault():
    talk, _ = talked(made(1)(0), {})
    with pytest.raises(ProtocolError, match="not asked"):
        talk.receive(Answer.CONTINUE.packet)
