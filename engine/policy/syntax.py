"""From the text of a condition to Python's own tree, with every place kept.

Three things are not Python's: `from` is a name here, amounts carry their unit (`25MiB`,
`5m`), and a text over several lines is one condition.  Each is put into a form of the same
width before `ast` reads it, so that a place in the tree is a place in the text.

Fails: `parse` raises `Misfit`.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass, field
from typing import Literal

from millrace.engine.document import nearest
from millrace.engine.options import OCTETS, SECONDS
from millrace.engine.policy.advice import advice

Unit = Literal["", "octets", "seconds"]

TEXT_MAX = 4096
NUMBER_MAX = 1e15
_TOKEN = re.compile(
    r"""(?P<triple>'''|\"{3})
      | (?P<text>(?:(?<!\w)[rRbBuUfF]{1,2})?(?:'(?:[^'\\\n]|\\[^\n])*'|"(?:[^"\\\n]|\\[^\n])*"))
      | (?P<comment>\#[^\n]*)
      | (?P<line>[\r\n\f])
      | (?P<author>(?<![\w.])from(?!\w))
      | (?P<amount>(?<![\w.])[0-9][0-9_]*(?:\.[0-9]+)?[^\W\d_]\w*)""",
    re.X | re.S,
)
_PYTHONS = re.compile(r"[\d_]+(?:\.\d+)?(?:[eE]\d+)?[jJ]?|0[xXoObB]\w+")


class Misfit(ValueError):
    """A condition that cannot be used: what, how to mend it, and where in the text."""

    def __init__(self, sentence: str, hint: str = "", offset: int = 0, width: int = 1) -> None:
        super().__init__(sentence)
        self.sentence, self.hint, self.offset, self.width = sentence, hint, offset, width


@dataclass(frozen=True, slots=True)
class Amount:
    """A number with a unit, in seconds or octets."""

    value: float
    unit: Unit


@dataclass(frozen=True, slots=True)
class Parsed:
    """The tree of a text; `amounts` by the offset at which they stand."""

    text: str
    body: ast.expr
    shift: int
    amounts: dict[int, Amount]
    plain: str

    def offset(self, node: ast.expr) -> int:
        """Where a node begins, in characters of the text."""
        return len(self._head(node.col_offset)) + self.shift

    def end(self, node: ast.expr) -> int:
        """Where a node ends."""
        return len(self._head(node.end_col_offset or node.col_offset + 1)) + self.shift

    def shown(self, node: ast.expr) -> str:
        """A node as it was written."""
        return " ".join(self.text[self.offset(node) : self.end(node)].split())

    def misfit(self, node: ast.expr, sentence: str, hint: str = "") -> Misfit:
        """What is wrong with a node."""
        offset = self.offset(node)
        return Misfit(sentence, hint, offset, max(self.end(node) - offset, 1))

    def _head(self, octets: int) -> str:
        return self.plain.encode("utf-8", "surrogatepass")[:octets].decode("utf-8", "ignore")


def parse(text: str) -> Parsed:
    """Read one expression."""
    if len(text) > TEXT_MAX:
        raise Misfit(f"is longer than {TEXT_MAX} characters")
    masking = _Masking(text)
    masked = _TOKEN.sub(masking.token, text)
    plain = masked.strip()
    if not plain:
        raise Misfit("is empty", "Write a condition such as spf.result == 'fail'.")
    shift = len(masked) - len(masked.lstrip())
    return Parsed(text, _tree(plain, masked, shift), shift, masking.amounts, plain)


@dataclass(slots=True)
class _Masking:
    """Puts what is not Python's into its form, and refuses what would be misread."""

    text: str
    amounts: dict[int, Amount] = field(default_factory=dict)
    text_ended: int = -1

    def token(self, found: re.Match[str]) -> str:
        written = found[0]
        match found.lastgroup:
            case "triple":
                sentence, hint = "a text stands between two quotes", "Write 'text'."
                raise Misfit(sentence, hint, found.start(), 3)
            case "text":
                self._refuse_neighbours(found)
            case "comment" | "line":
                return " " * len(written)
            case "author":
                return "From"
            case "amount" if not _PYTHONS.fullmatch(written):
                self.amounts[found.start()] = _amount(written, found.start())
                return "_" * len(written)
        return written

    def _refuse_neighbours(self, found: re.Match[str]) -> None:
        # Python would join them into one text, and a list would lack what it seems to hold
        between = self.text[self.text_ended : found.start()]
        if self.text_ended >= 0 and not between.strip():
            sentence = "two texts stand side by side"
            hint = "Is a comma missing?  Write ['a', 'b']."
            raise Misfit(sentence, hint, found.start(), len(found[0]))
        self.text_ended = found.end()


def _amount(written: str, offset: int) -> Amount:
    at = len(written) - len(written.lstrip("0123456789_."))
    number, word = float(written[:at].replace("_", "")), written[at:]
    for unit, sizes in _UNITS.items():
        if word in sizes:
            value = number * sizes[word]
            if value > NUMBER_MAX:
                raise Misfit("is too large a number", "", offset, len(written))
            return Amount(int(value) if value.is_integer() else value, unit)
    words = [word for sizes in _UNITS.values() for word in sizes]
    near = _SPOKEN.get(word) or _SPOKEN.get(word.lower().removesuffix("s")) or nearest(word, words)
    hint = f"sizes: {' '.join(OCTETS)}   times: {' '.join(SECONDS)}"
    hint += f"\ndid you mean '{written[:at]}{near}'?" if near else ""
    raise Misfit(f"there is no unit '{word}'", hint, offset, len(written))


_SPOKEN = {
    "K": "KB", "M": "MB", "G": "GB", "k": "KB", "byte": "B", "octet": "B",
    "sec": "s", "second": "s", "min": "m", "minute": "m", "hr": "h", "hour": "h",
    "day": "d", "week": "w", "year": "y",
}  # fmt: skip
_UNITS: dict[Unit, dict[str, float]] = {"octets": {**OCTETS}, "seconds": {**SECONDS}}


def _tree(plain: str, masked: str, shift: int) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(plain, mode="eval").body
    except SyntaxError as error:
        offset = max((error.offset or 1) - 1, 0) + shift
        offset = min(offset, max(len(masked) - 1, 0))
        raise Misfit(*advice(masked, error.msg, offset)) from None
    except (ValueError, MemoryError, RecursionError):
        raise Misfit("cannot be read: nested too deeply, or holds a NUL") from None
