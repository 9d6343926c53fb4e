"""From, in every way that senders write it.  RFC 5322 §3.6.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.mail.author import LENGTH_MAX, MAILBOXES_MAX, Author
from millrace.engine.mail.headers import Headers


def author(*values: str | bytes) -> Author:
    raw = [value if isinstance(value, bytes) else value.encode() for value in values]
    return Author.of(Headers((b"From", b" " + value) for value in raw))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a@b.example", "a@b.example"),
        ("<a@b.example>", "a@b.example"),
        ("Ann <a@b.example>", "a@b.example"),
        ('"Ann, of B" <a@b.example>', "a@b.example"),
        ('"evil@x.example" <a@b.example>', "a@b.example"),
        ('"<evil@x.example>" <a@b.example>', "a@b.example"),
        ("evil@x.example <a@b.example>", "a@b.example"),
        ("=?utf-8?q?evil=40x.example?= <a@b.example>", "a@b.example"),
        ("a@b.example (Ann)", "a@b.example"),
        ("(evil@x.example) a@b.example", "a@b.example"),
        ("(a (nested \\) evil@x.example)) a@b.example", "a@b.example"),
        ("Ann\r\n <a@b.example>", "a@b.example"),
        ("Ann <a@B.Example.>", "a@b.example"),
        ('<"a b"@c.example>', '"a b"@c.example'),
        ('"a b"@c.example', '"a b"@c.example'),
        ('"a,b" <"c d"@e.example>', '"c d"@e.example'),
        ("<a@b.example> trailing words", "a@b.example"),
        ("Ann <@relay.example:a@b.example>", "a@b.example"),
        ("Friends: a@b.example;", "a@b.example"),
        ('"Ann" a@b.example', "a@b.example"),
        ("jürgen@bücher.example", "jürgen@bücher.example"),
    ],
)
def test_single_mailbox_is_found_however_it_is_written(value, found):
    result = author(value)
    assert [str(each) for each in result.addresses] == [found]
    assert result.oddity == ""
    assert (result.domain, result.count) == (found.rpartition("@")[2], 1)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a@b.example, c@d.example", "a@b.example c@d.example"),
        ("Ann <a@b.example>, Cy <c@d.example>", "a@b.example c@d.example"),
        ("Friends: a@b.example, c@d.example;, e@f.example", "a@b.example c@d.example e@f.example"),
        ("a@b.example; c@d.example", "a@b.example c@d.example"),
    ],
)
def test_several_mailboxes_are_all_found_and_said_to_be_odd(value, found):
    result = author(value)
    assert " ".join(map(str, result.addresses)) == found
    assert result.oddity == "several-mailboxes"
    assert (result.domain, result.local) == ("b.example", "a")


@pytest.mark.parametrize(
    "value",
    [
        "Ann <a@b.example",
        "Ann <a@b.example (Ann)",
        '"Ann <a@b.example>',
        "(Ann <a@b.example>",
        "<x a@b.example>",
        "Ann < <a@b.example",
    ],
)
def test_author_whose_bracket_is_left_open_is_still_found(value):
    # mail programs show it, and DMARC must not be talked out of asking
    result = author(value)
    assert [str(each) for each in result.addresses] == ["a@b.example"]
    assert result.oddity == "malformed"


def test_every_bracketed_address_of_one_mailbox_counts():
    result = author("Ann <a@b.example> <c@d.example>")
    assert [str(each) for each in result.addresses] == ["a@b.example", "c@d.example"]
    assert result.oddity == "several-mailboxes"


@pytest.mark.parametrize(
    "value", ["", "Ann", "undisclosed:;", "<>", "a@", "@b.example", b"\xff\xfe"]
)
def test_value_without_mailbox_is_unreadable(value):
    assert author(value) == Author((), "unreadable")


def test_missing_and_several_fields_are_said_to_be_odd():
    assert Author.of(Headers()) == Author((), "missing")
    found = author("a@b.example", "c@d.example")
    assert [str(each) for each in found.addresses] == ["a@b.example", "c@d.example"]
    assert found.oddity == "several-fields"
    assert Author.of(Headers()).domain == Author.of(Headers()).local == ""


def test_length_and_count_of_mailboxes_are_bounded():
    many = author(",".join(f"a{n}@b.example" for n in range(200)))
    assert many.count == MAILBOXES_MAX
    assert author("x" * LENGTH_MAX + " <a@b.example>").oddity == "unreadable"


@given(st.text('a@b.<>,;:"()\\ \t', max_size=40))
def test_any_value_is_read_without_error(value):
    found = author(value)
    assert all(each.domain for each in found.addresses)
