"""Declared charsets are a stranger's words: the table decides, not Python's registry."""

from __future__ import annotations

import encodings

import pytest

from millrace.engine.mail.charset import decode, known


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        (b"caf\xc3\xa9", "UTF-8", "café"),
        (b"caf\xe9", "iso-8859-1", "café"),
        (b"caf\xe9", "", "café"),
        (b"caf\xc3\xa9", "us-ascii", "café"),
        (b"\x93quoted\x94", "windows-1252", "“quoted”"),
        (b"\xd0\xd2\xc9\xd7\xc5\xd4", "koi8-r", "привет"),
        (b"\xc4\xe3\xba\xc3", "GB2312", "你好"),
        (b"\xc3\xa4caf\xc3", "utf-8", "äcaf\ufffd"),
    ],
)
def test_bytes_become_text_by_their_charset(data: bytes, charset: str, text: str) -> None:
    assert decode(data, charset) == text


@pytest.mark.parametrize("name", ["idna", "punycode", "unicode_escape", "zip", "rot13", "x" * 999])
def test_codecs_that_are_no_charset_are_not_used(name: str) -> None:
    assert not known(name)
    assert decode(b"xn--a", name) == "xn--a"


def test_unknown_names_leave_nothing_in_pythons_registry() -> None:
    decode(b"a", "a-name-that-nobody-has")
    assert "a_name_that_nobody_has" not in encodings._cache  # type: ignore[attr-defined]
    assert "a-name-that-nobody-has" not in encodings._cache  # type: ignore[attr-defined]


def test_every_charset_in_the_table_is_a_codec_of_python() -> None:
    from millrace.engine.mail.charset import _CODECS

    for name in _CODECS:
        assert decode(b"\x1b\xff" + name.encode(), name)
