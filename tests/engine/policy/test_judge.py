"""Facts in, a verdict out: terms, their sum, and the first rule that matches."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.document import Document
from millrace.engine.mail.stage import Stage
from millrace.engine.policy import judge, rules
from millrace.engine.policy.judge import Term
from millrace.engine.policy.kinds import Kind
from millrace.engine.policy.rules import Word


@dataclass(frozen=True, slots=True)
class It:
    size: float = 1.0
    ok: bool = True


WORDS = {"it": Word(Kind("record", record=It), Stage.HELO)}


def policy(text: str):
    return rules.load(Document(text, "law.toml"), "law", WORDS)


@pytest.mark.parametrize(
    ("add", "values", "expected"),
    [
        ("2", {}, [2.0]),
        ('"it.size * 2"', {"it": It(1.25)}, [2.5]),
        ('"it.size * 2"', {}, []),
        ('"it.size"', {"it": It(0.0)}, []),
        ('"it.size"', {"it": It(1 / 3)}, [0.333]),
        ('"it.size"', {"it": It(float("inf"))}, []),
        ('"it.size"', {"it": It(float("nan"))}, []),
        ("-1.5", {}, [-1.5]),
    ],
)
def test_weight_adds_what_its_facts_say(add, values, expected):
    found = policy(f'[[weight]]\nname = "w"\nadd = {add}\nwhy = "y"')
    terms = judge.terms(found.weights, values)
    assert [term.add for term in terms] == expected
    assert all((term.name, term.why) == ("w", "y") for term in terms)


def test_weight_whose_condition_fails_adds_nothing():
    found = policy('[[weight]]\nname = "w"\nadd = 1\nwhen = "not it.ok"')
    assert judge.terms(found.weights, {"it": It()}) == []
    assert judge.terms(found.weights, {"it": It(ok=False)}) == [Term("w", 1.0, "")]


@given(st.lists(st.integers(-10_000, 10_000).map(lambda n: n / 1000), max_size=30))
def test_score_is_the_sum_of_what_is_shown(adds):
    total = judge.score([Term("w", add, "") for add in adds])
    assert round(total * 1000) == sum(round(add * 1000) for add in adds)
    assert total == round(total, 3)


def test_first_rule_that_matches_speaks():
    text = "".join(
        f'[[rule]]\nname = "{name}"\nwhen = "{when}"\nthen = "tag"\n'
        for name, when in [("a", "not it"), ("b", "it.ok"), ("c", "it")]
    )
    found = policy(text)
    assert judge.first_match(found.rules, {"it": It()}).name == "b"
    assert judge.first_match(found.rules, {"it": It(ok=False)}).name == "c"
    assert judge.first_match((), {}) is None


def test_verdict_names_the_rule_and_its_place():
    found = policy('\n[[rule]]\nname = "r"\nwhen = "it"\nthen = "reject"\nwhy = "so"')
    because = judge.verdict(found.rules[0], {}).because
    assert (because.rule, because.why, because.stage) == ("r", "so", "HELO")
    assert because.place == "law.toml:2"
