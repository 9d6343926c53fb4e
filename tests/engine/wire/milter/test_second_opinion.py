"""kilter.protocol as a second opinion: each codec reads what the other writes."""

from ipaddress import ip_address
from pathlib import Path

import pytest
from kilter.protocol import messages as kilter
from kilter.protocol.buffer import SimpleBuffer

from millrace.engine.mail import edits
from millrace.engine.mail.address import Address
from millrace.engine.wire import milter
from millrace.engine.wire.milter import events, replies
from millrace.engine.wire.milter.terms import Terms

SPACED = Terms(6, 0x1FF, int(milter.Step.LEADING_SPACE | milter.Step.SKIP))

EVENTS = [
    (
        milter.Negotiate(6, 0x1FF, 0x1FFFFF, {milter.Command.MAIL: ("i", "auth_authen")}),
        kilter.Negotiate(
            6,
            kilter.ActionFlags(0x1FF),
            kilter.ProtocolFlags(0x1FFFFF),
            {kilter.Stage.ENVELOPE_FROM: ["i", "{auth_authen}"]},
        ),
    ),
    (milter.Macros(77, {"i": "4Q"}), kilter.Macro(77, {"i": "4Q"})),
    (
        milter.Macros(67, {"client_addr": "192.0.2.1"}),
        kilter.Macro(67, {"{client_addr}": "192.0.2.1"}),
    ),
    (
        milter.Connect("a.example", "inet", "192.0.2.1", 25),
        kilter.Connect("a.example", ip_address("192.0.2.1"), 25),
    ),
    (
        milter.Connect("a.example", "inet6", "2001:db8::1", 25),
        kilter.Connect("a.example", ip_address("2001:db8::1"), 25),
    ),
    (milter.Connect("a", "unix", "/run/x"), kilter.Connect("a", Path("/run/x"))),
    (milter.Connect("a.example"), kilter.Connect("a.example")),
    (milter.Helo("a.example"), kilter.Helo("a.example")),
    (
        milter.MailFrom("<a@b.example>", ("SIZE=1", "X=2")),
        kilter.EnvelopeFrom(b"<a@b.example>", [b"SIZE=1", b"X=2"]),
    ),
    (milter.RcptTo("<c@d.example>"), kilter.EnvelopeRecipient(b"<c@d.example>", [])),
    (milter.Data(), kilter.Data()),
    (milter.Header(b"X", b" y\n\tz\xff"), kilter.Header("X", b" y\n\tz\xff")),
    (milter.EndOfHeaders(), kilter.EndOfHeaders()),
    (milter.BodyChunk(b"one\r\n"), kilter.Body(b"one\r\n")),
    (milter.EndOfMessage(b"two\r\n"), kilter.EndOfMessage(b"two\r\n")),
    (milter.EndOfMessage(), kilter.EndOfMessage(b"")),
    (milter.Abort(), kilter.Abort()),
    (milter.Unknown("WIZ"), kilter.Unknown(b"WIZ\0")),
    (milter.Quit(), kilter.Close()),
]
CY = Address("cy", "d.example")
REPLIES = [
    (milter.Answer.CONTINUE, kilter.Continue()),
    (milter.Answer.REJECT, kilter.Reject()),
    (milter.Answer.DISCARD, kilter.Discard()),
    (milter.Answer.ACCEPT, kilter.Accept()),
    (milter.Answer.TEMPFAIL, kilter.TemporaryFailure()),
    (milter.Answer.SKIP, kilter.Skip()),
    (milter.Answer.PROGRESS, kilter.Progress()),
    (milter.Quarantine("odd"), kilter.Quarantine("odd")),
    (edits.AddHeader("X", "y"), kilter.AddHeader("X", b" y")),
    (edits.InsertHeader("X", "y", 3), kilter.InsertHeader(3, "X", b" y")),
    (edits.ChangeHeader("X", "y", 2), kilter.ChangeHeader(2, "X", b" y")),
    (edits.RemoveHeader("X", 2), kilter.ChangeHeader(2, "X", b"")),
    (edits.ChangeSender(CY), kilter.ChangeSender("<cy@d.example>")),
    (edits.ChangeSender(CY, ("X=1", "Y=2")), kilter.ChangeSender("<cy@d.example>", "X=1 Y=2")),
    (edits.AddRecipient(CY), kilter.AddRecipient("<cy@d.example>")),
    (edits.AddRecipient(CY, ("X=1",)), kilter.AddRecipientPar("<cy@d.example>", "X=1")),
    (edits.RemoveRecipient(CY), kilter.RemoveRecipient("<cy@d.example>")),
    (edits.ReplaceBody(b"other\r\n"), kilter.ReplaceBody(b"other\r\n")),
    (
        replies.Reply(550, "5.7.1", "one\ntwo"),
        kilter.ReplyCode(b"550-5.7.1 one\r\n550 5.7.1 two\0"),
    ),
]


def packed(message) -> bytes:
    buffer = SimpleBuffer(4096)
    message.pack(buffer)
    return buffer[:].tobytes()


def unpacked(data: bytes):
    buffer = SimpleBuffer(4096)
    buffer[:] = data
    message, size = kilter.Message.unpack(buffer)
    assert size == len(data)
    message.freeze()
    return message


@pytest.mark.parametrize(("ours", "theirs"), EVENTS, ids=lambda each: type(each).__name__)
def test_events_are_the_same_to_both_codecs(ours, theirs):
    assert type(unpacked(events.encode(ours, SPACED))) is type(theirs)
    assert packed(unpacked(events.encode(ours, SPACED))) == packed(theirs)
    data = packed(theirs)
    assert events.parse(data[4], data[5:]) == ours
    assert type(events.parse(data[4], data[5:])) is type(ours)


@pytest.mark.parametrize(("ours", "theirs"), REPLIES, ids=lambda each: type(each).__name__)
def test_replies_are_the_same_to_both_codecs(ours, theirs):
    assert type(unpacked(replies.encode(ours, SPACED))) is type(theirs)
    assert packed(unpacked(replies.encode(ours, SPACED))) == packed(theirs)
    data = packed(theirs)
    assert replies.parse(data[4], data[5:], SPACED) == ours


def test_no_message_type_of_theirs_is_left_out():
    kinds = {type(theirs) for _, theirs in EVENTS + REPLIES}
    assert kinds == set(kilter.Message._message_classes.values())
