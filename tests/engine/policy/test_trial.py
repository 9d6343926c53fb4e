"""Tests of a policy: a red case says in a line what it expected and got."""

from dataclasses import dataclass
from typing import Literal

import pytest

from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.stage import Stage
from millrace.engine.policy import rules, trial
from millrace.engine.policy.kinds import Kind
from millrace.engine.policy.rules import Word


@dataclass(frozen=True, slots=True)
class Inner:
    ok: bool


@dataclass(frozen=True, slots=True)
class It:
    result: Literal["good", "bad"]
    size: float
    names: tuple[str, ...]
    inner: Inner


WORDS = {
    "early": Word(Kind("record", record=It), Stage.HELO),
    "late": Word(Kind("record", record=It), Stage.BODY),
}
LAW = """
[[weight]]
name = "size"
add = "late.size"
[[weight]]
name = "one"
add = 1
[[rule]]
name = "late"
when = "late.result == 'bad'"
then = "reject"
[[rule]]
name = "early"
when = "early.result == 'bad'"
then = "defer"
[[rule]]
name = "score"
when = "score >= 3"
then = "tag"
"""


def outcome(text: str):
    (case,) = trial.load(Document("[[case]]\n" + text, "law.test.toml"), WORDS)
    return trial.try_case(rules.load(Document(LAW, "law.toml"), "law", WORDS), case)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('expect = "pass"', ""),
        ('given = { late = { result = "bad" } }\nexpect = "reject"\nrule = "late"', ""),
        ('given = { late = { size = 2 } }\nexpect = "tag"\nscore = 3.0', ""),
        ('expect = "reject"', "expected reject, got pass by no rule, score 1"),
        (
            'given = { early = { result = "bad" } }\nexpect = "reject"',
            "expected reject, got defer by rule early, score 1",
        ),
        (
            'given = { early = { result = "bad" }, late = { result = "bad" } }\n'
            'expect = "defer"\nrule = "late"',
            "expected rule late, got defer by rule early",
        ),
        ('expect = "pass"\nrule = "late"', "expected rule late, got pass by no rule"),
        (
            'given = { late = { size = 0.5 } }\nexpect = "pass"\nscore = 2',
            "expected score 2, got 1.5 = one 1 + size 0.5",
        ),
    ],
)
def test_case_is_green_or_says_what_it_got(text, problem):
    assert outcome(text).problem == problem


def test_field_that_is_not_given_is_absent():
    found = outcome('given = { late = { inner = { ok = true } } }\nexpect = "pass"')
    assert [term.name for term in found.terms] == ["one"]


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        ("cases = 1", "1:1", "unknown key 'cases'"),
        ("case = 5", "1:1", "'case' is written [[case]]"),
        ('[[case]]\nexpect = "pass"\nscor = 1', "3:1", "unknown key 'scor'"),
        ('[[case]]\nexpect = "refuse"', "2:1", "'expect' names an action"),
        ('[[case]]\nname = "x"', "1:1", "'expect' names an action"),
        ('[[case]]\nexpect = ["pass"]', "2:1", "'expect' names an action"),
        ('[[case]]\nexpect = "pass"\nname = 5', "3:1", "name wants a text in quotes"),
        ('[[case]]\nexpect = "pass"\nscore = "1"', "3:1", "score wants a number"),
        ('[[case]]\nexpect = "pass"\nscore = true', "3:1", "score wants a number"),
        ('[[case]]\nexpect = "pass"\nrule = 1', "3:1", "rule wants a text in quotes"),
        ('[[case]]\nexpect = "pass"\ngiven = 5', "3:1", "given wants a table: { field = … }"),
        (
            '[[case]]\nexpect = "pass"\ngiven = { erly = {} }',
            "3:11",
            "there is no fact 'erly'",
        ),
        (
            '[[case]]\nexpect = "pass"\ngiven = { early = true }',
            "3:11",
            "early wants a table: { field = … }",
        ),
        (
            '[[case]]\nexpect = "pass"\ngiven = { early = { reslt = "bad" } }',
            "3:21",
            "'early' has no field 'reslt'",
        ),
        (
            '[[case]]\nexpect = "pass"\ngiven = { early = { result = "bda" } }',
            "3:21",
            "result can never be 'bda'",
        ),
        (
            '[[case]]\nexpect = "pass"\ngiven = { early = {}, late = { size = "big" } }',
            "3:32",
            "size wants a number",
        ),
        (
            '[[case]]\nexpect = "pass"\n'
            'given = { early = { result = "bad" }, late = { result = "bda" } }',
            "3:48",
            "result can never be 'bda'",
        ),
        (
            '[[case]]\nexpect = "pass"\ngiven = { early = { names = "x" } }',
            "3:21",
            "names wants a list",
        ),
        (
            '[[case]]\nexpect = "pass"\ngiven = { early = { inner = { ok = 1 } } }',
            "3:31",
            "ok wants true or false",
        ),
    ],
)
def test_each_fault_of_a_test_file_has_its_place(text, place, sentence):
    with pytest.raises(Misconfigured) as caught:
        trial.load(Document(text, "law.test.toml"), WORDS)
    told = [(str(fault.place), fault.sentence) for fault in caught.value.faults]
    assert told == [(f"law.test.toml:{place}", sentence)]


HEADED = {"headers": Word(Kind("record", record=Headers), Stage.HEADERS)}
LIST_LAW = """
[[rule]]
name = "list"
when = "header('List-Id') == '<a.example>' or headers.subject == 'Hi' or has_header('X-Odd')"
then = "tag"
"""


def headed(given: str):
    text = f'[[case]]\ngiven = {given}\nexpect = "tag"'
    (case,) = trial.load(Document(text, "law.test.toml"), HEADED)
    policy = rules.load(Document(LIST_LAW, "law.toml"), "law", HEADED)
    return trial.explained(policy, trial.try_case(policy, case), case.given)


@pytest.mark.parametrize(
    "given",
    [
        '{ headers = { List-Id = "<a.example>" } }',
        '{ headers = { subject = "Hi" } }',
        '{ headers = { Subject = "Hi" } }',
        '{ headers = { X-Odd = "" } }',
    ],
)
def test_a_case_gives_header_fields_by_name(given):
    assert headed(given).problem == ""


def test_the_difference_shows_the_header_field_that_was_seen():
    lines = headed('{ headers = { List-Id = "<b>" } }').difference
    assert any("header('List-Id') is '<b>'" in line for line in lines)
    assert any("headers.subject is absent" in line for line in lines)


@pytest.mark.parametrize(
    ("given", "sentence", "hint"),
    [
        ('{ sujbect = "Hi" }', "'headers' has no field 'sujbect'",
         "one of: count hops subject\ndid you mean 'subject'?\n"
         "The name of a header field begins with a capital: Sujbect."),
        ("{ X-Odd = 5 }", "X-Odd wants a text in quotes", ""),
    ],
)  # fmt: skip
def test_a_header_field_that_cannot_be_given_is_told(given, sentence, hint):
    with pytest.raises(Misconfigured) as caught:
        headed(f"{{ headers = {given} }}")
    assert [(f.sentence, f.hint) for f in caught.value.faults] == [(sentence, hint)]


DATED = """
[[weight]]
name = "late"
add = 5
when = "late.result == 'bad'"
[[weight]]
name = "lately"
add = 2
expires = 2020-01-31
[[rule]]
name = "early"
when = "early.result == 'bad'"
then = "reject"
expires = 2020-01-31
"""
BAD = 'given = { early = { result = "bad" }, late = { result = "bad" } }\n'


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("", ("reject", 2.0)),  # nothing expires, and what is refused at HELO weighs no body
        ("now = 2020-01-31T23:00:00Z\n", ("reject", 2.0)),
        ("now = 2020-02-01T00:00:00Z\n", ("pass", 5.0)),
        ('now = "2020-02-01"\n', ("pass", 5.0)),
    ],
)
def test_case_told_by_facts_may_tell_its_time(now, expected):
    (case,) = trial.load(Document(f"[[case]]\n{BAD}{now}expect = 'pass'", "t.toml"), WORDS)
    found = trial.try_case(rules.load(Document(DATED, "law.toml"), "law", WORDS), case)
    assert (found.action.word, sum(term.add for term in found.terms)) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BAD + 'now = "noon"\nexpect = "pass"', "now wants a time such as 2026-11-23T12:00:00Z"),
        (f'score = 1{"0" * 400}\nexpect = "pass"', "score wants a number"),
        (f'score = 1{"0" * 5000}\nexpect = "pass"', "t.toml:2  a number has too many digits"),
    ],
)
def test_times_and_numbers_that_none_are_are_told(text, told):
    with pytest.raises(Misconfigured, match=told):
        trial.load(Document("[[case]]\n" + text, "t.toml"), WORDS)


def test_rule_whose_time_is_over_is_named_where_it_was_expected():
    text = f"[[case]]\n{BAD}now = 2020-02-01T00:00:00Z\nexpect = 'reject'\nrule = 'early'"
    (case,) = trial.load(Document(text, "t.toml"), WORDS)
    policy = rules.load(Document(DATED, "law.toml"), "law", WORDS)
    found = trial.explained(policy, trial.try_case(policy, case), case.given)
    assert found.difference == ("early holds, but counts only until 2020-01-31",)
