"""Encoded words (RFC 2047), and how far kindness goes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.mail.words import decode_words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b" plain words\r\n", "plain words"),
        (b"=?utf-8?q?caf=C3=A9_au_lait?=", "café au lait"),
        (b"=?UTF-8?B?Y2Fmw6k=?=", "café"),
        (b"=?utf-8?B?Y2Fmw6k?= x", "café x"),
        (b"a =?iso-8859-1?q?=E4?= =?iso-8859-1?q?=F6?= b", "a äö b"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"),
        (b"=?utf-8*de?q?=C3=A4?=", "ä"),
        (b"folded\r\n =?utf-8?q?line?=", "folded line"),
        (b"=?nope?q?abc?=", "abc"),
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"=?utf-8?q?", "=?utf-8?q?"),
        (b"", ""),
    ],
)
def test_a_header_reads_as_its_sender_meant(value: bytes, text: str) -> None:
    assert decode_words(value) == text


@given(st.binary(max_size=300))
def test_any_bytes_become_some_text(value: bytes) -> None:
    assert isinstance(decode_words(b"=?utf-8?b?" + value + b"?="), str)


@pytest.mark.parametrize("piece", [b"=?", b"=?a?b?", b"=?a?q?b?= ", b"?="])
def test_long_headers_take_linear_time(piece: bytes) -> None:
    before = time.process_time()
    decode_words(piece * 200_000)
    assert time.process_time() - before < 0.5
