"""The text of a condition as a tree of Python's, for whoever reasons over it.

Sizes and times (`25MiB`, `5m`) are read as octets and seconds, as the language does.

Fails: `tree` gives None for a text that it cannot read; then nothing is proved of it.
"""

from __future__ import annotations

import ast
import re
import warnings

from millrace.engine.options import Unfit, octets, seconds

# quoted text stays as it is; `from` is a keyword of Python's
_WORDS = re.compile(
    r"""(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
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


def conjuncts(node: ast.expr) -> list[ast.expr]:
    """What a top-level `and` joins, or the whole."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        return node.values
    return [node]


def records(node: ast.AST) -> frozenset[str]:
    """The records that a term names, with those inside them: of `dmarc.aligned.spf` two."""
    return frozenset(
        shown(part.value)
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute) and isinstance(part.value, (ast.Name, ast.Attribute))
    )


def _plain(found: re.Match[str]) -> str:
    if found["quoted"] is not None:
        return found["quoted"]
    if found["author"] is not None:
        return "From"
    amount = found["amount"]
    for read in (octets, seconds):
        try:
            return repr(read(amount))
        except Unfit:
            continue
    return str(amount)
