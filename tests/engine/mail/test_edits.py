"""Edits are data: applied in order, and none can forge a line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    edited,
    field_of,
)
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.message import Message

ANN, BEN, CY = (Address(name, "example.net") for name in ("ann", "ben", "cy"))
RAW = b"A: 1\r\nB: 2\r\nA: 3\r\n\r\nbody\r\n"
ENVELOPE = Envelope("id", Sender(Address("x", "y.example")), (Recipient(ANN), Recipient(BEN)))


def applied(*edits):
    return edited(ENVELOPE, Message.parse(RAW), edits)


@pytest.mark.parametrize(
    ("edits", "section"),
    [
        ((), "A: 1|B: 2|A: 3"),
        ((AddHeader("C", "4"),), "A: 1|B: 2|A: 3|C: 4"),
        ((AddHeader("C", "4"), AddHeader("D", "5")), "A: 1|B: 2|A: 3|C: 4|D: 5"),
        ((InsertHeader("C", "4"),), "C: 4|A: 1|B: 2|A: 3"),
        ((InsertHeader("C", "4"), InsertHeader("D", "5")), "D: 5|C: 4|A: 1|B: 2|A: 3"),
        ((InsertHeader("C", "4", 1),), "A: 1|C: 4|B: 2|A: 3"),
        ((InsertHeader("C", "4", 99),), "A: 1|B: 2|A: 3|C: 4"),
        ((ChangeHeader("a", "9"),), "a: 9|B: 2|A: 3"),
        ((ChangeHeader("A", "9", 2),), "A: 1|B: 2|A: 9"),
        ((ChangeHeader("A", "9", 3),), "A: 1|B: 2|A: 3|A: 9"),
        ((ChangeHeader("A", "8"), ChangeHeader("A", "9")), "A: 8|B: 2|A: 3"),
        ((ChangeHeader("A", "8"), RemoveHeader("A")), "A: 8|B: 2|A: 3"),
        ((RemoveHeader("A"),), "B: 2|A: 3"),
        ((RemoveHeader("A", 2),), "A: 1|B: 2"),
        ((RemoveHeader("A", 1), RemoveHeader("A", 2)), "B: 2"),
        ((RemoveHeader("A", 2), RemoveHeader("A", 1)), "B: 2"),
        ((RemoveHeader("A", 3), RemoveHeader("C")), "A: 1|B: 2|A: 3"),
        ((RemoveHeader("A", 0),), "B: 2|A: 3"),
        ((RemoveHeader("A"), InsertHeader("C", "4", 1)), "B: 2|C: 4|A: 3"),
        ((InsertHeader("A", "0"), ChangeHeader("A", "9")), "A: 0|A: 9|B: 2|A: 3"),
    ],
)
def test_header_edits_apply_in_order_to_positions_as_they_were(edits, section):
    expected = section.replace("|", "\r\n").encode() + b"\r\n\r\nbody\r\n"
    assert bytes(applied(*edits).message) == expected


def test_body_is_replaced_as_a_whole():
    assert bytes(applied(ReplaceBody(b"new")).message).endswith(b"\r\n\r\nnew")


def test_envelope_edits_change_the_envelope_alone():
    found = applied(ChangeSender(None), AddRecipient(CY, ("NOTIFY=NEVER",)), RemoveRecipient(ANN))
    assert found.envelope.sender == Sender(None)
    assert found.envelope.recipients == (Recipient(BEN), Recipient(CY, ("NOTIFY=NEVER",)))
    assert bytes(found.message) == RAW


def test_recipient_that_is_there_is_not_added_twice():
    assert applied(AddRecipient(ANN)).envelope == ENVELOPE
    assert applied(RemoveRecipient(CY)).envelope == ENVELOPE


def test_originals_stay_as_they_are():
    message = Message.parse(RAW)
    edited(ENVELOPE, message, [RemoveHeader("A"), ReplaceBody(b"")])
    assert bytes(message) == RAW


def test_mail_without_separator_gets_one():
    message = Message.parse(b"A: 1\r\nno field\r\n")
    assert bytes(edited(ENVELOPE, message, []).message) == b"A: 1\r\n\r\nno field\r\n"


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        ("plain", b" plain"),
        ("one\r\n\ttwo", b" one\r\n\ttwo"),
        ("one\n two", b" one\r\n two"),
        ("one\r\nEvil: two", b" one\r\n\tEvil: two"),
        ("one\rtwo\0", b" onetwo"),
        ("one\r\n\r\nbody", b" one\r\n\tbody"),
        ("one\r\n", b" one"),
        ("grüße", " grüße".encode()),
        ("\udcff", b" \xff"),
    ],
)
def test_value_can_never_begin_a_line_of_its_own(value, raw):
    assert field_of("A", value).value == raw


def test_name_keeps_only_what_a_name_may_hold():
    assert field_of("X-A: b\r\nEvil", "v").name == b"X-AbEvil"


@given(st.text(max_size=40), st.text(max_size=60))
def test_any_field_of_ours_is_read_back_as_one_field(name, value):
    found = field_of(f"X{name}", value)
    message = Message.parse(found.name + b":" + found.value + b"\r\n\r\nbody")
    assert [tuple(each) for each in message.headers] == [tuple(found)]
    assert bytes(message.body) == b"body"
