"""Lines end in CRLF, and in nothing else."""

from __future__ import annotations

import pytest

from millrace.engine.errors import ProtocolError
from millrace.engine.wire.lines import Lines


def lines(raw: bytes, limit: int = 20, step: int = 1) -> list[bytes]:
    cutter = Lines(limit)
    out = []
    for at in range(0, len(raw), step):
        cutter.feed(raw[at : at + step])
        while (line := cutter.take()) is not None:
            out.append(line)
    return out


@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_lines_are_the_same_however_the_bytes_are_cut(step):
    assert lines(b"one\r\n\r\nthree\r\nfou", step=step) == [b"one", b"", b"three"]


@pytest.mark.parametrize("raw", [b"a\nb\r\n", b"a\rb\r\n", b"\n", b"a\r\r\n"])
@pytest.mark.parametrize("step", [1, 100])
def test_bare_cr_or_lf_is_an_error(raw, step):
    with pytest.raises(ProtocolError, match="bare CR or LF"):
        lines(raw, step=step)


@pytest.mark.parametrize("step", [1, 100])
def test_limit_counts_the_line_end_too(step):
    assert lines(b"x" * 18 + b"\r\n", 20, step) == [b"x" * 18]
    with pytest.raises(ProtocolError, match="longer than 20 octets"):
        lines(b"x" * 19 + b"\r\n", 20, step)


def test_rest_gives_what_was_not_cut():
    cutter = Lines(20)
    cutter.feed(b"one\r\ntwo")
    cutter.take()
    assert len(cutter) == 3
    assert cutter.rest() == b"two"
    assert len(cutter) == 0
