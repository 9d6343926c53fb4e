"""The condition language: Python's expressions, typed, bounded, without loops.

    dmarc.result == 'fail' and dmarc.policy == 'reject' and not arc.trusted
    12 * spam.probability
    under(from.domain, 'example.org') and peer.ip not in ['192.0.2.1']

Parsed by `ast`, checked against the types of the facts, and compiled to closures once:
no `eval`, nothing that can run long.  A typical condition costs half a microsecond.

**What a mail lacks.**  A fact may be absent (its filter was skipped).  An absent thing is
false; it equals nothing and is in nothing, so `==`, `<`, `>` and `in` say no, `!=` and
`not in` say yes; and what is computed from it is absent too.

Fails: `compile_text` raises `Misfit` (sentence, hint, offset, width) for the text that
an operator wrote.  A compiled condition never raises.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from millrace.engine.document import meant
from millrace.engine.policy.functions import FUNCTIONS, Run, Values
from millrace.engine.policy.kinds import NUMBER, TEXT, TRUTH, Kind, fields_of

TEXT_MAX = 4096
DEPTH_MAX = 50
NUMBER_MAX = 1e15
# `from` is a keyword of Python's; `From` has the same width.  Texts in quotes stay as they are.
_FROM = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?<![\w.])from(?=\s*\.)""", re.S)


class Misfit(ValueError):
    """A condition that cannot be used: what, how to mend it, and where in the text."""

    def __init__(self, sentence: str, hint: str = "", offset: int = 0, width: int = 1) -> None:
        super().__init__(sentence)
        self.sentence, self.hint, self.offset, self.width = sentence, hint, offset, width


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled text, the kind of its value, and the names that it asks for.

    `parts` are what a top-level `and` joins (or the whole), each with its own names.
    """

    text: str
    kind: Kind
    names: frozenset[str]
    run: Run
    parts: tuple[tuple[frozenset[str], Run], ...] = ()

    def holds_never(self, absent: frozenset[str]) -> bool:
        """Whether it cannot hold where these names are always absent."""
        nothing = {"score": 0.0}
        return any(names and names <= absent and not run(nothing) for names, run in self.parts)


def compile_text(text: str, names: Mapping[str, Kind]) -> Expression:
    """Compile one expression whose names stand for records (or `score`, a number)."""
    if len(text) > TEXT_MAX:
        raise Misfit(f"is longer than {TEXT_MAX} characters")
    body = _parsed(text)
    compiler = _Compiler(names, text)
    kind, run = compiler.compile(body, 0)
    parts = tuple(_part(each, names, text) for each in _conjuncts(body))
    return Expression(text, kind, frozenset(compiler.used), run, parts)


def _conjuncts(body: ast.expr) -> list[ast.expr]:
    if isinstance(body, ast.BoolOp) and isinstance(body.op, ast.And):
        return body.values
    return [body]


def _part(node: ast.expr, names: Mapping[str, Kind], text: str) -> tuple[frozenset[str], Run]:
    compiler = _Compiler(names, text)
    _, run = compiler.compile(node, 0)
    return frozenset(compiler.used), run


def compile_condition(text: str, names: Mapping[str, Kind]) -> Expression:
    """Compile a text that is true or false: a comparison, a truth, or whether a fact is there."""
    found = compile_text(text, names)
    if found.kind.word not in ("truth", "record"):
        raise Misfit(f"is {found.kind.word}, not a condition", "Compare it.", 0, len(text))
    return found


def _parsed(text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(_FROM.sub(lambda m: m[1] or "From", text), mode="eval").body
    except SyntaxError as error:
        offset = max((error.offset or 1) - 1, 0)
        raise Misfit(*_advice(text, error.msg), offset) from None
    except (ValueError, MemoryError, RecursionError):
        raise Misfit("cannot be read: nested too deeply, or holds a NUL") from None


def _advice(text: str, words: str) -> tuple[str, str]:
    if re.search(r"(?<![=!<>])=(?!=)", text):
        return "'=' sets a value; a condition compares", "Write == to compare."
    if "&&" in text or "||" in text:
        return "'&&' and '||' are not of this language", "Write and, or, not."
    if re.search(r"(^|\s)!(?!=)", text):
        return "'!' is not of this language", "Write not."
    return f"is no condition: {words}", ""


class _Compiler:
    """Walks one tree; every method returns the kind and a closure."""

    def __init__(self, names: Mapping[str, Kind], text: str) -> None:
        self.names, self.text = names, text
        self.used: set[str] = set()

    def compile(self, node: ast.expr, depth: int) -> tuple[Kind, Run]:
        if depth > DEPTH_MAX:
            raise self._misfit(node, "is nested too deeply")
        method = getattr(self, "_" + type(node).__name__.lower(), None)
        if method is None:
            raise self._misfit(node, f"'{self._shown(node)}' is not of this language", _ALLOWED)
        result: tuple[Kind, Run] = method(node, depth + 1)
        return result

    def _constant(self, node: ast.Constant, depth: int) -> tuple[Kind, Run]:
        value = node.value
        if isinstance(value, bool):
            return TRUTH, lambda values: value
        if isinstance(value, (int, float)):
            if value > NUMBER_MAX:
                raise self._misfit(node, "is too large a number")
            return NUMBER, lambda values: value
        if isinstance(value, str):
            return TEXT, lambda values: value
        raise self._misfit(node, f"'{self._shown(node)}' is not of this language", _ALLOWED)

    def _name(self, node: ast.Name, depth: int) -> tuple[Kind, Run]:
        name = "from" if node.id == "From" else node.id
        kind = self.names.get(name)
        if kind is None:
            hint = meant(name, self.names)
            if any(name in k.choices for r in self.names.values() for k in _fields(r).values()):
                hint = f"Text stands in quotes: '{name}'.\n" + hint
            raise self._misfit(node, f"nothing here is called '{name}'", hint)
        self.used.add(name)
        return kind, lambda values: values.get(name)

    def _attribute(self, node: ast.Attribute, depth: int) -> tuple[Kind, Run]:
        kind, run = self.compile(node.value, depth)
        if kind.record is None:
            raise self._misfit(node, f"'{self._shown(node.value)}' has no fields")
        fields = fields_of(kind.record)
        attribute = node.attr
        if attribute not in fields:
            sentence = f"'{self._shown(node.value)}' has no field '{attribute}'"
            raise self._misfit(node, sentence, meant(attribute, fields))
        if isinstance(node.value, ast.Name):
            return fields[attribute], _field_of_name(_plain(node.value.id), attribute)
        return fields[attribute], _field_of(run, attribute)

    def _boolop(self, node: ast.BoolOp, depth: int) -> tuple[Kind, Run]:
        compiled = [self.compile(part, depth) for part in node.values]
        for part, (kind, _) in zip(node.values, compiled, strict=True):
            self._decides(part, kind)
        runs = [run for _, run in compiled]
        if isinstance(node.op, ast.And):
            return TRUTH, _all(runs)
        return TRUTH, _any(runs)

    def _unaryop(self, node: ast.UnaryOp, depth: int) -> tuple[Kind, Run]:
        kind, run = self.compile(node.operand, depth)
        if isinstance(node.op, ast.Invert):
            raise self._misfit(node, f"'{self._shown(node)}' is not of this language", _ALLOWED)
        if isinstance(node.op, ast.Not):
            self._decides(node.operand, kind)
            return TRUTH, lambda values: not run(values)
        self._numbers(node, kind)
        sign = operator.neg if isinstance(node.op, ast.USub) else operator.pos
        return NUMBER, lambda values: None if (value := run(values)) is None else sign(value)

    def _binop(self, node: ast.BinOp, depth: int) -> tuple[Kind, Run]:
        compute = _ARITHMETIC.get(type(node.op))
        if compute is None:
            raise self._misfit(node, f"'{self._shown(node)}' is not of this language", _ALLOWED)
        left_kind, left = self.compile(node.left, depth)
        right_kind, right = self.compile(node.right, depth)
        self._numbers(node.left, left_kind)
        self._numbers(node.right, right_kind)
        return NUMBER, _computed(compute, left, right)

    def _compare(self, node: ast.Compare, depth: int) -> tuple[Kind, Run]:
        terms = [node.left, *node.comparators]
        compiled = [self.compile(term, depth) for term in terms]
        tests: list[Run] = []
        for at, op in enumerate(node.ops):
            (left_kind, left), (right_kind, right) = compiled[at], compiled[at + 1]
            self._fits(op, (terms[at], left_kind), (terms[at + 1], right_kind))
            constant = terms[at + 1]
            if isinstance(op, ast.Eq) and isinstance(constant, ast.Constant):
                tests.append(_equals(left, constant.value))
            else:
                tests.append(_compared(_COMPARISONS[type(op)], left, right))
        return TRUTH, tests[0] if len(tests) == 1 else _all(tests)

    def _list(self, node: ast.List | ast.Tuple, depth: int) -> tuple[Kind, Run]:
        if not all(isinstance(entry, ast.Constant) for entry in node.elts):
            raise self._misfit(node, "a list holds plain texts or numbers")
        compiled = [self.compile(entry, depth) for entry in node.elts]
        if not compiled:
            raise self._misfit(node, "an empty list holds nothing to compare with")
        kinds = {kind.word for kind, _ in compiled}
        if len(kinds) > 1:
            raise self._misfit(node, f"mixes {' and '.join(sorted(kinds))}")
        values = frozenset(run({}) for _, run in compiled)
        return Kind("list", item=compiled[0][0]), lambda _: values

    _tuple = _list

    def _call(self, node: ast.Call, depth: int) -> tuple[Kind, Run]:
        name = node.func.id if isinstance(node.func, ast.Name) else self._shown(node.func)
        function = FUNCTIONS.get(name)
        if function is None:
            raise self._misfit(node, f"there is no function '{name}'", meant(name, FUNCTIONS))
        if node.keywords or not function.least <= len(node.args) <= function.most:
            raise self._misfit(node, f"{name} is written {function.usage}")
        compiled = [self.compile(argument, depth) for argument in node.args]
        for argument, (kind, _) in zip(node.args, compiled, strict=True):
            if kind.word not in function.takes:
                sentence = f"{name} takes {' or '.join(function.takes)}, not {kind.word}"
                raise self._misfit(argument, sentence, function.usage)
        try:
            return function.gives, function.bind([run for _, run in compiled], node.args)
        except ValueError as error:
            raise self._misfit(node, str(error)) from None

    def _fits(
        self, op: ast.cmpop, left: tuple[ast.expr, Kind], right: tuple[ast.expr, Kind]
    ) -> None:
        (left_node, left_kind), (right_node, right_kind) = left, right
        if isinstance(op, (ast.Is, ast.IsNot)):
            raise self._misfit(left_node, "'is' is not of this language", "Write == or !=.")
        if isinstance(op, (ast.In, ast.NotIn)):
            if right_kind.word not in ("list", "text"):
                raise self._misfit(right_node, "after 'in' comes a list or a text")
            self._possible(left_node, left_kind, right_node)
            item = right_kind.item or TEXT
            self._same(right_node, left_kind, item)
        elif isinstance(op, (ast.Eq, ast.NotEq)):
            self._possible(left_node, left_kind, right_node)
            self._possible(right_node, right_kind, left_node)
            self._same(right_node, left_kind, right_kind)
        else:
            self._numbers(left_node, left_kind)
            self._numbers(right_node, right_kind)

    def _possible(self, node: ast.expr, kind: Kind, other: ast.expr) -> None:
        """Refuse a comparison of a choice with a word that it can never be."""
        if kind.word != "choice":
            return
        entries = other.elts if isinstance(other, (ast.List, ast.Tuple)) else [other]
        for entry in entries:
            if isinstance(entry, ast.Constant) and entry.value not in kind.choices:
                sentence = f"{self._shown(node)} can never be {entry.value!r}"
                raise self._misfit(entry, sentence, meant(str(entry.value), kind.choices))

    def _same(self, node: ast.expr, left: Kind, right: Kind) -> None:
        if left.word != right.word and not (left.texty and right.texty):
            raise self._misfit(node, f"compares {left.word} with {right.word}")
        if left.word == "record":
            raise self._misfit(node, "compares a whole fact", "Name one of its fields.")
        if left.word == "list":
            raise self._misfit(node, "compares whole lists", "Write 'x' in LIST.")

    def _decides(self, node: ast.expr, kind: Kind) -> None:
        """Refuse a part of and, or, not that holds whatever the mail is."""
        if kind.word == "choice" or (isinstance(node, ast.Constant) and kind is not TRUTH):
            sentence = f"'{self._shown(node)}' is {kind.word}, not a condition"
            raise self._misfit(node, sentence, "Compare it: a == 'x' or a == 'y', a in ['x', 'y'].")

    def _numbers(self, node: ast.expr, kind: Kind) -> None:
        if kind.word != "number":
            raise self._misfit(node, f"'{self._shown(node)}' is {kind.word}, not a number")

    def _shown(self, node: ast.expr) -> str:
        return ast.get_source_segment(self.text, node) or ast.unparse(node)

    def _misfit(self, node: ast.expr, sentence: str, hint: str = "") -> Misfit:
        end = node.end_col_offset or node.col_offset + 1
        prefix = self.text.encode()[: node.col_offset].decode("utf-8", "ignore")
        width = end - node.col_offset if node.end_lineno == node.lineno else 1
        return Misfit(sentence, hint, len(prefix), max(width, 1))


def _fields(kind: Kind) -> dict[str, Kind]:
    return fields_of(kind.record) if kind.record else {}


def _plain(name: str) -> str:
    return "from" if name == "From" else name


def _field_of_name(name: str, attribute: str) -> Run:
    def run(values: Values) -> Any:  # noqa: ANN401
        record = values.get(name)
        return None if record is None else getattr(record, attribute)

    return run


def _field_of(run: Run, attribute: str) -> Run:
    def inner(values: Values) -> Any:  # noqa: ANN401
        record = run(values)
        return None if record is None else getattr(record, attribute)

    return inner


def _all(runs: list[Run]) -> Run:
    if len(runs) == 2:
        first, second = runs
        return lambda values: bool(first(values) and second(values))
    return lambda values: all(run(values) for run in runs)


def _any(runs: list[Run]) -> Run:
    return lambda values: any(run(values) for run in runs)


def _equals(run: Run, constant: object) -> Run:
    return lambda values: run(values) == constant


def _compared(compare: Callable[[Any, Any], bool], left: Run, right: Run) -> Run:
    denies = compare in (operator.ne, _not_in)

    def run(values: Values) -> bool:
        a, b = left(values), right(values)
        return denies if a is None or b is None else compare(a, b)

    return run


def _computed(compute: Callable[[Any, Any], float], left: Run, right: Run) -> Run:
    def run(values: Values) -> float | None:
        a, b = left(values), right(values)
        try:
            return None if a is None or b is None else compute(a, b)
        except OverflowError:  # whole numbers of any length meet a float
            return None

    return run


def _in(item: object, items: Any) -> bool:  # noqa: ANN401
    return item in items


def _not_in(item: object, items: Any) -> bool:  # noqa: ANN401
    return item not in items


def _quotient(a: float, b: float) -> float:
    return a / b if b else 0.0


_ALLOWED = "Names, 'text', numbers, [lists], and or not, == != < <= > >= in, + - * /, functions."
_ARITHMETIC: dict[type, Callable[[Any, Any], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _quotient,
}
_COMPARISONS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: _in,
    ast.NotIn: _not_in,
}
