"""The server role, against golden conversations and hostile bytes.

Transcripts: `C:` the client's line (Python escapes), `!` an event, `A:` our answer to the
question above it, `S:` our reply, `T:` the TLS handshake, `X:` the connection is closed,
`%:` settings.  Lines of one kind that stand together travel together.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.engine.errors import Bug
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire.smtp import Limits, SmtpServer
from millrace.engine.wire.smtp import events as ev

TRANSCRIPTS = Path(__file__).resolve().parents[3] / "transcripts" / "smtp"
NAMES = sorted(path.stem for path in TRANSCRIPTS.glob("*.txt"))


@dataclass
class Turn:
    """What the client sends at once, and all that follows from it."""

    tls: bool = False
    sent: bytes = b""
    heard: list[str] = field(default_factory=list)
    answers: dict[int, str] = field(default_factory=dict)
    said: bytes = b""
    closed: bool = False


def read(name: str) -> tuple[dict[str, str], list[Turn]]:
    options: dict[str, str] = {}
    turns = [Turn()]
    for line in (TRANSCRIPTS / f"{name}.txt").read_text().splitlines():
        mark, text = line[:2], line[3:]
        if mark == "%:":
            options = dict(word.partition("=")[::2] for word in text.split())
        elif mark in ("C:", "T:"):
            if turns[-1].heard or turns[-1].said:
                turns.append(Turn(tls=mark == "T:"))
            raw = text.encode().decode("unicode_escape").encode("latin-1")
            turns[-1].sent += raw + b"\r\n" if mark == "C:" else b""
        elif mark == "! ":
            turns[-1].heard.append(line[2:].encode().decode("unicode_escape"))
        elif mark == "A:":
            turns[-1].answers[len(turns[-1].heard) - 1] = text
        elif mark == "S:":
            turns[-1].said += text.encode() + b"\r\n"
        elif mark == "X:":
            turns[-1].closed = True
    return options, turns


def server_for(options: dict[str, str]) -> SmtpServer:
    bounds = {k: int(v) for k, v in options.items() if k in ("size", "recipients", "errors")}
    return SmtpServer(
        "mx.example",
        Limits(**bounds),
        tls="tls" in options,
        trusts=("XFORWARD", "XCLIENT") if "trusts" in options else (),
    )


def words(event: ev.Event) -> str:
    match event:
        case ev.Hello():
            rest = f"{event.name}{' extended' if event.extended else ''}"
        case ev.MailFrom() | ev.RcptTo():
            rest = " ".join([str(event.address or "<>"), *event.options])
        case ev.XForward() | ev.XClient():
            rest = " ".join("=".join(pair) for pair in event.attributes)
        case ev.DataFailed() | ev.Refused():
            rest = str(event.reply)
        case _:
            rest = ""
    return f"{type(event).__name__} {rest}".strip()


def played(server: SmtpServer, turn: Turn, pieces: list[bytes]) -> tuple[list[str], bytes]:
    """Feed the pieces; what was heard (data joined) and what was said."""
    heard: list[str] = []
    mail = b""
    said = b""
    for piece in pieces or [b""]:
        if piece:
            server.feed(piece)
        while (event := server.event()) is not None:
            if isinstance(event, ev.DataChunk):
                mail += event.data
                continue
            if isinstance(event, ev.DataEnd):
                heard.append(f"Data {mail.decode()}".rstrip(" "))
            if isinstance(event, (ev.DataEnd, ev.DataFailed)):
                mail = b""
            heard.append(words(event))
            if isinstance(event, ev.Question):
                answer = turn.answers.get(len(heard) - 1)
                server.answer(Reply.parse(answer) if answer else None)
        said += server.outgoing()
    return heard, said


def split(raw: bytes, at: int) -> list[bytes]:
    return [piece for piece in (raw[:at], raw[at:]) if piece]


def assert_same(name: str, cut) -> None:
    options, turns = read(name)
    server = server_for(options)
    for turn in turns:
        if turn.tls:
            server.tls_started()
        heard, said = played(server, turn, cut(turn.sent))
        assert heard == turn.heard
        assert said == turn.said
        assert server.closed == turn.closed


@pytest.mark.parametrize("name", NAMES)
def test_server_says_what_the_transcript_says(name):
    assert_same(name, lambda raw: [raw] if raw else [])


@pytest.mark.parametrize("name", [n for n in NAMES if "whole" not in read(n)[0]])
def test_bytes_cut_anywhere_give_the_same_conversation(name):
    assert_same(name, lambda raw: [raw[i : i + 1] for i in range(len(raw))])
    longest = max(len(turn.sent) for turn in read(name)[1])
    for at in range(1, longest):
        assert_same(name, lambda raw, at=at: split(raw, at))


def conversation(server: SmtpServer, raw: bytes, step: int = 0) -> tuple[list[bytes], bytes]:
    """Every mail taken, and all replies; the application always says yes."""
    mails: list[bytes] = []
    mail = b""
    for at in range(0, len(raw), step or len(raw)):
        server.feed(raw[at : at + (step or len(raw))])
        while (event := server.event()) is not None:
            match event:
                case ev.DataBegin():
                    mail = b""
                case ev.DataChunk(data):
                    mail += data
                case ev.DataEnd():
                    mails.append(mail)
            if isinstance(event, ev.Question):
                server.answer()
    return mails, server.outgoing()


ENVELOPE = b"MAIL FROM:<x@y.example>\r\nRCPT TO:<z@y.example>\r\nDATA\r\n"
FIRST = b"Subject: first\r\n\r\nhello"
SECOND = ENVELOPE + b"Subject: second\r\n\r\nsmuggled\r\n.\r\n"


@pytest.mark.data
@pytest.mark.parametrize("step", [0, 1, 7])
def test_only_crlf_dot_crlf_ever_ends_the_data(shared_data, step):
    table = json.loads((shared_data / "smtp" / "end-of-data.json").read_text())
    assert len(table) == 22
    for case in table:
        server = SmtpServer("mx.example")
        raw = b"EHLO c\r\n" + ENVELOPE + FIRST + bytes.fromhex(case["hex"]) + SECOND
        mails, replies = conversation(server, raw, step)
        if case["name"] == "CRLF.CRLF":
            assert mails == [FIRST + b"\r\n", b"Subject: second\r\n\r\nsmuggled\r\n"]
        elif server.closed:
            assert (mails, replies.splitlines()[-1][:9]) == ([], b"554 5.6.0"), case["name"]
        else:
            assert len(mails) == 1, case["name"]
            assert b"second" in mails[0], case["name"]


@pytest.mark.data
@pytest.mark.parametrize("step", [0, 1])
def test_bdat_is_no_way_around_the_end_of_data(shared_data, step):
    table = json.loads((shared_data / "smtp" / "end-of-data.json").read_text())
    for case in table:
        body = FIRST + bytes.fromhex(case["hex"]) + SECOND
        server = SmtpServer("mx.example")
        head = b"EHLO c\r\n" + ENVELOPE.replace(b"DATA\r\n", b"BDAT %d LAST\r\n" % len(body))
        mails, _ = conversation(server, head + body, step)
        assert mails == []
        assert server.closed


def test_long_lines_in_data_pass_as_they_are():
    long = b"x" * 200_000 + b"\r\n"
    server = SmtpServer("mx.example")
    mails, _ = conversation(server, b"EHLO c\r\n" + ENVELOPE + long + b".\r\n", 4096)
    assert mails == [long]


def test_nul_in_data_is_data_and_no_end():
    server = SmtpServer("mx.example")
    mails, _ = conversation(server, b"EHLO c\r\n" + ENVELOPE + b"a\0b\r\n.\0\r\n.\r\n")
    assert mails == [b"a\0b\r\n\0\r\n"]


def test_command_line_above_the_limit_ends_the_session():
    server = SmtpServer("mx.example", Limits(line=100))
    conversation(server, b"NOOP " + b"x" * 93 + b"\r\n")
    assert not server.closed
    _, replies = conversation(server, b"NOOP " + b"x" * 94 + b"\r\n")
    assert server.closed
    assert replies == b"500 5.5.2 That was a line longer than 100 octets\r\n"


def test_endless_line_is_not_kept_in_memory():
    server = SmtpServer("mx.example", Limits(line=100))
    conversation(server, b"x" * 10_000, 10)
    assert server.closed


def test_answer_421_to_anything_ends_the_session():
    server = SmtpServer("mx.example")
    server.event()
    server.answer(Reply(421, "4.3.2", "Too many connections"))
    assert server.closed
    assert server.event() is None
    assert server.outgoing() == b"421 4.3.2 Too many connections\r\n"


def test_event_before_the_answer_is_our_own_bug():
    server = SmtpServer("mx.example")
    server.event()
    with pytest.raises(Bug):
        server.event()
    server.answer()
    with pytest.raises(Bug):
        server.answer()
    with pytest.raises(Bug):
        server.tls_started()


def test_bytes_after_the_220_of_starttls_end_the_session():
    server = SmtpServer("mx.example", tls=True)
    conversation(server, b"STARTTLS\r\n")
    server.feed(b"RSET\r\n")
    assert server.closed
    assert server.outgoing() == b"554 5.5.1 Text behind STARTTLS\r\n"


def test_reply_of_many_lines_carries_its_code_on_each():
    server = SmtpServer("mx.example")
    server.event()
    server.answer(Reply(554, "5.7.1", "one\ntwo\rRSET\u00e4"))
    assert server.outgoing() == b"554-5.7.1 one\r\n554 5.7.1 two RSET?\r\n"


def test_replies_within_an_smtputf8_mail_keep_their_letters():
    server = SmtpServer("mx.example")
    conversation(server, b"EHLO c\r\nMAIL FROM:<a@b.example> SMTPUTF8\r\n")
    server.feed(b"RCPT TO:<c@d.example>\r\n")
    server.event()
    server.answer(Reply(550, "5.1.1", "\u00e4"))
    assert server.outgoing() == "550 5.1.1 \u00e4\r\n".encode()


FRAGMENTS = st.sampled_from(
    [
        *(b"EHLO c\r\n", ENVELOPE, b".\r\n", b"\r\n", b"\n", b"\r", b"\0", b"\xff", b'"', b"\\"),
        *(b"STARTTLS\r\n", b"RSET\r\n", b"QUIT\r\n", b"MAIL FROM:<", b"RCPT TO:", b">"),
        *(b"XCLIENT ADDR=", b"+"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(FRAGMENTS, st.binary(max_size=30)), max_size=30), st.integers(1, 50))
def test_no_bytes_whatever_stop_the_server(pieces, step):
    raw = b"".join(pieces)
    server = SmtpServer("mx.example", Limits(size=200, line=80), trusts=("XCLIENT", "XFORWARD"))
    once = conversation(server, raw) if raw else ([], b"")
    again = SmtpServer("mx.example", Limits(size=200, line=80), trusts=("XCLIENT", "XFORWARD"))
    cut = conversation(again, raw, step) if raw else ([], b"")
    assert once == cut
    assert all(line.endswith(b"\r\n") for line in once[1].splitlines(keepends=True))
