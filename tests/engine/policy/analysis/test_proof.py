"""Proofs over conditions: what is proved holds for every mail of a small world."""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.engine.mail.headers import Headers
from millrace.engine.policy.analysis.formula import Reader
from millrace.engine.policy.analysis.proof import follows, together
from millrace.engine.policy.expr import compile_text
from millrace.engine.policy.kinds import NUMBER, Kind


@dataclass(frozen=True, slots=True)
class Place:
    domain: str


@dataclass(frozen=True, slots=True)
class It:
    result: Literal["good", "bad", "odd"] | None
    name: str
    size: float
    wait: bool
    count: int


@dataclass(frozen=True, slots=True)
class Mailbox:
    address: Place | None

    @property
    def domain(self) -> str:
        return self.address.domain if self.address else ""

    @property
    def local(self) -> str:
        return ""


KINDS = {
    "it": Kind("record", record=It),
    "headers": Kind("record", record=Headers),
    "box": Kind("record", record=Mailbox),
    "score": NUMBER,
}
READER = Reader(KINDS)
RESULTS, SIZES = ("good", "bad", None), (-1, 0, 1.5, 3)
NAMES = ("", "a.example", "x.a.example", "b.example", "192.0.2.9", "X.A.Example")
SECTIONS = (
    None, Headers(), Headers([(b"X-A", b"a"), (b"Subject", b"a")]), Headers([(b"x-a", b"")]),
)  # fmt: skip
WORLD = [{"it": None, "score": 0.0, "headers": section} for section in SECTIONS] + [
    {
        "it": It(result, name, size, wait, RESULTS.index(result)),
        "score": size,
        "headers": SECTIONS[size == 0],
        "box": Mailbox(Place(name) if wait else None),
    }
    for result, name, size, wait in itertools.product(RESULTS, NAMES, SIZES, (True, False))
]
ORDERS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
NUMBERS = st.sampled_from(SIZES)
DOMAINS = st.sampled_from(["a.example", "example", "x.a.example"])
NETWORKS = st.sampled_from(["192.0.2.0/24", "0.0.0.0/0", "192.0.2.8/32"])
WORDS = st.sampled_from(["good", "bad", "odd"])
ATOMS = st.one_of(
    st.sampled_from(["it", "it.wait", "it.name", "it.size", "True", "it.wait == False"]),
    st.builds("it.result {} '{}'".format, st.sampled_from(["==", "!="]), WORDS),
    st.builds("it.result {} ['good', 'odd']".format, st.sampled_from(["in", "not in"])),
    st.builds("it.size {} {}".format, ORDERS, NUMBERS),
    st.builds("{} < score <= {}".format, NUMBERS, NUMBERS),
    st.builds("{} {} it.size + 1".format, NUMBERS, ORDERS),
    st.builds("max(it.size, 0) {} {}".format, ORDERS, NUMBERS),
    st.builds("len(it.name) {} {}".format, ORDERS, NUMBERS),
    st.builds("under(it.name, '{}')".format, DOMAINS),
    st.builds("within(it.name, '{}')".format, NETWORKS),
    st.builds("it.name == '{}'".format, st.sampled_from(NAMES)),
    st.builds("lower(it.name) == '{}'".format, st.sampled_from(NAMES)),
    st.sampled_from(["it.size == score", "lower(it.name)", "header('X-A')", "not header('X-A')"]),
    st.sampled_from(["has_header('X-A')", "header('X-A') == 'a'", "headers.subject == 'a'"]),
    st.sampled_from(["not has_header('x-a')", "has_header('X-a') == False", "header('x-a') == ''"]),
    st.builds("it.count {} {}".format, ORDERS, st.sampled_from([-0.5, 0, 0.5, 1, 1.5, 2])),
    st.sampled_from(["box.address", "not box.address", "box.domain", "box.local == ''"]),
    st.builds("box.domain {} '{}'".format, st.sampled_from(["==", "!="]), st.sampled_from(NAMES)),
    st.builds("under(box.domain, '{}')".format, DOMAINS),
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=6,
)


def met(text: str) -> list[bool]:
    run = compile_text(text, KINDS).run
    return [bool(run(mail)) for mail in WORLD]


@settings(max_examples=600, deadline=None)
@given(CONDITIONS)
def test_condition_that_is_proved_empty_holds_for_no_mail(text):
    if not together([READER.formula(text)]):
        assert not any(met(text))


@settings(max_examples=600, deadline=None)
@given(CONDITIONS, st.lists(CONDITIONS, min_size=1, max_size=3))
def test_rule_that_is_proved_shadowed_leaves_no_mail_over(text, earlier):
    if follows(READER.formula(text), [READER.formula(each) for each in earlier]):
        taken = zip(*(met(each) for each in earlier), strict=True)
        assert all(any(by) for own, by in zip(met(text), taken, strict=True) if own)


@pytest.mark.parametrize(
    "text",
    [
        "it.result == 'good' and it.result == 'bad'",
        "it.result not in ['good', 'bad', 'odd'] and it.result in ['good', 'bad']",
        "not it and it.size > 1",
        "it.size > 3 and it.size < 3",
        "it.size > 3 and it.size <= 3",
        "it.size >= 3 and it.size <= 3 and it.size != 3",
        "it.size == 2 and it.size > 2",
        "it.wait and it.wait == False",
        "it.name and not it.name",
        "it.name == '' and it.name",
        "under(it.name, 'a.example') and under(it.name, 'b.example')",
        "within(it.name, '10.0.0.0/8') and not within(it.name, '0.0.0.0/0')",
        "it.name == '10.0.0.1' and not within(it.name, '10.0.0.0/8')",
        "lower(it.name) in ['A', 'B']",
        "max(it.size, 3) < 2",
        "2 * min(it.size, 3) + 1 > 7",
        "it.size < 1 < it.size",
        "(it.wait or it.size > 1) and not it.wait and not it.size > 1",
        "it.count > 1 and it.count < 2",
        "it.count > 0.5 and it.count <= 0.9",
        "it.count == 1.5",
        "len(it.name) > 3 and not len(it.name) >= 4",
        "header('X-A') == 'a' and header('x-a') == 'b'",
        "has_header('X-A') and not has_header('x-a')",
        "has_header('X-A') == False and header('X-A') == 'a'",
        "not has_header('x-a') and lower(header('X-A')) == 'a'",
        "not headers and has_header('X-A')",
        "not box.address and box.domain == 'a.example'",
        "not box.address and under(box.domain, 'a.example')",
        "it.result == 'good' # don't\n and it.result == 'bad'",
        "1 > 2",
        "'a' in ['b']",
    ],
)  # fmt: skip
def test_contradiction_is_proved_by_its_atoms(text):
    assert not together([READER.formula(text)])


@pytest.mark.parametrize(
    "text",
    [
        "it.count > 1 and it.count < 3",
        "it.size > 1 and it.size < 2",
        "not box.address and box.domain == ''",
        "not box.address and box.domain != 'a.example'",
        "has_header('X-A') and header('x-a') == 'a'",
        "it.result == 'good' # don't\n and it.name == 'b.example'",
    ],
)
def test_what_only_looks_like_a_contradiction_is_none(text):
    assert together([READER.formula(text)])


def test_what_the_weights_add_up_to_bounds_the_score():
    reader = Reader(KINDS, (-1, 6))
    assert not together([reader.formula("score >= 7")])
    assert together([reader.formula("score >= 6")])
    assert together([Reader(KINDS, (-math.inf, 6)).formula("score < -5")])


def test_question_that_takes_too_long_is_answered_by_maybe():
    pairs = " and ".join(f"(it.size == {n} or it.size == score + {n})" for n in range(100))
    assert together([READER.formula(pairs)])


@pytest.mark.parametrize("subject", ["lower(it.name)", "header('X-A')"])
def test_what_is_there_may_be_any_text(subject):
    for text in (f"{subject} and {subject} == 'a'", f"{subject} == 'a' and {subject}"):
        assert together([READER.formula(text)])


def test_text_that_cannot_be_read_proves_nothing():
    assert together([READER.formula("it.size ><")])
    assert not follows(READER.formula("it.size ><"), [READER.formula("it.size >")])


def test_network_among_texts_is_no_text():
    said = READER.formula("it.name in ['192.0.2.0/24'] and it.name == '192.0.2.9'")
    assert together([said])


def test_size_with_a_unit_is_a_number_of_octets():
    assert not together([READER.formula("it.size > 2MiB and it.size < 2097152")])
    assert not together([READER.formula("it.size > 5m and it.size < 300")])
    assert together([READER.formula("it.name == '5m' and it.size > 1KiB")])
