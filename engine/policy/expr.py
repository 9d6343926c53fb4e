"""The condition language: Python's expressions, typed, bounded, without loops.

    dmarc.result == 'fail' and dmarc.policy == 'reject' and not arc.trusted
    12 * spam.probability
    message.size > 25MiB and peer.ip not in ['192.0.2.0/24', '2001:db8::/32']
    from.domain in lists.partners or lists.tier[from.domain] == 'gold'

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
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from millrace.engine.document import meant
from millrace.engine.mail.headers import Headers
from millrace.engine.policy import closures, fitting, networks, places
from millrace.engine.policy.advice import ALLOWED
from millrace.engine.policy.closures import Run
from millrace.engine.policy.fitting import Term
from millrace.engine.policy.functions import FUNCTIONS, Function, Unbound
from millrace.engine.policy.kinds import NUMBER, TEXT, TRUTH, Kind, fields_of
from millrace.engine.policy.listing import Lists
from millrace.engine.policy.naming import Names
from millrace.engine.policy.syntax import NUMBER_MAX, Parsed, parse
from millrace.engine.policy.syntax import TEXT_MAX as TEXT_MAX
from millrace.engine.policy.syntax import Misfit as Misfit

DEPTH_MAX = 50
NO_LISTS: Lists = {}


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled text, the kind of its value, and the names and lists that it asks for.

    `parts` are what a top-level `and` joins (or the whole), each with its own names;
    `where` says at which character a name stands first.
    """

    text: str
    kind: Kind
    names: frozenset[str]
    run: Run
    parts: tuple[tuple[frozenset[str], Run], ...] = ()
    lists: frozenset[str] = frozenset()
    where: Mapping[str, int] = field(default_factory=dict)

    def holds_never(self, absent: frozenset[str]) -> bool:
        """Whether it cannot hold where these names are always absent."""
        nothing = {"score": 0.0}
        return any(names and names <= absent and not run(nothing) for names, run in self.parts)


def compile_text(text: str, names: Mapping[str, Kind], lists: Lists = NO_LISTS) -> Expression:
    """Compile one expression whose names stand for records (or `score`, a number)."""
    parsed = parse(text)
    fitting.one(parsed)
    compiler = _Compiler(parsed, names, lists)
    kind, run = compiler.compile(parsed.body, 0)
    parts = tuple(_part(each, parsed, names, lists) for each in _conjuncts(parsed.body))
    used, asked = frozenset(compiler.scope.used), frozenset(compiler.scope.asked)
    return Expression(text, kind, used, run, parts, asked, compiler.scope.used)


def compile_condition(text: str, names: Mapping[str, Kind], lists: Lists = NO_LISTS) -> Expression:
    """Compile a text that is true or false: a comparison, a truth, or whether a fact is there."""
    found = compile_text(text, names, lists)
    if found.kind.word not in ("truth", "record"):
        hint = "Write NAME in lists.NAME." if found.kind.word == "listing" else "Compare it."
        if text.lstrip().startswith("header("):
            hint = "Compare it, or ask whether it is there: has_header('List-Id')."
        raise Misfit(f"is {found.kind.shown}, not a condition", hint, 0, len(text))
    return found


def _conjuncts(body: ast.expr) -> list[ast.expr]:
    if isinstance(body, ast.BoolOp) and isinstance(body.op, ast.And):
        return body.values
    return [body]


def _part(
    node: ast.expr, parsed: Parsed, names: Mapping[str, Kind], lists: Lists
) -> tuple[frozenset[str], Run]:
    compiler = _Compiler(parsed, names, lists)
    _, run = compiler.compile(node, 0)
    return frozenset(compiler.scope.used), run


def _networks(parsed: Parsed, node: ast.expr) -> networks.Networks | None:
    """The networks that stand on the right of `in`, if it is networks that stand there."""
    texts = networks.named(node)
    if not texts:
        return None
    entries = node.elts if isinstance(node, (ast.List, ast.Tuple)) else [node]
    for each, text in zip(entries, texts, strict=True):
        try:
            networks.Networks([text])
        except ValueError as error:
            raise parsed.misfit(each, str(error), "Write '192.0.2.0/24'.") from None
    return networks.Networks(texts)


class _Side(NamedTuple):
    """One side of a comparison, compiled."""

    node: ast.expr
    kind: Kind
    run: Run


_AMONG: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Eq: ast.In, ast.NotEq: ast.NotIn}


class _Compiler:
    """Walks one tree; every method returns the kind and a closure."""

    def __init__(self, parsed: Parsed, names: Mapping[str, Kind], lists: Lists) -> None:
        self.parsed = parsed
        self.scope = Names(parsed, names, lists)

    def compile(self, node: ast.expr, depth: int) -> tuple[Kind, Run]:
        if depth > DEPTH_MAX:
            raise self._misfit(node, "is nested too deeply")
        method = getattr(self, "_" + type(node).__name__.lower(), None)
        if method is None:
            raise self._foreign(node)
        result: tuple[Kind, Run] = method(node, depth + 1)
        return result

    # --- names and constants

    def _constant(self, node: ast.Constant, depth: int) -> tuple[Kind, Run]:
        value = node.value
        if isinstance(value, bool):
            return TRUTH, closures.constant(value)
        if isinstance(value, (int, float)):
            if value > NUMBER_MAX:
                raise self._misfit(node, "is too large a number")
            return NUMBER, closures.constant(value)
        if isinstance(value, str):
            return TEXT, closures.constant(value)
        if value is None:
            sentence = "'None' is not of this language"
            raise self._misfit(node, sentence, "What is absent is false: write NAME, or not NAME.")
        raise self._foreign(node)

    def _name(self, node: ast.Name, depth: int) -> tuple[Kind, Run]:
        if amount := self.parsed.amounts.get(self.parsed.offset(node)):
            return Kind("number", unit=amount.unit), closures.constant(amount.value)
        return self.scope.kind(node), closures.name(self.scope.word(node))

    def _attribute(self, node: ast.Attribute, depth: int) -> tuple[Kind, Run]:
        if self.scope.is_shelf(node.value):
            listing = self.scope.listing(node)
            return Kind("listing", holds=listing.kind), closures.constant(listing)
        kind, run = self.compile(node.value, depth)
        if kind.record is None:
            beside = self._beside(node.value) if isinstance(node.value, ast.Attribute) else {}
            hint = fitting.beside(self.parsed, node, beside)
            raise self._misfit(node, f"'{self._shown(node.value)}' has no fields", hint)
        fields = fields_of(kind.record)
        if node.attr not in fields:
            sentence = f"'{self._shown(node.value)}' has no field '{node.attr}'"
            hint = meant(node.attr, fields)
            if kind.record is Headers:
                hint += f"\nA field of the mail is written header('{_field_name(node.attr)}')."
            raise self._misfit(node, sentence, hint)
        if isinstance(node.value, ast.Name):
            return fields[node.attr], closures.field_of_name(self.scope.word(node.value), node.attr)
        return fields[node.attr], closures.field(run, node.attr)

    # --- named lists

    def _subscript(self, node: ast.Subscript, depth: int) -> tuple[Kind, Run]:
        if not (isinstance(node.value, ast.Attribute) and self.scope.is_shelf(node.value.value)):
            if isinstance(node.value, ast.Name) and node.value.id in ("headers", "header"):
                hint = f"Write header({self._shown(node.slice)})."
                sentence = f"'{self._shown(node)}' is not of this language"
                raise self._misfit(node, sentence, hint)
            if self.scope.is_shelf(node.value) and isinstance(node.slice, ast.Constant):
                hint = f"Write lists.{node.slice.value!s}."
                raise self._misfit(node, "a list is named behind a point", hint)
            raise self._foreign(node)
        listing = self.scope.listing(node.value)
        kind = Kind("listing", holds=listing.kind)
        if listing.kind != "map":
            name = self._shown(node.value)
            sentence = f"{name} holds {listing.kind}, and only a map is asked by a key"
            raise self._misfit(node, sentence, f"Write {self._shown(node.slice)} in {name}.")
        key = self._entry(node.value, kind, node.slice, depth)
        return TEXT, closures.looked_up(listing.value, key)

    def _entry(self, listing: ast.expr, held: Kind, node: ast.expr, depth: int) -> Run:
        """What a list is asked for, as a text."""
        kind, run = self.compile(node, depth)
        fitting.entry(self.parsed, listing, held, Term(node, kind))
        return closures.mailbox(run) if kind.word == "record" else run

    # --- operators

    def _boolop(self, node: ast.BoolOp, depth: int) -> tuple[Kind, Run]:
        compiled = [self.compile(part, depth) for part in node.values]
        for part, (kind, _) in zip(node.values, compiled, strict=True):
            fitting.decides(self.parsed, Term(part, kind))
        runs = [run for _, run in compiled]
        both = isinstance(node.op, ast.And)
        return TRUTH, closures.every(runs) if both else closures.either(runs)

    def _unaryop(self, node: ast.UnaryOp, depth: int) -> tuple[Kind, Run]:
        kind, run = self.compile(node.operand, depth)
        if isinstance(node.op, ast.Invert):
            raise self._foreign(node)
        if isinstance(node.op, ast.Not):
            fitting.decides(self.parsed, Term(node.operand, kind))
            return TRUTH, closures.negated(run)
        fitting.number(self.parsed, Term(node, kind))
        sign = operator.neg if isinstance(node.op, ast.USub) else operator.pos
        return kind, closures.signed(sign, run)

    def _binop(self, node: ast.BinOp, depth: int) -> tuple[Kind, Run]:
        compute = closures.ARITHMETIC.get(type(node.op))
        if compute is None:
            raise self._foreign(node)
        left_kind, left = self.compile(node.left, depth)
        right_kind, right = self.compile(node.right, depth)
        terms = Term(node.left, left_kind), Term(node.right, right_kind)
        for term in terms:
            fitting.number(self.parsed, term)
        kind = self._measure(node.op, terms)
        return kind, closures.computed(compute, left, right)

    def _measure(self, op: ast.operator, terms: tuple[Term, Term]) -> Kind:
        """The unit of what is computed: octets by octets is a plain number."""
        left, right = (term.kind for term in terms)
        if isinstance(op, (ast.Add, ast.Sub)):
            fitting.units(self.parsed, *terms)
            return left if left.unit else right
        if isinstance(op, ast.Mult):
            return NUMBER if left.unit and right.unit else left if left.unit else right
        return NUMBER if right.unit else left

    def _compare(self, node: ast.Compare, depth: int) -> tuple[Kind, Run]:
        terms = [node.left, *node.comparators]
        tests = [self._test(op, terms[at], terms[at + 1], depth) for at, op in enumerate(node.ops)]
        return TRUTH, tests[0] if len(tests) == 1 else closures.every(tests)

    def _test(self, op: ast.cmpop, left: ast.expr, right: ast.expr, depth: int) -> Run:
        member = isinstance(op, (ast.In, ast.NotIn))
        denies = isinstance(op, ast.NotIn)
        if member and isinstance(right, ast.Attribute) and self.scope.is_shelf(right.value):
            listing = self.scope.listing(right)
            run = self._entry(right, Kind("listing", holds=listing.kind), left, depth)
            return closures.held(listing.holds, run, denies=denies)
        kind, run = self.compile(left, depth)
        if member and kind.word == "text" and (found := _networks(self.parsed, right)):
            if isinstance(left, ast.Attribute):
                fitting.networked(self.parsed, op, left, right, self._beside(left))
            return closures.held(found.holds, run, denies=denies)
        self.scope.refuse_unquoted(kind, right)
        other_kind, other = self.compile(right, depth)
        item = other_kind.item
        if member and item and item.record and isinstance(right, ast.Attribute):
            raise fitting.whole_facts(self.parsed, left, right, self._beside(right))
        fitting.comparison(self.parsed, op, Term(left, kind), Term(right, other_kind))
        return self._compared(type(op), _Side(left, kind, run), _Side(right, other_kind, other))

    def _beside(self, node: ast.Attribute) -> Mapping[str, Kind]:
        """The fields of the record that a field is of."""
        record = self.compile(node.value, 0)[0].record
        return fields_of(record) if record else {}

    def _compared(self, op: type[ast.cmpop], left: _Side, right: _Side) -> Run:
        """A comparison whose sides fit; what names a place is brought to the form of the facts."""
        text = left.node.value if isinstance(left.node, ast.Constant) else None
        if isinstance(text, str):
            if right.kind.place and op in (ast.Eq, ast.NotEq):
                left, right = right, left
            elif (right.kind.item or right.kind).place:
                return self._names_place(op, text, right)
        if not self._is_constant(right.node):
            return closures.compared(op, left.run, right.run)
        value = right.run({})
        if left.kind.place:
            value = fitting.placed(self.parsed, op, Term(*left[:2]), right.node)
            op = _AMONG.get(op, op)
        match left.node:
            case ast.Attribute(value=ast.Name() as root):
                return closures.field_compared(op, self.scope.word(root), left.node.attr, value)
        return closures.compared(op, left.run, closures.constant(value))

    @staticmethod
    def _names_place(op: type[ast.cmpop], text: str, right: _Side) -> Run:
        """`'example.org' in dkim.domains`, or a part of a domain's name in it."""
        forms = [text.lower()]
        if right.kind.item is not None:
            forms = sorted(places.forms(right.kind.item, text))
        tests = [closures.compared(ast.In, closures.constant(form), right.run) for form in forms]
        found = tests[0] if len(tests) == 1 else closures.either(tests)
        return closures.negated(found) if op is ast.NotIn else found

    def _is_constant(self, node: ast.expr) -> bool:
        return isinstance(node, (ast.Constant, ast.List, ast.Tuple)) or self.scope.is_amount(node)

    def _list(self, node: ast.List | ast.Tuple, depth: int) -> tuple[Kind, Run]:
        for entry in node.elts:
            if not (isinstance(entry, ast.Constant) or self.scope.is_amount(entry)):
                hint = "Text stands in quotes." if isinstance(entry, ast.Name) else ""
                raise self._misfit(entry, "a list holds plain texts or numbers", hint)
        compiled = [self.compile(entry, depth) for entry in node.elts]
        if not compiled:
            raise self._misfit(node, "an empty list holds nothing to compare with")
        kinds = {kind.shown for kind, _ in compiled}
        if len(kinds) > 1:
            raise self._misfit(node, f"mixes {' and '.join(sorted(kinds))}")
        values = frozenset(run({}) for _, run in compiled)
        return Kind("list", item=compiled[0][0]), closures.constant(values)

    _tuple = _list

    def _call(self, node: ast.Call, depth: int) -> tuple[Kind, Run]:
        name = node.func.id if isinstance(node.func, ast.Name) else self._shown(node.func)
        function = FUNCTIONS.get(name)
        if function is None and isinstance(node.func, (ast.Constant, ast.Compare)):
            sentence = "two conditions stand side by side"
            raise self._misfit(node.func, sentence, "Join them by and, or by or.")
        if function is None:
            sentence = f"there is no function '{name}'"
            raise self._misfit(node, sentence, self._function_meant(node.func, name))
        if node.keywords or not function.least <= len(node.args) <= function.most:
            raise self._misfit(node, f"{name} is written {function.usage}")
        if function.asks:  # what it is given is a name in that source
            self.scope.ask(node, function.asks)
            return function.gives, self._bound(function, [], node)
        compiled = [self.compile(argument, depth) for argument in node.args]
        for argument, (kind, _) in zip(node.args, compiled, strict=True):
            if kind.word not in function.takes:
                sentence = f"{name} takes {' or '.join(function.takes)}, not {kind.shown}"
                raise self._misfit(argument, sentence, function.usage)
        run = self._bound(function, [run for _, run in compiled], node)
        return self._given(function.gives, [kind for kind, _ in compiled]), run

    def _bound(self, function: Function, runs: list[Run], node: ast.Call) -> Run:
        try:
            return function.bind(runs, node.args)
        except Unbound as unbound:
            at = node if unbound.argument < 0 else node.args[unbound.argument]
            raise self._misfit(at, unbound.sentence, unbound.hint) from None

    def _function_meant(self, func: ast.expr, name: str) -> str:
        """What to write for a function that is not of this language, such as a method."""
        if isinstance(func, ast.Attribute):
            shown = self._shown(func.value)
            if func.attr in FUNCTIONS:
                return f"Write {func.attr}({shown})."
            if func.attr in ("contains", "find", "startswith", "endswith", "match"):
                return f"Write 'x' in {shown}, or matches({shown}, 'regular expression')."
        return meant(name, FUNCTIONS)

    @staticmethod
    def _given(gives: Kind, kinds: list[Kind]) -> Kind:
        """The least of some sizes is a size."""
        units = {kind.unit for kind in kinds if kind.word == "number"}
        return kinds[0] if gives is NUMBER and len(units) == 1 and units != {""} else gives

    # --- what is told

    def _foreign(self, node: ast.expr) -> Misfit:
        return self._misfit(node, f"'{self._shown(node)}' is not of this language", ALLOWED)

    def _shown(self, node: ast.expr) -> str:
        return self.parsed.shown(node)

    def _misfit(self, node: ast.expr, sentence: str, hint: str = "") -> Misfit:
        return self.parsed.misfit(node, sentence, hint)


def _field_name(word: str) -> str:
    """`list_id` as a mail writes it: List-Id."""
    return "-".join(part.capitalize() for part in word.split("_"))
