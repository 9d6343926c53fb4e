"""A mail that arrives in pieces is the mail that was sent."""

from __future__ import annotations

import pytest

from millrace.engine.errors import ProtocolError
from millrace.engine.mail.message import Message
from millrace.engine.servers.intake import HEAD_MAX, Intake

MAILS = [
    b"",
    b"\r\n",
    b"\r\nbody\r\n\r\nmore\r\n",
    b"A: 1\r\n\r\n",
    b"A: 1\r\nB: 2\r\n 3\r\n\r\nbody\r\n\r\nmore\r\n",
    b"A: 1\r\nno field\r\n\r\nbody\r\n",
    b"A: 1\r\n",
    b"no header at all\r\n",
]


def taken(*pieces: bytes) -> Message:
    intake = Intake()
    for piece in pieces:
        intake.write(piece)
    return intake.finish()


@pytest.mark.parametrize("raw", MAILS)
def test_pieces_cut_anywhere_give_the_same_message(raw):
    whole = Message.parse(raw)
    for at in range(len(raw) + 1):
        message = taken(raw[:at], raw[at:])
        assert message.headers == whole.headers
        assert (message.separator, bytes(message.body)) == (whole.separator, bytes(whole.body))


def test_header_section_without_end_is_refused():
    intake = Intake()
    intake.write(b"A: " + b"x" * (HEAD_MAX - 3))
    with pytest.raises(ProtocolError) as caught:
        intake.write(b"y")
    assert caught.value.reply.startswith("552 5.3.4")


def test_body_may_be_larger_than_the_header_section_may():
    body = b"x" * (HEAD_MAX + 1)
    intake = Intake(spool_above=2 * HEAD_MAX)
    for piece in (b"A: 1\r\n\r", b"\n", body):
        intake.write(piece)
    assert intake.finish().body.size == len(body)
