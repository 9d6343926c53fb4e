"""What is said of two policies: in words, and nothing where they mean the same."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.policy.difference import Change, moved, policies, same_condition

OLD = """
[[weight]]
name = "spam"
add = "12 * spam.probability"
[[rule]]
name = "virus"
when = "virus.result == 'found'"
then = "reject"
reply = "550 5.7.1 No"
[[rule]]
name = "dmarc"
when = "dmarc.result == 'fail'"
then = "reject"
[[rule]]
name = "likely"
when = "score >= 7"
then = "quarantine"
"""


def told(new: str) -> list[Change]:
    return list(policies(tomllib.loads(OLD), tomllib.loads(new)))


def test_same_policy_written_otherwise_means_the_same():
    assert told(OLD.replace(" == ", "==").replace("12 *", "12  *") + "# a comment\n") == []
    assert told(OLD.replace("score >= 7", "(score >= 7.0)").replace("'fail'", '\\"fail\\"')) == []
    assert told(OLD + "stop = true\n") == []


WEIGHT, REPLY, HELD = "12 * spam.probability", "550 5.7.1 No", 'then = "quarantine"'


@pytest.mark.parametrize(
    ("was", "now", "change"),
    [
        (HELD, 'then = "pass"', Change("`likely` now lets pass where it quarantined")),
        (HELD, 'then = "discard"', Change("`likely` now discards where it quarantined")),
        ("e >= 7", "e >= 8", Change("`likely` has another condition", "score >= 7", "score >= 8")),
        (WEIGHT, "10", Change(f"weight `spam` now adds 10 where it added {WEIGHT}")),
        (REPLY, "550 Never", Change("`virus` has another reply", REPLY, "550 Never")),
        (f'reply = "{REPLY}"', "", Change("`virus` no longer has reply", REPLY)),
        (HELD, f"{HELD}\nstop = false", Change("`likely` now has stop", now="false")),
        (
            f'"{WEIGHT}"',
            f'"{WEIGHT}"\nwhen = "not login"',
            Change("weight `spam` has another condition", "always", "not login"),
        ),
    ],
)
def test_change_is_told_in_words(was, now, change):
    assert was in OLD
    assert told(OLD.replace(was, now)) == [change]


def test_rule_that_came_or_went_is_told_with_what_it_does():
    came, went = OLD.replace('name = "dmarc"', 'name = "author"'), OLD
    assert told(came) == [
        Change("`dmarc` is gone: it refused when", now="dmarc.result == 'fail'"),
        Change("`author` is new, before `likely`: it refuses when", now="dmarc.result == 'fail'"),
    ]
    assert list(policies(tomllib.loads(went), {})) == [
        Change("`virus` is gone: it refused when", now="virus.result == 'found'"),
        Change("`dmarc` is gone: it refused when", now="dmarc.result == 'fail'"),
        Change("`likely` is gone: it quarantined when", now="score >= 7"),
        Change("weight `spam` is gone: it added 12 * spam.probability"),
    ]


def test_rule_that_moved_is_told_with_whom_it_now_precedes():
    head, *rules = OLD.split("[[rule]]")
    assert told("[[rule]]".join([head, rules[2], rules[0], rules[1]])) == [
        Change("`likely` now stands before `virus`")
    ]
    assert told("[[rule]]".join([head, rules[1], rules[2], rules[0]])) == [
        Change("`virus` now stands last")
    ]


@given(st.permutations("abcdefg"))
def test_moves_told_are_enough_to_make_the_new_order(new):
    order = list("abcdefg")
    for name, follower in reversed(list(moved(order, new))):
        order.remove(name)
        order.insert(order.index(follower) if follower else len(order), name)
    assert order == new


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a == 'x  y'", "a=='x  y'", True),
        ("a == 'x  y'", "a == 'x y'", False),
        ("f(a,b)", "f( a, b )", True),
        ("a >= 1", "a > 1", False),
        ("not a", "nota", False),
        (7, "7", True),
    ],
)
def test_conditions_are_compared_word_by_word(one, other, same):
    assert same_condition(one, other) is same
