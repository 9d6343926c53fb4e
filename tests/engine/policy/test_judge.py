"""Facts in, a verdict out: terms, their sum, and the first rule that matches."""

import datetime
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from millrace.engine.document import Document
from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import AddHeader, AddRecipient, RemoveRecipient
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import Action, Because, Verdict
from millrace.engine.policy import judge, rules
from millrace.engine.policy.judge import Act, Term
from millrace.engine.policy.kinds import Kind
from millrace.engine.policy.rules import Word


@dataclass(frozen=True, slots=True)
class It:
    size: float = 1.0
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Who:
    name: str = ""


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


@given(st.lists(st.floats(), max_size=60))
@example([0.1] * 7 + [-0.3, 1e300, 123456.789, -0.0004])
def test_terms_sum_exactly_to_the_score_as_they_are_shown(adds):
    text = "".join(f'[[weight]]\nname = "w{at}"\nadd = "it{at}.size"\n' for at in range(len(adds)))
    words = {f"it{at}": Word(Kind("record", record=It), Stage.HELO) for at in range(len(adds))}
    weights = rules.load(Document(text, "law.toml"), "law", words).weights
    terms = judge.terms(weights, {f"it{at}": It(add) for at, add in enumerate(adds)})
    shown = sum((Decimal(repr(term.add)) for term in terms), Decimal(0))
    assert Decimal(repr(judge.score(terms))) == shown
    assert all(abs(Decimal(repr(term.add))) <= 10**6 for term in terms)


def spoken(found, values, now=0.0):
    rule, _ = judge.speak(found.rules, values, now)
    return rule.name if rule else None


def test_first_rule_that_matches_speaks():
    text = "".join(
        f'[[rule]]\nname = "{name}"\nwhen = "{when}"\nthen = "tag"\n'
        for name, when in [("a", "not it"), ("b", "it.ok"), ("c", "it")]
    )
    found = policy(text)
    assert spoken(found, {"it": It()}) == "b"
    assert spoken(found, {"it": It(ok=False)}) == "c"
    assert judge.speak((), {}) == (None, ())


def test_verdict_names_the_rule_and_its_place():
    found = policy('\n[[rule]]\nname = "r"\nwhen = "it"\nthen = "reject"\nwhy = "so"')
    because = judge.verdict(found.rules[0], {}).because
    assert (because.rule, because.why, because.stage) == ("r", "so", "HELO")
    assert because.place == "law.toml:2"


MARKS = """
[[rule]]
name = "mark"
when = "it"
then = "tag"
stop = false
why  = "it is there"
[[rule]]
name = "add"
when = "it.size > 1"
stop = false
add_header = { X-Size = "{it.size} of {it.ok}" }
[[rule]]
name = "trusted"
when = "it.ok"
then = "pass"
[[rule]]
name = "never"
when = "it"
then = "reject"
"""


def test_rules_that_do_not_stop_leave_their_marks_and_the_next_one_decides():
    rule, acts = judge.speak(policy(MARKS).rules, {"it": It(2.0)})
    assert rule.name == "trusted"
    assert [(act.because.rule, act.because.why) for act in acts] == [
        ("mark", "it is there"),
        ("add", ""),
    ]
    assert [header for act in acts for header in act.headers] == [AddHeader("X-Size", "2 of True")]


def test_mark_is_kept_whatever_a_milder_rule_decides():
    rule, acts = judge.speak(policy(MARKS).rules, {"it": It()})
    marked = judge.marked(judge.verdict(rule, {}), acts)
    assert (marked.action, marked.because.rule) == (Action.TAG, "mark")
    stricter = Verdict(Action.QUARANTINE)
    assert judge.marked(stricter, acts) is stricter


def test_rule_and_weight_count_until_the_end_of_their_last_day():
    found = policy(
        '[[rule]]\nname = "r"\nwhen = "it"\nthen = "tag"\nexpires = 2027-01-31\n'
        '[[weight]]\nname = "w"\nadd = 1\nexpires = 2027-01-31\n'
    )
    last = datetime.datetime(2027, 1, 31, 23, 59, 59, tzinfo=datetime.UTC).timestamp()
    assert spoken(found, {"it": It()}, last) == "r"
    assert spoken(found, {"it": It()}, last + 1) is None
    assert [len(judge.terms(found.weights, {}, now)) for now in (0, last, last + 1)] == [1, 1, 0]


ANN, BEN, TEAM = (Address(name, "example.org") for name in ("ann", "ben", "team"))
WHY = Because("r")


@pytest.mark.parametrize(
    ("acts", "recipients", "expected"),
    [
        ([], [ANN], []),
        ([Act(WHY, Action.TAG)], [ANN], []),
        ([Act(WHY, Action.PASS, redirect=TEAM)], [ANN, BEN],
         [AddRecipient(TEAM), RemoveRecipient(ANN), RemoveRecipient(BEN)]),
        ([Act(WHY, Action.PASS, redirect=ANN)], [ANN, BEN], [RemoveRecipient(BEN)]),
        ([Act(WHY, Action.PASS, redirect=TEAM)] * 2, [ANN],
         [AddRecipient(TEAM), RemoveRecipient(ANN)]),
        ([Act(WHY, Action.PASS, redirect=TEAM), Act(WHY, Action.PASS, redirect=BEN)], [ANN],
         [AddRecipient(TEAM), AddRecipient(BEN), RemoveRecipient(ANN)]),
    ],
)  # fmt: skip
def test_redirected_mail_goes_to_the_new_address_alone(acts, recipients, expected):
    assert list(judge.edits(acts, recipients)) == expected


def test_what_strangers_wrote_breaks_no_header_field():
    text = '[[rule]]\nname = "r"\nwhen = "it"\nthen = "pass"\nadd_header = { X-A = "{who.name}" }'
    words = WORDS | {"who": Word(Kind("record", record=Who), Stage.HELO)}
    found = rules.load(Document(text, "law.toml"), "law", words)
    _, acts = judge.speak(found.rules, {"it": It(), "who": Who("a\r\nBcc: é\x00")})
    assert acts[0].headers == (AddHeader("X-A", "a??Bcc: ??"),)


def test_reason_to_hold_is_filled_in():
    text = '[[rule]]\nname = "r"\nwhen = "it"\nthen = "quarantine"\nquarantine = "size {it.size}"'
    (rule,) = policy(text).rules
    assert judge.verdict(rule, {"it": It(3.0)}).hold == "size 3"
