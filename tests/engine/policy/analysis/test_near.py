"""Rules that are dropped before a proof would not have changed it."""

from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.engine.document import Document
from millrace.engine.mail.stage import Stage
from millrace.engine.policy import rules
from millrace.engine.policy.analysis.formula import Reader
from millrace.engine.policy.analysis.near import CASES_MAX, Read, Taking, takers
from millrace.engine.policy.analysis.proof import follows, together
from millrace.engine.policy.kinds import Kind
from millrace.engine.policy.rule import Word


@dataclass(frozen=True, slots=True)
class It:
    result: Literal["good", "bad", "odd"]
    name: str
    size: float
    wait: bool


WORDS = {name: Word(Kind("record", record=It), Stage.HELO) for name in ("it", "other")}
READER = Reader({name: word.kind for name, word in WORDS.items()})
ATOMS = st.sampled_from([
    "it", "other", "it.wait", "other.wait", "it.result == 'good'", "it.result != 'bad'",
    "it.result in ['bad', 'odd']", "other.result == 'good'", "it.name == 'a.example'",
    "it.name == 'b.example'", "under(it.name, 'example')", "it.name in ['a.example', 'c.example']",
    "it.size > 1", "it.size > 2", "it.size <= 2", "lower(other.name) == 'a'", "not other.name",
])  # fmt: skip
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=5,
)


def read(*texts: str) -> list[Read]:
    law = "".join(
        f'[[rule]]\nname = "r{at}"\nwhen = "{text}"\nthen = "tag"\n'
        for at, text in enumerate(texts)
    )
    policy = rules.load(Document(law, "law.toml"), "law", WORDS)
    return [Read.of(at, rule, READER) for at, rule in enumerate(policy.rules)]


def near(*texts: str) -> list[int]:
    """Of the rules before the last, those that may take its mail."""
    *before, last = read(*texts)
    return [each.at for each in takers(last, Taking(before), lambda one, other: True)]


@settings(max_examples=600, deadline=None)
@given(st.lists(CONDITIONS, min_size=2, max_size=4))
def test_what_all_rules_prove_is_proved_by_the_near_ones(texts):
    *before, last = read(*texts)
    claims = [each.formula for each in before]
    if last.cases and follows(last.formula, claims):
        assert follows(last.formula, [claims[at] for at in near(*texts)])


@settings(max_examples=600, deadline=None)
@given(CONDITIONS, CONDITIONS)
def test_two_rules_meet_where_no_proof_says_otherwise(first, second):
    one, two = read(first, second)
    assert one.meets(two) == together([one.formula, two.formula])


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("it.name == 'a'", "it.name == 'b'"), []),
        (("it.name == 'a' and other.wait", "it.name == 'a'"), []),
        (("it.result == 'good'", "other.wait", "other.wait and it.size > 1"), [1]),
        (("it.name == 'a' or it.name == 'b'", "it.name == 'c'"), []),
        (("it.name == 'a'", "it.name == 'a' or it.name == 'b'"), []),
        (("it.name == 'a'", "it.name == 'b'", "it.name in ['a', 'b']"), [0, 1]),
        (("it.wait", "not it.wait and it.size > 1", "it.size > 1"), [0, 1]),
        (("it.size > 1", "it.size > 2 and other.wait", "it.size > 3"), [0]),
    ],
)
def test_only_rules_that_may_take_mail_are_near(texts, expected):
    assert near(*texts) == expected


def test_of_too_many_alternatives_none_is_lost():
    text = " and ".join(f"(it.size > {n} or it.name == '{n}')" for n in range(CASES_MAX))
    assert near("it.name or it.size", text) == [0]


def test_of_many_rules_about_other_things_none_needs_a_proof():
    others = [f"(it.name == 'd{n}' or other.name == 'd{n}') and it.size > {n}" for n in range(99)]
    assert near(*others, "it.name == 'x' and it.size > 100 and not other.wait") == []
