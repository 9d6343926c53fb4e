"""Between which numbers a term lies, and what weights add up to."""

import ast
import math

import pytest

from millrace.engine.policy.analysis.bounds import bounds, constant, sum_of

EVER = math.inf


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3", (3, 3)),
        ("-3 * 2 + 1", (-5, -5)),
        ("a.b", (-EVER, EVER)),
        ("max(a.b, 0)", (0, EVER)),
        ("-max(a.b, 0)", (-EVER, 0)),
        ("min(max(a.b, 0), 1) * 12", (0, 12)),
        ("5 - min(a.b, 2)", (3, EVER)),
        ("len(a.b) + 1", (1, EVER)),
        ("max(a.b, 0) - max(a.c, 0)", (-EVER, EVER)),
        ("0 * a.b", (0, 0)),
        ("a.b / 2", (-EVER, EVER)),
        ("score + 1", (0, 11)),
        ("other(a.b)", (-EVER, EVER)),
    ],
)
def test_term_lies_between_its_bounds(text, found):
    assert bounds(ast.parse(text, mode="eval").body, (-1, 10)) == found


def test_number_too_large_to_compute_is_no_constant():
    huge = " * ".join(["1e300", "1e300"])
    assert constant(ast.parse(huge, mode="eval").body) is None


def test_weights_add_up_to_every_sum_that_they_may_give():
    assert sum_of(["2", "-0.5", "min(max(a.b, 0), 1)"]) == (-0.5, 3)
    assert sum_of(["2", "a.b"]) == (-EVER, EVER)
    assert sum_of(["a >< b"]) == (-EVER, EVER)


def test_bound_leaves_room_for_the_rounding_of_terms():
    assert sum_of(["0.0005"] * 3) == (0, 0.003)
