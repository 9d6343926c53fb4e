"""The filter's side: what may follow what, and what hostile bytes can do (nothing)."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.errors import Bug, ProtocolError
from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import AddHeader, AddRecipient, ReplaceBody
from millrace.engine.wire import milter
from millrace.engine.wire.milter import (
    STEPS,
    Abort,
    Act,
    Answer,
    Command,
    Connect,
    Data,
    Header,
    MailFrom,
    MilterServer,
    Negotiate,
    Quarantine,
    Quit,
    RcptTo,
    Unknown,
    Wants,
)
from millrace.engine.wire.milter.packets import packet

OFFER = milter.POSTFIX.encode()
ENVELOPE = packet(67, b"mx\0U") + packet(77, b"<a@b.example>\0")


def agreed(wants: Wants | None = None, offer: bytes = OFFER) -> MilterServer:
    server = MilterServer(wants or Wants())
    list(server.receive(offer))
    return server


def after(*packets: bytes) -> list:
    return list(agreed().receive(b"".join(packets)))


@pytest.mark.parametrize("command", "CMNBEDUAK")
def test_nothing_comes_before_the_negotiation(command):
    with pytest.raises(ProtocolError, match="where the negotiation was due"):
        list(MilterServer(Wants()).receive(packet(ord(command), b"x\0")))


def test_a_second_negotiation_is_refused():
    with pytest.raises(ProtocolError):
        list(agreed().receive(OFFER))


def test_an_answer_before_any_offer_is_our_bug():
    with pytest.raises(Bug):
        MilterServer(Wants()).answer()


def test_an_unknown_command_is_refused():
    with pytest.raises(ProtocolError, match="b'z' does not exist"):
        after(packet(ord("z")))


def test_a_mail_needs_the_connection_that_was_asked_for():
    with pytest.raises(ProtocolError, match="where the connection was due"):
        after(packet(77, b"<a@b.example>\0"))


def test_a_mail_needs_the_sender_that_was_asked_for():
    with pytest.raises(ProtocolError, match="where a new mail was due"):
        after(packet(67, b"mx\0U"), packet(82, b"<c@d.example>\0"))


@pytest.mark.parametrize("first", "RTLNBE")
def test_a_mail_may_begin_anywhere_after_what_was_declined(first):
    server = agreed(Wants(events=STEPS - {Command.CONNECT, Command.MAIL}))
    payload = b"n\0v\0" if first == "L" else b"<a@b.example>\0"
    (event,) = server.receive(packet(ord(first), payload))
    assert event.command == ord(first)
    assert server.in_mail is (first != "E")


@pytest.mark.parametrize("late", "RTLN")
def test_what_comes_after_the_body_began_is_refused(late):
    with pytest.raises(ProtocolError, match="where the rest of the body was due"):
        after(ENVELOPE, packet(66, b"x"), packet(ord(late), b"n\0v\0"))


def test_a_recipient_may_follow_a_refused_data():
    events = after(ENVELOPE, packet(84), packet(82, b"<c@d.example>\0"), packet(84))
    assert events[2:] == [Data(), RcptTo("<c@d.example>"), Data()]


@pytest.mark.parametrize("command", "CHMQK")
def test_a_mail_that_is_cut_short_is_aborted_first(command):
    payload = b"mx\0U" if command == "C" else b"x\0"
    events = after(ENVELOPE, packet(76, b"n\0v\0"), packet(ord(command), payload))
    assert events[-2] == Abort()
    assert events[-1].command == ord(command)


def test_nothing_comes_after_quit():
    with pytest.raises(ProtocolError, match="where nothing more was due"):
        after(packet(81), packet(67, b"mx\0U"))


def test_a_new_connection_begins_without_a_new_negotiation():
    events = after(ENVELOPE, packet(69), packet(75), packet(67, b"other\0U"))
    assert events[-1] == Connect("other")


def test_an_abort_before_the_connection_changes_nothing():
    assert after(packet(65), packet(67, b"mx\0U")) == [Abort(), Connect("mx")]


def test_an_abort_does_not_stand_for_a_connection():
    with pytest.raises(ProtocolError, match="where the connection was due"):
        after(packet(65), packet(77, b"<a@b.example>\0"))


def test_events_before_the_trouble_arrive_and_the_trouble_stays():
    server = agreed()
    events = iter(server.receive(packet(67, b"mx\0U") + b"\0\0\0\0\0"))
    assert next(events) == Connect("mx")
    with pytest.raises(ProtocolError, match="no command"):
        next(events)
    with pytest.raises(ProtocolError, match="no command"):
        list(server.receive(packet(81)))


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        (b"mx\0U", Connect("mx")),
        (b"mx\0", Connect("mx")),
        (b"mx\x004", Connect("mx")),
        (b"mx\x004\0", Connect("mx")),
        (b"mx\x004\0\x19", Connect("mx")),
        (b"mx\x004\0\x19nonsense\0", Connect("mx")),
        (b"mx\x004\0\x19192.0.2.256\0", Connect("mx")),
        (b"mx\x004\0\x19192.0.2.01\0", Connect("mx")),
        (b"mx\0Z\0\x19192.0.2.1\0", Connect("mx")),
        (b"\x004\0\x19192.0.2.1\0", Connect("", "inet", "192.0.2.1", 25)),
        (b"mx\x006\0\0IPv6:2001:DB8::1\0", Connect("mx", "inet6", "2001:db8::1", 0)),
        (b"mx\0L\0\0/run/x\0", Connect("mx", "unix", "/run/x", 0)),
        (b"\xff\x004\xff\xff192.0.2.1", Connect("\udcff", "inet", "192.0.2.1", 65535)),
    ],
)
def test_a_connection_is_read_as_far_as_it_goes(payload, event):
    assert after(packet(67, payload)) == [event]


@pytest.mark.parametrize(
    ("command", "payload"),
    [
        ("C", b"no end"),
        ("H", b"no end"),
        ("H", b""),
        ("M", b""),
        ("M", b"<a@b.example>"),
        ("M", b"<a@b.example>\0" + b"X\0" * 5000),
        ("D", b""),
        ("D", b"Ci\0odd"),
        ("D", b"Ci\0"),
        ("D", b"C" + b"i\0" * 5000),
    ],
)
def test_a_payload_that_is_no_such_thing_is_refused(command, payload):
    opening = b"" if command in "CD" else packet(67, b"mx\0U")
    with pytest.raises(ProtocolError, match="is broken"):
        after(opening, packet(ord(command), payload))


@pytest.mark.parametrize("payload", [b"", b"\0", b"n", b"n\0", b"n\0v", b"\0v\0", b"n\0v\0x\0"])
def test_a_header_packet_is_exactly_a_name_and_a_value(payload):
    with pytest.raises(ProtocolError, match="packet for header is broken"):
        after(ENVELOPE, packet(76, payload))


def test_a_header_field_keeps_every_byte():
    name, value = b"X\xff", bytes(range(1, 256))
    assert after(ENVELOPE, packet(76, name + b"\0" + value + b"\0"))[-1] == Header(name, value)


def test_empty_and_strange_words_arrive_as_they_are():
    hello, sender = packet(72, b"\0"), packet(77, b"\0\0X=\xff\0")
    events = after(packet(67, b"mx\0U"), hello, packet(85), sender)
    assert events[1:] == [milter.Helo(""), Unknown(""), MailFrom("", ("", "X=\udcff"))]


def test_an_edit_that_was_not_granted_is_our_bug():
    server = agreed(Wants(actions=Act.ADD_RECIPIENT))
    cy = Address("c", "d.example")
    assert server.send(AddRecipient(cy)) == packet(ord("+"), b"<c@d.example>\0")
    for message in (AddHeader("X", "y"), Quarantine("x"), AddRecipient(cy, ("X=1",))):
        with pytest.raises(Bug, match="was not granted"):
            server.send(message)


def test_skip_needs_an_mta_that_knows_it():
    assert agreed().send(Answer.SKIP) == packet(ord("s"))
    with pytest.raises(Bug):
        agreed(offer=Negotiate(2, 0x3F, 0x7F).encode()).send(Answer.SKIP)


def test_a_long_body_is_replaced_in_chunks_and_an_empty_one_in_one():
    server = agreed(Wants(actions=Act.REPLACE_BODY))
    sent = server.send(ReplaceBody(bytes(70_000)), Answer.CONTINUE)
    assert sent == packet(98, bytes(65535)) + packet(98, bytes(4465)) + packet(99)
    assert server.send(ReplaceBody(b"")) == packet(98)


PAYLOADS = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"mx\0U", b"a\0b\0", b"<a@b.example>\0", b"Ci\0x\0", b""]),
)
PACKETS = st.builds(packet, st.sampled_from(b"ABCDEHKLMNOQRTUz"), PAYLOADS)
STREAMS = st.lists(st.one_of(PACKETS, PACKETS, PACKETS, st.binary(max_size=9))).map(b"".join)


@given(STREAMS, st.booleans(), st.data())
def test_garbage_gives_events_or_a_protocol_error_wherever_it_is_cut(stream, opened, data):
    whole = OFFER + stream if opened else stream
    at = data.draw(st.integers(0, len(whole)))
    once = outcome(MilterServer(Wants()), [whole])
    assert outcome(MilterServer(Wants()), [whole[:at], whole[at:]]) == once
    assert len(once[0]) <= 2 * len(whole) / 5


def outcome(server, pieces):
    events = []
    try:
        for piece in pieces:
            events.extend(server.receive(piece))
    except ProtocolError as error:
        return events, str(error)
    return events, ""


@given(st.lists(st.sampled_from("CHMRTLNBEAKU"), max_size=30))
def test_a_mail_always_begins_with_its_sender_and_ends_once(commands):
    words = {"C": b"mx\0U", "L": b"n\0v\0", "D": b"C"}
    stream = b"".join(packet(ord(c), words.get(c, b"x\0")) for c in ["C", *commands])
    open_mail = False
    for event in outcome(agreed(), [stream])[0]:
        if isinstance(event, MailFrom):
            assert not open_mail
        elif event.command in b"RTLNBE":
            assert open_mail
        elif event.command in b"CHKQ":
            assert not open_mail
        open_mail = not isinstance(event, Abort) and (
            isinstance(event, MailFrom) or (open_mail and event.command != ord("E"))
        )


def test_an_offer_with_words_behind_it_is_read():
    server = agreed(offer=packet(79, struct.pack(">III", 6, 0, 0) + b"\0\0\0\x09x\0"))
    assert server.offer == Negotiate(6, 0, 0)
    assert list(server.receive(packet(81))) == [Quit()]
