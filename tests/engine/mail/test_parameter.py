"""Parameters of structured fields (RFC 2045 §5.1, RFC 2231)."""

from __future__ import annotations

import time

import pytest

from millrace.engine.mail.parameter import parameters


@pytest.mark.parametrize(
    ("value", "head", "given"),
    [
        (b" text/plain; charset=utf-8\r\n", "text/plain", {"charset": "utf-8"}),
        (b'TEXT/Plain; Name="a;b=c"; x=1', "text/plain", {"name": "a;b=c", "x": "1"}),
        (rb'a/b; name="a\"b\\c"', "a/b", {"name": 'a"b\\c'}),
        (b'a/b; name="never closed; x=1', "a/b", {"name": "never closed; x=1"}),
        (b"a/b; x=1; x=2", "a/b", {"x": "1"}),
        (b"a/b;; x = 1 ;", "a/b", {"x": "1"}),
        (b"a/b; f*=utf-8'de'%c3%a4.txt", "a/b", {"f": "ä.txt"}),
        (b"a/b; f*1=b.exe; f*0=a", "a/b", {"f": "ab.exe"}),
        (b"a/b; f*0*=iso-8859-1''%e4; f*1*=%f6; f*2=.txt", "a/b", {"f": "äö.txt"}),
        (b"a/b; f*0=a; f*2=c", "a/b", {"f": "a"}),
        (b"", "", {}),
        (b"\xff\xfe; \x00=\x00", "\ufffd\ufffd", {"\x00": "\x00"}),
    ],
)
def test_a_field_gives_its_head_and_its_parameters(value, head, given) -> None:
    assert parameters(value) == (head, given)


def test_encoded_section_wins_over_the_plain_one_for_old_readers() -> None:
    assert parameters(b"a; filename=x.txt; filename*=utf-8''%e2%82%ac.txt")[1] == {
        "filename": "€.txt"
    }


@pytest.mark.parametrize("piece", [b'; a="', b"; a*0*=", b";;;;", b'\\"', b"; \r\n ", b"%41'"])
def test_long_fields_take_linear_time(piece: bytes) -> None:
    before = time.process_time()
    parameters(b"a/b" + piece * 200_000)
    assert time.process_time() - before < 0.5
