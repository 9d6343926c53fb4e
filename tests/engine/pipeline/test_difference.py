"""What is said of two pipelines."""

import tomllib

import pytest

from millrace.engine.pipeline.difference import pipelines
from millrace.engine.policy.difference import Change

OLD = """
policy = "default"
[[filter]]
use = "spf"
[[filter]]
use = "greylist"
when = "not login"
wait = "5m"
[[filter]]
use = "dnsbl"
name = "zen"
"""


@pytest.mark.parametrize(
    ("was", "now", "changes"),
    [
        ('"5m"', '"10m"', [Change("filter greylist has another wait", "5m", "10m")]),
        ('"default"', '"strict"', [Change("the pipeline has another policy", "default", "strict")]),
        (
            '"not login"',
            '"not  login"\ntimeout = "1s"',
            [Change("filter greylist now has timeout", now="1s")],
        ),
        (
            '"not login"',
            '"login"',
            [Change("filter greylist runs under another condition", "not login", "login")],
        ),
        (
            '[[filter]]\nuse = "spf"\n',
            '[[filter]]\nuse = "virus"\nsocket = "/x"\n',
            [Change("filter spf is gone"), Change("filter virus is new: socket = '/x'")],
        ),
    ],
)
def test_change_of_a_filter_is_told(was, now, changes):
    assert was in OLD
    new = OLD.replace(was, now)
    assert list(pipelines(tomllib.loads(OLD), tomllib.loads(new))) == changes


def test_filter_that_moved_is_told_with_whom_it_now_precedes():
    head, spf, greylist, dnsbl = OLD.split("[[filter]]")
    new = "[[filter]]".join([head, greylist, spf, dnsbl])
    (change,) = pipelines(tomllib.loads(OLD), tomllib.loads(new))
    assert change == Change("the edits of filter greylist now apply before spf")
