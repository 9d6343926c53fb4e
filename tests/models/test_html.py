"""HTML is scanned, not parsed: text, links, and no killer input."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.models.html import LINKS_MAX, host, read


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (b"<p>Hello<br>world</p>", b"Hello world"),
        (b"v<b></b>ia<i>g</i>ra", b"viagra"),
        (b"vi<!-- x -->agra", b"viagra"),
        (b"a<style>p { color: red }</STYLE>b", b"a b"),
        (b"<script>alert(1)</script >x", b" x"),
        (b"caf&eacute; &#8364;5 &#x20AC; &amp; &nope; &lt;", "café €5 € & &nope; <".encode()),
        (b"&#99999999999999;&#1114112;&#0;", b"&#99999999999999;"),
        (b"a <!-- never closed", b"a"),
        (b"1 < 2", b"1 < 2"),
    ],
)
def test_text_is_what_a_reader_sees(page: bytes, words: bytes) -> None:
    assert read(page).text.split() == words.split()


def test_links_tell_where_they_lead_and_what_they_show() -> None:
    page = read(b"<a class=x href='https://U@Evil.example:8/x'><b>www.bank.example</b></a> more")
    assert [(link.host, link.shown) for link in page.links] == [
        ("evil.example", b"www.bank.example")
    ]


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (b"http://A.example/x", "a.example"),
        (b"https://u:p@b.example:99", "b.example"),
        (b"http://[2001:db8::1]/", "[2001:db8::1"),
        (b"mailto:x@y.example", ""),
        (b"/relative", ""),
        (b"", ""),
    ],
)
def test_the_host_of_an_address_is_found(target: bytes, name: str) -> None:
    assert host(target) == name


def test_signs_name_forms_and_hidden_text() -> None:
    page = read(b"<FORM action=x><p style='display:none'>x")
    assert page.signs == {"form", "hidden"}


def test_links_are_bounded_in_number() -> None:
    assert len(read(b"<a href=http://x.example>" * 5000).links) == LINKS_MAX


def test_deep_nesting_is_named_and_honest_length_is_not() -> None:
    assert read(b"<div>" * 2000 + b"x").too_deep
    assert not read(b"<div>x</div>" * 5000).too_deep


FONTS = b"<p>" + b"".join(b"<font x=%d>" % n for n in range(500))


@pytest.mark.parametrize(
    "bomb",
    [
        FONTS + b"<p>a" * 60_000,
        b"<div>" * 50_000,
        b"<ul><li>" * 30_000,
        b"<" * 260_000,
        b"<a " * 80_000,
        b"<a href=" * 30_000,
        b"<!--" * 60_000,
        b"<style><script>" * 17_000,
        b"&#" * 130_000,
        b"&" + b"a" * 260_000,
        b'<a href="' + b"x" * 250_000,
        b"<b " * 80_000,
    ],
)
def test_bombs_for_parsers_take_linear_time(bomb: bytes) -> None:
    before = time.process_time()
    read(bomb)
    assert time.process_time() - before < 1.0


PIECES = [b"<", b">", b"a", b"<a href=", b"</a", b"<!--", b"-->", b"&#x", b"&", b"'", b'"', b"\xff"]


@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_no_bytes_make_the_scan_raise(pieces: list[bytes]) -> None:
    read(b"".join(pieces))
