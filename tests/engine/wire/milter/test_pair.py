"""Client and server back to back: what one says, the other hears."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.errors import ProtocolError
from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    InsertHeader,
    RemoveHeader,
    RemoveRecipient,
    ReplaceBody,
)
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire.milter import (
    POSTFIX,
    STEPS,
    Abort,
    Act,
    Answer,
    BodyChunk,
    Command,
    Connect,
    Data,
    EndOfHeaders,
    EndOfMessage,
    Header,
    Helo,
    Macros,
    MailFrom,
    MilterClient,
    MilterServer,
    Negotiate,
    Quarantine,
    Quit,
    QuitNewConnection,
    RcptTo,
    Unknown,
    Wants,
    final,
)
from millrace.engine.wire.milter.packets import packet

OFFERS = [
    POSTFIX,
    Negotiate(6, 0x1FF, 0x301FFFFF),
    Negotiate(4, 0x3F, 0x3FF),
    Negotiate(2, 0x3F, 0x7F),
]
CY = Address("cy", "test.example")


def pair(wants: Wants | None = None, offer: Negotiate = POSTFIX):
    client = MilterClient(offer)
    server = MilterServer(wants or Wants(actions=Act(0x1FF)))
    list(server.receive(client.open()))
    list(client.receive(server.answer()))
    return client, server


@pytest.fixture(params=OFFERS, ids=lambda offer: f"v{offer.version}-{offer.protocol:x}")
def both(request):
    return pair(offer=request.param)


def test_both_come_to_the_same_terms(both):
    client, server = both
    assert client.terms == server.terms


EVENTS = [
    Macros(67, {"i": "1", "client_addr": "::1", "odd": "\udcff"}),
    Connect("a", "inet", "192.0.2.1", 25),
    Unknown("WIZ ard"),
    QuitNewConnection(),
    Connect("a", "inet6", "2001:db8::1", 65535),
    Connect("a", "unix", "/run/x"),
    Connect("a"),
    Helo("a"),
    MailFrom("<a@b.example>", ("SIZE=1", "BODY=8BITMIME")),
    RcptTo("<é@d.example>", ("NOTIFY=NEVER",)),
    Data(),
    Header(b"X-One", b" one\n two"),
    Header(b"X-Two", b"  two"),
    EndOfHeaders(),
    BodyChunk(b"\0" * 65535),
    EndOfMessage(b"rest"),
    Abort(),
    Quit(),
]


def test_every_event_arrives_as_it_was_said(both):
    client, server = both
    sent = [event for event in EVENTS if client.terms.sends(event.command)]
    heard = list(server.receive(b"".join(map(client.send, EVENTS))))
    assert [(type(e), e) for e in heard] == [(type(e), e) for e in sent]


MESSAGES = [
    *Answer,
    Reply(550, "5.7.1", "100% no\nreally"),
    Reply(451, "4.7.1", ""),
    Quarantine("odd"),
    AddHeader("X", "y\n\tz"),
    InsertHeader("X", "y", 3),
    ChangeHeader("X", " y", 2),
    RemoveHeader("X", 2),
    ChangeSender(None),
    ChangeSender(CY, ("RET=HDRS", "BODY=8BITMIME")),
    AddRecipient(CY),
    AddRecipient(CY, ("NOTIFY=NEVER",)),
    RemoveRecipient(Address("é", "d.example")),
    ReplaceBody(b"other\r\n"),
]


def test_every_reply_arrives_as_it_was_said():
    client, server = pair()
    assert list(client.receive(server.send(*MESSAGES))) == MESSAGES


def test_an_index_of_zero_means_the_first_field():
    client, _ = pair()
    (heard,) = client.receive(packet(ord("m"), b"\0\0\0\0X\0 y\0"))
    assert heard == ChangeHeader("X", "y", 1)


def test_protocol_bits_beyond_the_offer_do_not_count():
    client = MilterClient(Negotiate(6, 0, 0))
    list(client.receive(Negotiate(6, 0, 0x1FFFFF).encode()))
    assert client.send(Helo("a"))
    assert client.waits_for(Helo("a"))


def test_only_answers_and_refusals_end_a_step():
    ends = [message for message in MESSAGES if final(message)]
    assert ends == [*[a for a in Answer if a is not Answer.PROGRESS], *MESSAGES[9:11]]


def test_declined_events_are_not_said_and_hushed_ones_not_waited_for():
    wants = Wants(events=STEPS - {Command.HELO}, replies=frozenset({Command.RCPT}))
    client, _ = pair(wants)
    assert client.send(Helo("a")) == b""
    waited = [event for event in EVENTS if client.waits_for(event)]
    assert [type(event) for event in waited] == [RcptTo, EndOfMessage]


@given(st.binary(max_size=40).map(lambda b: b.translate(None, b"\0\r")), st.sampled_from(OFFERS))
def test_a_value_loses_nothing_where_the_blank_is_known(value, offer):
    client, server = pair(offer=offer)
    stream = map(client.send, (Connect("a"), MailFrom("<>"), Header(b"X", b" " + value)))
    *_, heard = server.receive(b"".join(stream))
    guessed = not client.terms.leading_space and value[:1] in (b"", b"\n", b"\t")
    assert heard == Header(b"X", value if guessed else b" " + value)


def test_the_first_word_of_a_filter_must_be_the_answer():
    with pytest.raises(ProtocolError, match="not an answer to the offer"):
        list(MilterClient().receive(packet(ord("c"))))


def test_an_event_before_the_answer_is_refused():
    with pytest.raises(ProtocolError, match="has not yet answered"):
        MilterClient().send(Helo("a"))


@pytest.mark.parametrize(
    "reply",
    [
        packet(ord("c"), b"x"),
        packet(ord("z")),
        packet(ord("h"), b"X\0y"),
        packet(ord("h"), b"X\0"),
        packet(ord("i"), b"\0\0"),
        packet(ord("q"), b""),
        packet(ord("+"), b"<>\0"),
        packet(ord("+"), b"<a b@c>\0"),
        packet(ord("y"), b"250 2.0.0 fine\0"),
        packet(ord("y"), b"550-5.7.1 one\r\n551 5.7.1 two\0"),
        POSTFIX.encode(),
    ],
)
def test_a_reply_that_is_none_ends_the_conversation(reply):
    client, _ = pair()
    heard = iter(client.receive(packet(ord("p")) + reply))
    assert next(heard) is Answer.PROGRESS
    with pytest.raises(ProtocolError):
        next(heard)


@given(st.binary(max_size=80), st.sampled_from(b"+-2abcdefhimpqrsty4O"), st.booleans())
def test_garbage_from_a_filter_is_a_reply_or_a_protocol_error(payload, command, framed):
    client, _ = pair()
    with suppress(ProtocolError):
        list(client.receive(packet(command, payload) if framed else payload))
