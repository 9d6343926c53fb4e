"""Addresses of the envelope, as peers write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.mail.address import LOCAL_MAX, PATH_MAX, Address


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("a@b.example", "a", "b.example"),
        ("<a@b.example>", "a", "b.example"),
        (" <A@B.Example.> ", "A", "b.example"),
        ("<@relay.example,@two.example:a@b.example>", "a", "b.example"),
        ("<postmaster>", "postmaster", ""),
        ('<"a b"@c.example>', '"a b"', "c.example"),
        ('<"a@b\\"c"@d.example>', '"a@b\\"c"', "d.example"),
        ("<a@[192.0.2.1]>", "a", "[192.0.2.1]"),
        ("<a@[IPv6:2001:DB8::1]>", "a", "[ipv6:2001:db8::1]"),
        ("<jürgen@bücher.example>", "jürgen", "bücher.example"),
        ("a+b=c@d.example", "a+b=c", "d.example"),
    ],
)
def test_path_is_read_into_its_parts(text, local, domain):
    assert Address.parse(text) == Address(local, domain)


@pytest.mark.parametrize("text", ["<>", "", "  "])
def test_null_path_is_no_address(text):
    assert Address.parse(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<a@b", "a path that opens with '<' must end with '>'"),
        ("a@b\r\nc", "an address holds no control characters"),
        ("a\0@b", "an address holds no control characters"),
        ("@b.example", "an address needs something before '@'"),
        ("a@b@c", "the domain holds a character that no domain has"),
        ("a@b c", "the domain holds a character that no domain has"),
        ("a b@c", "a local part with such characters must be quoted"),
        ("a,b@c", "a local part with such characters must be quoted"),
        ('"ab@c', "a quoted local part must end with a quote"),
        ('"ab\\"@c', "a quoted local part must end with a quote"),
        ('"ab"c@d', "after a quoted local part comes '@'"),
        ("a" * (4 * LOCAL_MAX + 1) + "@b", "the local part is too long"),
        ("a@" + "b" * PATH_MAX, f"a path is at most {PATH_MAX} characters long"),
    ],
)
def test_text_that_is_no_address_is_told_why(text, words):
    with pytest.raises(ValueError, match=r"\w") as caught:
        Address.parse(text)
    assert str(caught.value) == words


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_a_value_error(text):
    try:
        found = Address.parse(text)
    except ValueError:
        return
    if found is not None:
        assert found.local
        assert Address.parse(f"<{found}>") == found


def test_address_tells_whether_ascii_is_enough():
    assert Address("a", "b.example").ascii
    assert not Address("ä", "b.example").ascii
    assert not Address("a", "bü.example").ascii
