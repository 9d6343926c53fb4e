"""Values and texts: folds right, blanks right, nothing injected."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.errors import Bug
from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import field_of
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire.milter import mta_value, wire_value
from millrace.engine.wire.milter.fields import (
    VALUE_MAX,
    header_pair,
    parameters,
    path,
    reason,
    reply_lines,
    spaced,
)


def test_a_folded_value_becomes_the_mails_own_bytes():
    assert wire_value(b" a\n\tb\n c") == b" a\r\n\tb\r\n c"
    assert wire_value(b" a\r\n\tb") == b" a\r\n\tb"
    assert wire_value(b" plain") == b" plain"


@given(st.lists(st.binary(max_size=9).map(lambda b: b.translate(None, b"\r\n\0"))))
def test_folds_survive_the_way_there_and_back(lines):
    mail = b"\r\n\t".join(lines)
    assert wire_value(mta_value(mail)) == mail


@given(st.text(), st.booleans())
def test_no_value_can_begin_a_field_of_its_own(value, leading_space):
    pair = header_pair("X", value, leading_space=leading_space)
    assert pair.count(b"\0") == 2
    assert b"\r" not in pair
    assert all(line[:1] in (b" ", b"\t") for line in pair[2:-1].split(b"\n")[1:])


@given(st.text())
def test_the_mta_writes_the_field_that_the_archive_keeps(value):
    name, text, _ = header_pair("X", value, leading_space=True).split(b"\0")
    assert (name, wire_value(text)) == field_of("X", value)
    name, text, _ = header_pair("X", value, leading_space=False).split(b"\0")
    assert (name, wire_value(b" " + text)) == field_of("X", value)


def test_a_header_name_cannot_carry_a_value():
    assert header_pair("X: a\r\nY", "v", leading_space=False) == b"XaY\0v\0"
    with pytest.raises(Bug, match="needs a name"):
        header_pair(" \n", "v", leading_space=False)


def test_a_huge_value_still_fits_a_packet_of_sendmails():
    assert len(header_pair("X", "y" * 100_000, leading_space=True)) < VALUE_MAX + 10


@pytest.mark.parametrize(
    ("arrived", "whole"),
    [(b"x", b" x"), (b" x", b"  x"), (b"", b""), (b"\n\tx", b"\n\tx"), (b"\tx", b"\tx")],
)
def test_the_taken_blank_is_given_back(arrived, whole):
    assert spaced(arrived) == whole


def test_a_reply_of_many_lines_repeats_its_codes():
    lines = reply_lines(Reply(451, "4.7.1", "later\nmuch later"))
    assert lines == b"451-4.7.1 later\r\n451 4.7.1 much later"


@given(st.text(max_size=2000))
def test_no_text_can_end_a_reply_line(text):
    lines = reply_lines(Reply(550, "5.7.1", text)).split(b"\r\n")
    assert len(lines) <= 32
    for at, line in enumerate(lines):
        assert line.startswith(b"550 5.7.1 " if at == len(lines) - 1 else b"550-5.7.1 ")
        assert len(line.replace(b"%%", b"%")) <= 510
        assert not line.translate(None, bytes(range(32, 127)))
        assert b"%" not in line.replace(b"%%", b"")


def test_a_reply_has_no_more_lines_than_libmilter_takes():
    lines = reply_lines(Reply(550, "5.7.1", "no\n" * 50)).split(b"\r\n")
    assert len(lines) == 32
    assert lines[-1] == b"550 5.7.1 no"


def test_a_long_line_is_wrapped_and_no_word_is_lost():
    text = " ".join(f"word{n}" for n in range(300))
    lines = reply_lines(Reply(550, "5.7.1", text)).split(b"\r\n")
    assert b" ".join(line[10:] for line in lines) == text.encode()


def test_a_reply_without_enhanced_code_gets_one():
    assert reply_lines(Reply(450, "", "4 mails wait")) == b"450 4.7.1 4 mails wait"


@pytest.mark.parametrize(
    ("code", "enhanced"), [(250, "2.0.0"), (550, "4.7.1"), (550, "5.x"), (5, "5.1.1")]
)
def test_a_reply_that_no_mta_would_take_is_our_bug(code, enhanced):
    with pytest.raises(Bug):
        reply_lines(Reply(code, enhanced, "no"))


def test_an_address_with_a_line_break_is_our_bug():
    assert path(None) == b"<>"
    with pytest.raises(Bug):
        path(Address("a\r\nDATA", "example.org"))
    with pytest.raises(Bug):
        parameters(("SIZE=1\0",))


def test_the_words_of_a_quarantine_are_one_plain_line():
    assert reason("odd\r\nünd\0long" + "x" * 500)[:15] == b"odd  ?nd longxx"
    assert len(reason("x" * 500)) == 255
