"""The header section: every octet kept, lines that are no field end it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.mail.headers import FIELDS_MAX, TEXT_MAX, Headers, parse
from millrace.engine.mail.message import Message


@pytest.mark.parametrize(
    ("raw", "fields", "separator", "body"),
    [
        (b"A: 1\r\nB:2\r\n\r\nx", [(b"A", b" 1"), (b"B", b"2")], b"\r\n", b"x"),
        (b"A: 1\nB:2\n\nx", [(b"A", b" 1"), (b"B", b"2")], b"\n", b"x"),
        (b"A: 1\r\n\t2\r\n 3\r\n\r\n", [(b"A", b" 1\r\n\t2\r\n 3")], b"\r\n", b""),
        (b"A: 1\r\n \r\n\r\nx", [(b"A", b" 1\r\n ")], b"\r\n", b"x"),
        (b"A : 1\r\n\r\n", [(b"A ", b" 1")], b"\r\n", b""),
        (b"A:\r\n\r\n", [(b"A", b"")], b"\r\n", b""),
        (b"A: 1", [(b"A", b" 1")], b"", b""),
        (b"A: 1\r\nno field\r\n\r\nx", [(b"A", b" 1")], b"", b"no field\r\n\r\nx"),
        (b"\r\nx", [], b"\r\n", b"x"),
        (b"", [], b"", b""),
        (b" A: 1\r\n\r\n", [], b"", b" A: 1\r\n\r\n"),
        (b": 1\r\n\r\n", [], b"", b": 1\r\n\r\n"),
        (b"A B: 1\r\n\r\n", [], b"", b"A B: 1\r\n\r\n"),
        (b"A: 1\rB: 2\r\n\r\n", [(b"A", b" 1\rB: 2")], b"\r\n", b""),
        (b"A: 1\r\r\n\r\n", [(b"A", b" 1\r")], b"\r\n", b""),
        (b"A: \xff\0\r\n\r\n", [(b"A", b" \xff\0")], b"\r\n", b""),
    ],
)
def test_section_is_cut_into_fields_and_body(raw, fields, separator, body):
    found = Message.parse(raw)
    assert [tuple(each) for each in found.headers] == fields
    assert (found.separator, bytes(found.body)) == (separator, body)


def test_fields_are_found_by_name_case_aside_from_the_top():
    headers = Headers([(b"To", b" 1"), (b"X", b" 2"), (b"tO", b" 3")])
    assert [each.value for each in headers.all(b"TO")] == [b" 1", b" 3"]
    assert headers.first(b"to") == b" 1"
    assert headers.first(b"Cc") is None
    assert len(headers) == 3


def test_text_of_a_field_is_unfolded_for_people():
    (entry,) = Headers([(b"A", b" one\r\n\ttwo \xff ")])
    assert entry.text == "one\ttwo \ufffd"


def test_section_is_bounded_in_fields():
    fields, at, separator = parse(b"A: 1\r\n" * (FIELDS_MAX + 1))
    assert (len(fields), at, separator) == (FIELDS_MAX, 6 * FIELDS_MAX, b"")


@pytest.mark.data
def test_published_mails_come_out_as_they_went_in(shared_data):
    tried = 0
    for path in sorted((shared_data / "mime").rglob("*")):
        if path.suffix not in (".eml", ".txt", ".msg") or not path.is_file():
            continue
        raw = re.sub(rb"\r?\n", b"\r\n", path.read_bytes())
        found = Message.parse(raw)
        tried += 1
        cut = found.separator == b"" and found.body.size == 0  # ends inside the section
        assert bytes(found) == (raw if raw.endswith(b"\r\n") or not cut else raw + b"\r\n"), path
        assert found.size == len(bytes(found))
    assert tried > 100


FIELD = st.tuples(
    st.text("AaZ-9!~", min_size=1, max_size=8).map(str.encode),
    st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b""))).map(
        b"\r\n ".join
    ),
)


@given(st.lists(FIELD, max_size=8), st.binary(max_size=40))
def test_random_fields_and_bodies_round_trip(fields, body):
    raw = b"".join(b"%b:%b\r\n" % pair for pair in fields) + b"\r\n" + body
    found = Message.parse(raw)
    assert [tuple(each) for each in found.headers] == fields
    assert bytes(found.body) == body
    assert bytes(found) == raw


@given(st.binary(max_size=200))
def test_any_octets_are_some_message(raw):
    found = Message.parse(raw)
    assert found.size == len(bytes(found))
    assert bytes(found.body) == raw[len(raw) - found.body.size :]


def section(*values: bytes) -> Headers:
    return Headers((b"X-Note", value) for value in values)


def test_a_field_is_read_as_people_read_it():
    folded = section(b" =?utf-8?q?caf=C3=A9?=\r\n =?utf-8?b?IQ==?= now")
    assert folded.text(b"x-note") == "café! now"


def test_of_several_fields_the_topmost_is_read():
    assert section(b" one", b" two").text(b"X-Note") == "one"


def test_a_field_that_is_not_there_has_no_text():
    assert (section().text(b"X-Note"), section().subject) == (None, None)


def test_a_field_without_words_has_an_empty_text():
    assert section(b" ").text(b"X-Note") == ""


def test_the_text_of_a_field_is_bounded():
    assert section(b"x" * 100_000).text(b"X-Note") == "x" * TEXT_MAX


def test_hops_are_the_fields_that_servers_wrote():
    found = Headers([(b"Received", b""), (b"received", b""), (b"Subject", b" x")])
    assert (found.hops, found.count, found.subject) == (2, 3, "x")


@given(st.binary(max_size=80))
def test_any_octets_have_some_text(value):
    assert isinstance(section(value).text(b"X-Note"), str)
