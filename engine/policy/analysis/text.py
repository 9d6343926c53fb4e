"""The text of a condition as a tree of Python's, for whoever reasons over it.

Sizes and times (`25MiB`, `5m`) are read as octets and seconds, as the language does.

Fails: `tree` gives None for a text that it cannot read; then nothing is proved of it.
"""

from __future__ import annotations

import ast
import copy
import re
import warnings

from millrace.engine.options import Unfit, octets, seconds

# quoted text stays as it is; `from` is a keyword of Python's
_WORDS = re.compile(
    r"""(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    r"""|(?P<comment>\#[^\n]*)"""
    r"""|(?P<author>(?<![\w.])from(?=\s*\.))"""
    r"""|(?P<amount>(?<![\w.])\d+(?:\.\d+)?[A-Za-z]+\b)""",
    re.S,
)


def tree(text: str) -> ast.expr | None:
    """The tree, with `from` as `From`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # in brackets a condition may go over several lines, with comments
            return ast.parse(f"({_WORDS.sub(_plain, text)}\n)", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def shown(node: ast.AST) -> str:
    """A part of the tree as the operator would write it."""
    return re.sub(r"(?<![\w.])From(?=\s*\.)", "from", ast.unparse(node))


def key(node: ast.AST) -> str:
    """A part of the tree by which it is known again: names of header fields have no case."""
    if not any(field_asked(part) for part in ast.walk(node)):
        return shown(node)
    return shown(_Caseless().visit(copy.deepcopy(node)))


def field_asked(node: ast.AST) -> str | None:
    """The header field that a part of the tree asks for."""
    match node:
        case ast.Call(
            func=ast.Name("header" | "has_header"), args=[ast.Constant(value=str() as name)]
        ):
            return name
    return None


class _Caseless(ast.NodeTransformer):
    """Writes the names of header fields in small letters."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if (name := field_asked(node)) is not None:
            return ast.Call(node.func, [ast.Constant(name.lower())], [])
        return self.generic_visit(node)


def conjuncts(node: ast.expr) -> list[ast.expr]:
    """What a top-level `and` joins, or the whole."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        return node.values
    return [node]


def records(node: ast.AST) -> frozenset[str]:
    """What a term cannot be without: of `dmarc.aligned.spf` two records.

    Of a header field it is that the mail has it.
    """
    found = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, (ast.Name, ast.Attribute)):
            found.add(shown(part.value))
        elif (name := field_asked(part)) is not None:
            found |= {f"has_header({name.lower()!r})", "headers"}
    return frozenset(found)


def _plain(found: re.Match[str]) -> str:
    if found["quoted"] is not None:
        return found["quoted"]
    if found["comment"] is not None:
        return " "  # a quote in it begins no text
    if found["author"] is not None:
        return "From"
    amount = found["amount"]
    for read in (octets, seconds):
        try:
            return repr(read(amount))
        except Unfit:
            continue
    return str(amount)
