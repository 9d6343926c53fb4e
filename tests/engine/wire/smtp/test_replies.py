"""Replies, read from a server's bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.errors import ProtocolError
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire.smtp.replies import LINES_MAX, ReplyReader, encode


def taken(raw: bytes) -> Reply | None:
    reader = ReplyReader()
    reader.feed(raw)
    return reader.take()


@pytest.mark.parametrize(
    ("raw", "reply"),
    [
        (b"250 2.1.0 Ok\r\n", Reply(250, "2.1.0", "Ok")),
        (b"250\r\n", Reply(250, "", "")),
        (b"220 mx ESMTP\r\n", Reply(220, "", "mx ESMTP")),
        (b"550-5.7.1 a\r\n550 5.7.1 b\r\n", Reply(550, "5.7.1", "a\nb")),
        (b"550 4.7.1 codes disagree\r\n", Reply(550, "", "4.7.1 codes disagree")),
        (b"250-mx\r\n250 SIZE 5\r\n", Reply(250, "", "mx\nSIZE 5")),
    ],
)
def test_reply_is_read_with_its_codes(raw, reply):
    assert taken(raw) == reply


def test_reply_waits_for_its_last_line():
    reader = ReplyReader()
    reader.feed(b"250-one\r\n250 t")
    assert reader.take() is None
    reader.feed(b"wo\r\n")
    assert reader.take() == Reply(250, "", "one\ntwo")


@pytest.mark.parametrize(
    "raw",
    [
        *(b"hello\r\n", b"250-a\r\n251 b\r\n", b"250 a\n", b"199 x\r\n", b"250x\r\n"),
        *(b"2" * 3000, b"250-a\r\n" * LINES_MAX),
    ],
)
def test_what_is_no_reply_is_an_error(raw):
    with pytest.raises(ProtocolError):
        taken(raw)


@given(st.integers(200, 559), st.lists(st.text(max_size=300), min_size=1, max_size=5))
def test_reply_of_any_text_stays_one_reply(code, texts):
    raw = encode(Reply(code, "", "\n".join(texts)))
    again = taken(raw + b"")
    assert again is not None
    assert again.code == code
    assert all(len(line) <= 512 for line in raw.splitlines(keepends=True))
