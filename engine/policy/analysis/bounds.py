"""Between which numbers a term must lie: interval arithmetic over constants.

What is known comes from constants, `min`, `max`, `len`, from the kinds of the fields, and
from what the weights can add up to.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable

from millrace.engine.policy.analysis.text import tree

Bounds = tuple[float, float]
ANY: Bounds = (-math.inf, math.inf)
Named = Callable[[ast.expr], Bounds]
_MILLE = 1000.0  # terms of the score are rounded to three decimals

_FOLDED: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def constant(node: ast.expr) -> str | float | bool | None:
    """The value of a term without names; None for any other."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, bool, int, float)):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner = constant(node.operand)
        if isinstance(inner, str) or inner is None:
            return None
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp) and type(node.op) in _FOLDED:
        left, right = constant(node.left), constant(node.right)
        if isinstance(left, (int, float)) and isinstance(right, (int, float)):
            found = _FOLDED[type(node.op)](float(left), float(right))
            return found if math.isfinite(found) else None
    return None


def bounds(node: ast.expr, named: Named) -> Bounds:
    """The least and the greatest that a term can be, where it is there at all.

    `named` says it of a name or a field.
    """
    known = constant(node)
    if isinstance(known, (int, float)):
        return known, known
    if isinstance(node, (ast.Name, ast.Attribute)):
        return named(node)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        low, high = bounds(node.operand, named)
        return -high, -low
    if isinstance(node, ast.BinOp):
        return _computed(node, named)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _called(node.func.id, [bounds(each, named) for each in node.args])
    return ANY


def _called(name: str, arguments: list[Bounds]) -> Bounds:
    if name == "len":
        return 0, math.inf
    if name not in ("min", "max") or not arguments:
        return ANY
    choose = min if name == "min" else max
    return choose(low for low, _ in arguments), choose(high for _, high in arguments)


def _computed(node: ast.BinOp, named: Named) -> Bounds:
    (a, b), (c, d) = bounds(node.left, named), bounds(node.right, named)
    found = ANY
    if isinstance(node.op, ast.Add):
        found = a + c, b + d
    elif isinstance(node.op, ast.Sub):
        found = a - d, b - c
    elif isinstance(node.op, ast.Mult):
        corners = [_times(x, y) for x in (a, b) for y in (c, d)]
        found = min(corners), max(corners)
    elif c == d and c != 0 and isinstance(node.op, ast.Div):
        found = min(a / c, b / c), max(a / c, b / c)
    return ANY if any(math.isnan(end) for end in found) else found


def _times(x: float, y: float) -> float:
    return 0.0 if x == 0 or y == 0 else x * y


def term(add: str, named: Named) -> Bounds:
    """What one weight can add; it may also add nothing."""
    body = tree(add)
    least, most = bounds(body, named) if body is not None else ANY
    return min(_rounded(least, math.floor), 0), max(_rounded(most, math.ceil), 0)


def _rounded(value: float, to: Callable[[float], float]) -> float:
    if not math.isfinite(value) or abs(round(value, 3) - value) < 1e-9:
        return round(value, 3) if math.isfinite(value) else value
    return to(value * _MILLE) / _MILLE
