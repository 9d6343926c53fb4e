"""Dots on and off, and no line end but CRLF."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.errors import ProtocolError
from millrace.engine.wire.smtp.data import DataReader, DataWriter, bare

TEXT = st.lists(st.sampled_from([b"\r\n", b".", b"x", b"\0", b"..", b"\r\n."]), max_size=20).map(
    b"".join
)


def written(*chunks: bytes) -> bytes:
    writer = DataWriter()
    return b"".join([writer.write(chunk) for chunk in chunks]) + writer.finish()


@pytest.mark.parametrize(
    ("mail", "wire"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.b\r\n..\r\n", b"a\r\n..b\r\n...\r\n.\r\n"),
    ],
)
def test_dots_at_line_starts_are_doubled(mail, wire):
    assert written(mail) == wire


def test_chunks_cut_anywhere_give_the_same_wire():
    mail = b".a\r\n.\r\n..\r\n\r\n.b"
    for first in range(len(mail)):
        for second in range(first, len(mail)):
            assert written(mail[:first], mail[first:second], mail[second:]) == written(mail)


@pytest.mark.parametrize("mail", [b"a\nb", b"a\rb", b"a\r", b"\n.\n", b"a\r\r\n"])
def test_bare_line_ends_never_leave_the_house(mail):
    for at in range(len(mail) + 1):
        with pytest.raises(ProtocolError) as caught:
            written(mail[:at], mail[at:])
        assert caught.value.reply.startswith("554 5.6.0")


@pytest.mark.data
def test_no_variant_of_the_end_passes_outward(shared_data):
    table = json.loads((shared_data / "smtp" / "end-of-data.json").read_text())
    for case in table:
        sequence = bytes.fromhex(case["hex"])
        try:
            wire = written(b"a" + sequence + b"b\r\n")
        except ProtocolError:
            continue
        assert wire.index(b"\r\n.\r\n") == len(wire) - 5, case["name"]
        assert not bare(wire), case["name"]


@given(TEXT, st.integers(1, 9))
def test_reader_takes_off_what_the_writer_put_on(mail, step):
    wire = written(mail) + b"QUIT\r\n"
    reader = DataReader()
    got, behind = b"", None
    for at in range(0, len(wire), step):
        if behind is not None:
            behind += wire[at : at + step]
            continue
        piece, behind = reader.feed(wire[at : at + step])
        got += piece
    assert got == (mail if mail.endswith(b"\r\n") or not mail else mail + b"\r\n")
    assert behind == b"QUIT\r\n"
    assert reader.size == len(got)
    assert not reader.faulty


@pytest.mark.parametrize("text", [b"a\nb", b"a\rb", b"a\r\r\nb", b"\n", b"a\n\r\n"])
def test_reader_marks_a_bare_line_end_however_it_is_cut(text):
    wire = text + b"\r\n.\r\n"
    for at in range(len(wire) + 1):
        reader = DataReader()
        reader.feed(wire[:at])
        if at < len(wire):
            assert reader.feed(wire[at:])[1] == b""
        assert reader.faulty
