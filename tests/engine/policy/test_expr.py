"""The condition language: what it means, what it refuses, and that it never raises."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millrace.engine.policy.expr import (
    DEPTH_MAX,
    TEXT_MAX,
    Expression,
    Misfit,
    compile_condition,
    compile_text,
)
from millrace.engine.policy.kinds import NUMBER, Kind


@dataclass(frozen=True, slots=True)
class Inner:
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Spf:
    result: Literal["pass", "fail", "none"] = "pass"
    domain: str = "Example.org"
    score: float = 2.0
    count: int = 3
    ok: bool = True
    names: tuple[str, ...] = ("a.example", "b.example")
    inner: Inner = Inner()
    maybe: str | None = None

    @property
    def twice(self) -> int:
        return 2 * self.count


NAMES = {
    "spf": Kind("record", record=Spf),
    "gone": Kind("record", record=Spf),
    "from": Kind("record", record=Spf),
    "score": NUMBER,
}
VALUES: dict[str, Any] = {"spf": Spf(), "from": Spf(domain="from.example"), "score": 7.0}


def value(text: str) -> Any:
    return compile_text(text, NAMES).run(VALUES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spf.result == 'pass'", True),
        ("spf.result != 'pass'", False),
        ("spf.score < 2", False),
        ("spf.score <= 2", True),
        ("spf.score > 1.5", True),
        ("spf.score >= 3", False),
        ("1 < spf.score < 3", True),
        ("1 < spf.score < 2", False),
        ("3 > spf.score > 1 != 2", True),
        ("spf.result in ['pass', 'none']", True),
        ("spf.result in ('fail', 'none')", False),
        ("spf.result not in ['fail']", True),
        ("'a.example' in spf.names", True),
        ("'c.example' not in spf.names", True),
        ("'ample' in spf.domain", True),
        ("spf.count in [1, 2, 3]", True),
        ("not spf.ok", False),
        ("spf.ok and spf.inner.ok", True),
        ("spf.ok and spf.inner.ok and score > 7", False),
        ("spf.score > 5 or spf.ok", True),
        ("spf.score > 5 or not spf.ok or score == 7", True),
        ("spf.score + 1", 3.0),
        ("spf.score - 1", 1.0),
        ("spf.score * 4", 8.0),
        ("spf.score / 4", 0.5),
        ("spf.score / 0", 0.0),
        ("-spf.score", -2.0),
        ("+spf.score", 2.0),
        ("spf.twice", 6),
        ("12 * (spf.score - 0.5)", 18.0),
        ("from.domain == 'from.example'", True),
        ("spf.domain == 'from.example'", False),
        ("from . domain == 'from.example'", True),
        ("lower(spf.domain) == 'example.org'", True),
        ("len(spf.names) == 2", True),
        ("min(spf.score, 1, 5)", 1),
        ("max(spf.score, 1)", 2.0),
        ("under(spf.domain, 'example.org')", True),
        ("True", True),
        ("spf.domain == 'it\\'s from.here'", False),
    ],
)
def test_operator_means_what_it_says(text, expected):
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gone", None),
        ("not gone", True),
        ("gone.ok", None),
        ("gone.inner.ok", None),
        ("gone.result == 'pass'", False),
        ("gone.result != 'pass'", True),
        ("gone.score == gone.score", False),
        ("gone.score != gone.score", True),
        ("gone.score < 1", False),
        ("gone.score <= 1", False),
        ("gone.score > 1", False),
        ("gone.score >= 1", False),
        ("gone.result in ['pass']", False),
        ("gone.result not in ['pass']", True),
        ("'a' in gone.names", False),
        ("'a' not in gone.names", True),
        ("gone.score + 1", None),
        ("1 / gone.score", None),
        ("-gone.score", None),
        ("gone.score + 1 > 0", False),
        ("lower(gone.domain) == 'a'", False),
        ("lower(gone.domain) != 'a'", True),
        ("len(gone.names) == 0", False),
        ("max(gone.score, 3)", None),
        ("min(3, gone.score)", None),
        ("under(gone.domain, 'a.example')", False),
        ("within(gone.domain, '0.0.0.0/0')", False),
        ("gone.ok or spf.ok", True),
        ("gone.ok and spf.ok", False),
        ("1 < gone.score < 5", False),
        ("spf.maybe == 'x'", False),
        ("spf.maybe != 'x'", True),
    ],
)
def test_absent_thing_is_false_and_equals_nothing(text, expected):
    assert value(text) == expected


def misfit(text: str) -> tuple[str, str, str]:
    """Sentence, hint, and what the caret covers."""
    with pytest.raises(Misfit) as caught:
        compile_condition(text, NAMES)
    found = caught.value
    return found.sentence, found.hint, text[found.offset : found.offset + found.width]


ALLOWED = "Names, 'text', numbers, [lists], and or not, == != < <= > >= in, + - * /, functions."


@pytest.mark.parametrize(
    ("text", "sentence", "hint", "caret"),
    [
        (
            "spf.result == 'pss'",
            "spf.result can never be 'pss'",
            "one of: fail none pass\ndid you mean 'pass'?",
            "'pss'",
        ),
        (
            "spf.result in ['pass', 'fial']",
            "spf.result can never be 'fial'",
            "one of: fail none pass\ndid you mean 'fail'?",
            "'fial'",
        ),
        ("'x' == spf.result", "spf.result can never be 'x'", "one of: fail none pass", "'x'"),
        (
            "spd.ok",
            "nothing here is called 'spd'",
            "one of: from gone score spf\ndid you mean 'spf'?",
            "spd",
        ),
        (
            "spf.result == pass1",
            "nothing here is called 'pass1'",
            "Text stands in quotes: 'pass1'.\none of: fail none pass\ndid you mean 'pass'?",
            "pass1",
        ),
        (
            "spf.result == fail",
            "nothing here is called 'fail'",
            "Text stands in quotes: 'fail'.",
            "fail",
        ),
        (
            "spf.resul == 'pass'",
            "'spf' has no field 'resul'",
            "one of: count domain inner maybe names ok result score twice\n"
            "did you mean 'result'?",
            "spf.resul",
        ),
        ("score.x", "'score' has no fields", "", "score.x"),
        (
            "spf.result = 'pass'",
            "'=' sets a value; a condition compares",
            "Write == to compare.",
            "=",
        ),
        ("spf && gone", "'&&' and '||' are not of this language", "Write and, or, not.", "&&"),
        ("!spf", "'!' is not of this language", "Write not.", "!"),
        ("spf is gone", "'is' is not of this language", "Write == or !=.", "spf"),
        ("spf.ok if spf else gone.ok", "'spf.ok if spf else gone.ok' is not of this language",
         ALLOWED, "spf.ok if spf else gone.ok"),
        ("[x for x in spf]", "'[x for x in spf]' is not of this language", ALLOWED,
         "[x for x in spf]"),
        ("score ** 9 > 1", "'score ** 9' is not of this language", ALLOWED, "score ** 9"),
        ("~score > 1", "'~score' is not of this language", ALLOWED, "~score"),
        ("None", "'None' is not of this language",
         "What is absent is false: write NAME, or not NAME.", "None"),
        ("b'x' == spf.domain", "\"b'x'\" is not of this language".replace('"', "'"), ALLOWED,
         "b'x'"),
        ("spf.score == 1j", "'1j' is not of this language", ALLOWED, "1j"),
        ("eval('1')", "there is no function 'eval'",
         "one of: has_header header len lower matches max min under within", "eval('1')"),
        ("spf.ok()", "there is no function 'spf.ok'",
         "one of: has_header header len lower matches max min under within", "spf.ok()"),
        ("len() == 1", "len is written len(TEXT or LIST)", "", "len()"),
        ("len(x=1) == 1", "len is written len(TEXT or LIST)", "", "len(x=1)"),
        ("len(score) == 1", "len takes text or choice or list, not number", "len(TEXT or LIST)",
         "score"),
        ("under(spf.domain, spf.domain)", "it is written under(NAME, 'example.org')", "",
         "under(spf.domain, spf.domain)"),
        ("within(spf.domain, '300.0.0.0/8')",
         "'300.0.0.0/8' is no network", "within(peer.ip, '192.0.2.0/24')", "'300.0.0.0/8'"),
        ("spf.score > 'a'", "'a' is text, not a number", "Write it without quotes.", "'a'"),
        ("spf.domain.lower() == 'a'", "there is no function 'spf.domain.lower'",
         "Write lower(spf.domain).", "spf.domain.lower()"),
        ("spf.domain.startswith('a')", "there is no function 'spf.domain.startswith'",
         "Write 'x' in spf.domain, or matches(spf.domain, 'regular expression').",
         "spf.domain.startswith('a')"),
        ("spf.domain contains 'a'", "'contains' is not of this language",
         "Write 'x' in TEXT, or matches(TEXT, 'regular expression').", "contains"),
        ("spf == 'fail'", "compares record with text", "Write spf.result.", "'fail'"),
        ("'fail' == spf", "compares text with record", "Write spf.result.", "spf"),
        ("spf == 'a'", "compares record with text",
         "Name one of its fields: result domain score count ok names inner maybe twice", "'a'"),
        ("spf.domain > 1", "'spf.domain' is text, not a number", "", "spf.domain"),
        ("spf.domain + 1 > 1", "'spf.domain' is text, not a number", "", "spf.domain"),
        ("-spf.domain > 1", "'-spf.domain' is text, not a number", "", "-spf.domain"),
        ("spf.domain == 1", "compares text with number",
         "A number stands without quotes, a text in quotes.", "1"),
        ("spf.count in ['a']", "compares number with text",
         "A number stands without quotes, a text in quotes.", "['a']"),
        ("spf.score in spf.score", "after 'in' comes a list or a text",
         "Write == to compare with one value.", "spf.score"),
        ("spf == gone", "compares a whole fact", "Name one of its fields.", "gone"),
        ("spf.names == ['a']", "compares whole lists", "Write 'x' in LIST.", "['a']"),
        ("spf.domain in []", "an empty list holds nothing to compare with", "", "[]"),
        ("spf.domain in [spf.domain]", "a list holds plain texts or numbers", "", "spf.domain"),
        ("spf.domain in ['a', 1]", "mixes number and text", "", "['a', 1]"),
        ("spf.result", "is choice, not a condition", "Compare it.", "spf.result"),
        ("spf.domain", "is text, not a condition", "Compare it.", "spf.domain"),
        ("score", "is number, not a condition", "Compare it.", "score"),
        ("spf.names", "is list, not a condition", "Compare it.", "spf.names"),
        ("spf.result == 'pass' or 'none'", "'none' is text, not a condition",
         "Compare it: a == 'x' or a == 'y', a in ['x', 'y'].", "'none'"),
        ("not spf.result", "'spf.result' is choice, not a condition",
         "Compare it: a == 'x' or a == 'y', a in ['x', 'y'].", "spf.result"),
        ("spf.score > 1e999", "is too large a number", "", "1e999"),
        ("spf.score > 9999999999999999", "is too large a number", "", "9999999999999999"),
        ("", "is empty", "Write a condition such as spf.result == 'fail'.", ""),
        ("spf.domain == 'é' and spd", "nothing here is called 'spd'",
         "one of: from gone score spf\ndid you mean 'spf'?", "spd"),
    ],
)  # fmt: skip
def test_misfit_is_told_whole_with_its_place(text, sentence, hint, caret):
    assert misfit(text) == (sentence, hint, caret)


def test_text_is_bounded_in_length_and_depth():
    assert misfit("'" + "a" * TEXT_MAX + "'")[0] == f"is longer than {TEXT_MAX} characters"
    deep = "not " * (DEPTH_MAX + 1) + "spf.ok"
    assert misfit(deep)[0] == "is nested too deeply"
    assert compile_text("not " * (DEPTH_MAX - 2) + "spf.ok", NAMES).run(VALUES) is True


def test_names_are_those_that_the_text_asks_for():
    assert compile_text("from.ok and not gone or score > 1", NAMES).names == {
        "from",
        "gone",
        "score",
    }


def test_numbers_that_overflow_are_absent():
    product = " * ".join(["spf.score", *["999999999999999"] * 40])
    wide = " * ".join(["spf.count", *["999999999999999"] * 40])
    assert value(f"{wide} + spf.score") is None
    assert value(f"{product} > 1") in (True, False)


PIECES = ["spf", "gone", ".", "ok", "result", "==", "!=", "'pass'", "and", "or", "not", "(", ")"]
PIECES += [
    "[",
    "]",
    ",",
    "1",
    "-",
    "*",
    "/",
    "from",
    "under",
    "within",
    "len",
    "in",
    "~",
    "é",
    "\n",
]


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join))
)
@example("(" * 300)
@example("-" * 4000 + "1")
@example("not " * 1000)
@example("a." * 2000 + "b")
@example("[" * 150 + "]" * 150)
@example("\0")
@example("\ud800")
@example("9" * 4000)
@example("len(" * 90 + ")" * 90)
@example("spf.ok\n and (\nspd)")
def test_garbage_is_a_misfit_or_runs_without_raising(text):
    try:
        found = compile_text(text, NAMES)
    except Misfit as misfit:
        found = misfit
    if isinstance(found, Misfit):
        assert found.sentence
        assert 0 <= found.offset <= len(text) + 1
        return
    assert isinstance(found, Expression)
    for values in ({}, VALUES):
        found.run(values)
