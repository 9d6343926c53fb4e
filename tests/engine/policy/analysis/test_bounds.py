"""Between which numbers a term lies, and what weights add up to."""

import ast
import math

import pytest

from millrace.engine.policy.analysis.bounds import ANY, bounds, constant, term

EVER = math.inf


def named(node: ast.expr):
    return {"score": (-1, 10), "a.share": (0, 1)}.get(ast.unparse(node), ANY)


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
        ("4 * a.share - 1", (-1, 3)),
        ("a.share / 4", (0, 0.25)),
        ("1 / a.share", (-EVER, EVER)),
        ("other(a.b)", (-EVER, EVER)),
    ],
)
def test_term_lies_between_its_bounds(text, found):
    assert bounds(ast.parse(text, mode="eval").body, named) == found


def test_number_too_large_to_compute_is_no_constant():
    huge = " * ".join(["1e300", "1e300"])
    assert constant(ast.parse(huge, mode="eval").body) is None


def test_weight_may_add_what_its_term_can_be_or_nothing():
    assert term("2", named) == (0, 2)
    assert term("min(max(a.b, 0), 1) - 0.5", named) == (-0.5, 0.5)
    assert term("a.b", named) == (-EVER, EVER)
    assert term("a >< b", named) == (-EVER, EVER)


def test_bound_leaves_room_for_the_rounding_of_terms():
    assert term("0.0005", named) == (0, 0.001)
    assert term("-0.0005", named) == (-0.001, 0)
