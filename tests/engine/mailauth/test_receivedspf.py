"""Received-SPF: whatever a sender writes, the field keeps its grammar."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.mail.edits import field_of
from millrace.engine.mailauth.receivedspf import FIELD, written

# RFC 7208 §9.1, folding taken out
QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'
PAIR = rf"[a-z-]+=(?:[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.-]+|{QUOTED})"
GRAMMAR = re.compile(rf" fail(?: \([^()\\]*\))?(?: {PAIR}(?:; {PAIR})*)?")


@given(st.text(max_size=40), st.text(max_size=40), st.text(st.sampled_from('"\\;=\r\n\t\0é(')))
def test_no_value_leaves_its_place(comment, first, second):
    text = written("fail", comment, {"helo": first, "envelope-from": second})
    raw = field_of(FIELD, text).value.decode()
    assert GRAMMAR.fullmatch(raw.replace("\r\n\t", " ")), raw


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("mx.example", "mx.example"),
        ("a@b.example", '"a@b.example"'),
        ("2001:db8::7", '"2001:db8::7"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("ü.example", "?.example"),
        ("a..b", '"a..b"'),
    ],
)
def test_value_is_quoted_where_it_is_no_dot_atom(value, shown):
    assert written("pass", "", {"helo": value}) == f"pass\n\thelo={shown}"


def test_keys_without_a_value_are_left_out():
    assert written("none", "mx: x", {"helo": "", "receiver": "mx"}) == "none (mx: x)\n\treceiver=mx"
