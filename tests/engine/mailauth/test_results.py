"""Authentication-Results: what we write is read back, and forged fields are known."""

import json
import time
from pathlib import Path

import authres
import pytest
from hypothesis import given
from hypothesis import strategies as st
from suites import departures

from millrace.engine.mail.edits import field_of
from millrace.engine.mailauth.results import VALUE_MAX, Method, Results, claimed_id, written
from millrace.engine.mailauth.results import read as parsed

DEPARTURES = Path(__file__).with_name("departures.toml")

METHODS = (
    Method("spf", "pass", (("smtp", "mailfrom", "a@b.example"),)),
    Method("dkim", "fail", (("header", "d", "b.example"), ("header", "s", "s1")), "bad body"),
    Method("dmarc", "none", (("header", "from", "b.example"),)),
)


def read(text: str):
    return authres.AuthenticationResultsHeader.parse("Authentication-Results: " + text)


def unfolded(text: str) -> str:
    return text.replace("\n\t", " ")


def test_results_are_read_back_as_they_were_measured():
    found = read(unfolded(written("mx.example", METHODS)))
    assert found.authserv_id == "mx.example"
    assert [(r.method, r.result) for r in found.results] == [
        ("spf", "pass"),
        ("dkim", "fail"),
        ("dmarc", "none"),
    ]
    properties = [(p.type, p.name, p.value) for p in found.results[1].properties]
    assert properties == [("header", "d", "b.example"), ("header", "s", "s1")]
    assert found.results[1].reason == "bad body"


def test_mail_without_methods_says_none():
    assert written("mx.example", ()) == "mx.example;\n\tnone"


def test_field_is_folded_with_one_method_a_line():
    lines = written("mx.example", METHODS).split("\n")
    assert [line.split()[0].split("=")[0] for line in lines] == ["mx.example;", "spf", "dkim",
                                                                 "dmarc"]  # fmt: skip


# RFC 8601 §2.2 allows UTF-8 in a quoted value, but the reader of this test does not know it
NASTY = st.text(st.sampled_from('a@.;="\\() \r\n\t\0\x1b,'), max_size=30)


@given(NASTY, NASTY)
def test_no_value_makes_a_line_or_a_method_of_its_own(value, reason):
    text = written("mx.example", (Method("spf", "fail", (("smtp", "mailfrom", value),), reason),))
    assert "\r" not in text
    assert text.count("\n") == 1
    assert text.count(";") == 1
    found = read(unfolded(text))
    assert [(r.method, r.result) for r in found.results] == [("spf", "fail")]


def test_injected_header_stays_inside_the_field():
    evil = 'a@b.example\r\nX-Evil: yes\r\n\r\n"; dkim=pass'
    text = written("mx.example", (Method("spf", "fail", (("smtp", "mailfrom", evil),)),))
    assert b"\r\nX-Evil" not in field_of("Authentication-Results", text).value
    assert [r.method for r in read(unfolded(text)).results] == ["spf"]


@pytest.mark.parametrize(
    ("value", "written_as"),
    [
        ("a@b.example", "a@b.example"),
        ("@b.example", "@b.example"),
        ("a b", '"a b"'),
        ("a b@c.example", '"a b@c.example"'),
        ("a@b@c", '"a@b@c"'),
        ("prvs=1/a@b.example", '"prvs=1/a@b.example"'),
        ("rsa/x", '"rsa/x"'),
        ("ü@b.example", '"ü@b.example"'),
    ],
)
def test_value_is_quoted_once_where_it_must_be(value, written_as):
    text = written("mx.example", (Method("spf", "fail", (("smtp", "mailfrom", value),)),))
    assert text == f"mx.example;\n\tspf=fail smtp.mailfrom={written_as}"


def test_values_are_bounded_in_length():
    text = written(
        "mx.example", (Method("spf", "fail", (("smtp", "helo", "x" * 9999),), "y" * 9999),)
    )
    assert len(text) < 3 * VALUE_MAX


@pytest.mark.parametrize(
    ("value", "claimed"),
    [
        (b" mx.example; spf=pass", "mx.example"),
        (b" MX.Example 1; spf=pass", "mx.example"),
        (b"mx.example.;none", "mx.example"),
        (b"\r\n\tmx.example;\r\n\tspf=pass", "mx.example"),
        (b" (comment) mx.example; spf=pass", "mx.example"),
        (b" (a (nested) comment)mx.example; x", "mx.example"),
        (b"mx.example(comment); x", "mx.example"),
        (b' "mx.example"; x', "mx.example"),
        (b' "mx.example" 1; x', "mx.example"),
        (b"mx.\r\n example; x", "mx."),
        (b"", ""),
        (b";", ""),
        (b"\xff; x", "\ufffd"),
        (b"(" * 5000 + b"mx.example", "(" * 5000 + "mx.example"),
    ],
)
def test_claim_is_read_from_the_raw_text(value, claimed):
    assert claimed_id(value) == claimed.rstrip(".")


@given(st.binary(max_size=80))
def test_any_octets_claim_something_without_error(value):
    assert claimed_id(value) == claimed_id(value).lower()


def readable(case) -> str:
    """What is wrong with our reading of one published case, "" for nothing."""
    value = case["header"].partition(":")[2].encode()
    found = parsed(value)
    if "error" in case:
        return "" if found is None or case["error"] != "any" else f"read as {found}"
    wanted = Results(
        case["authserv_id"],
        tuple(
            Method(
                r["method"],
                r["result"],
                tuple(tuple(p) for p in r["properties"]),
                r["reason"] or "",
            )
            for r in case["results"]
        ),
    )
    return "" if found == wanted else f"wants {wanted}, got {found}"


@pytest.mark.data
def test_published_cases_are_read_as_their_authors_say(shared_data, suites):
    cases = json.loads((shared_data / "authres" / "cases.json").read_text("utf-8"))
    wrong = {case["header"][:60]: said for case in cases if (said := readable(case))}
    name = "Authentication-Results"
    assert len(cases) == 41
    suites.hold(name, len(cases), wrong, departures(DEPARTURES, name))


TOKEN = st.text(st.sampled_from("abcXYZ019-_."), min_size=1, max_size=12).filter(
    lambda text: text.strip(".") == text and ".." not in text
)
WRITTEN = st.builds(
    Method,
    st.sampled_from(["spf", "dkim", "dmarc", "arc", "iprev", "x-own"]),
    st.sampled_from(["pass", "fail", "none", "temperror"]),
    st.tuples(
        st.tuples(st.just("smtp"), st.just("mailfrom"), st.builds("{}@{}".format, TOKEN, TOKEN))
    ),
    st.text(st.sampled_from("ab ,'"), max_size=12).map(lambda text: " ".join(text.split())),
)


@given(st.lists(WRITTEN, min_size=1, max_size=5).map(tuple))
def test_what_we_write_we_read_back_as_it_was(methods):
    field = field_of("Authentication-Results", written("mx.example", methods))
    assert parsed(field.value) == Results("mx.example", methods)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("ü@bücher.example", '"?@xn--bcher-kva.example"'), ("a@b.example", "a@b.example")],
)
def test_mail_that_travels_in_ascii_gets_ascii(value, shown):
    methods = (Method("spf", "fail", (("smtp", "mailfrom", value),), "für"),)
    text = written("mx.example", methods, utf8=False)
    assert text.endswith(f"smtp.mailfrom={shown}")
    assert text.isascii()


@pytest.mark.parametrize(
    "value",
    [
        b"mx.example; " + b"spf=pass; " * 20_000,
        b"mx.example" + b"(" * 900 + b")" * 900 + b"; none",
        b"mx.example; spf=pass " + b" " * 9000,
        b"",
        b"\xff\x00; spf=pass",
    ],
)
def test_fields_that_would_cost_are_not_read(value):
    begin = time.process_time()
    parsed(value)
    assert time.process_time() - begin < 1
