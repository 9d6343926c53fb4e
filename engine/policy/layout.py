"""Puts a TOML file of ours in order; what it says and its comments stay.

Keys get one order and `=` one column.  Tables stay where they are, since the order of rules
is their meaning.  A comment above a key goes with it, one above a head stays above it; a
value is left as it was written.

Fails: `arranged` raises `Misconfigured` for what is no TOML, and for a file whose meaning
it could not keep; such a file stays as it is.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from millrace.engine.document import HEAD, KEY, Document, opened, still_open
from millrace.engine.errors import Fault, Misconfigured, Place

# The order of a table's keys, by its name; "" is the file's head, REST all that is not named.
Orders = Mapping[str, Sequence[str]]
REST = "*"
ALIGN_MAX = 24  # a longer key does not move the others
_PIECES = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\])*"|\'[^\']*\'|#')


@dataclass(slots=True)
class _Entry:
    """One key: what stands above it, its value's lines, and the comment behind it at a column."""

    above: list[str]
    key: str
    value: list[str]
    comment: str
    column: int


@dataclass(slots=True)
class _Table:
    """One head with its keys; `above` are comments over it, `below` those after its last key."""

    name: str
    head: str = ""
    above: list[str] = field(default_factory=list)
    entries: list[_Entry] = field(default_factory=list)
    below: list[str] = field(default_factory=list)


def arranged(text: str, name: str, orders: Orders) -> str:
    """The file in order; the same data, the same comments."""
    before = Document(text, name).data
    tables = _tables(text.replace("\r\n", "\n").split("\n"))
    blocks = ["\n".join(_written(table, orders.get(table.name, ()))) for table in tables]
    blocks = [block.strip("\n") for block in blocks]
    after = "\n\n".join(block for block in blocks if block) + "\n"
    if _read(after) != before or _letters(after) != _letters(text):
        sentence = "cannot be put in order without a change of what it says"
        raise Misconfigured(Fault(sentence, "One key a line is what can be.", Place(name)))
    return after


def _read(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _letters(text: str) -> Counter[str]:
    """All that stands in it but blanks: what is lost, or doubled, would be missed here."""
    return Counter("".join(text.split()))


def _tables(lines: Sequence[str]) -> list[_Table]:
    tables = [_Table("")]
    waiting: list[str] = []  # comments and blank lines whose key or head is still to come
    at = 0
    while at < len(lines):
        line = lines[at]
        if head := HEAD.match(line):
            tables[-1].below, above = _parted(waiting)
            tables.append(_Table(head[2].strip(), line.strip(), above))
            waiting = []
        elif key := KEY.match(line):
            end = _end(lines, at, line[key.end() :])
            value = [line[key.end() :], *lines[at + 1 : end]]
            if len(tables) == 1 and not tables[0].entries:  # what opens the file stays at its top
                tables[0].above, waiting = _parted(waiting)
            above = [each for each in waiting if each]
            value, comment = _comment_apart(value)
            column = len(line) - len(comment)
            tables[-1].entries.append(_Entry(above, key[1].strip(), value, comment, column))
            waiting, at = [], end - 1
        else:
            waiting.append(line.strip())
        at += 1
    tables[-1].below = _trimmed(waiting)
    return tables


def _end(lines: Sequence[str], at: int, value: str) -> int:
    """The line after the last one of a value."""
    closing, end = opened(value), at + 1
    while closing and end < len(lines):
        closing = still_open(lines[end], closing)
        end += 1
    return end


def _comment_apart(value: list[str]) -> tuple[list[str], str]:
    """A value of one line, and the comment behind it."""
    if len(value) > 1:
        return value, ""
    value = [value[0].rstrip()]
    for piece in _PIECES.finditer(value[0]):
        if piece[0] == "#":
            return [value[0][: piece.start()].rstrip()], value[0][piece.start() :]
        if piece[0] in ('"""', "'''"):
            break
    return value, ""


def _parted(waiting: list[str]) -> tuple[list[str], list[str]]:
    """What belongs to the table above, and what stands right above the next head."""
    at = len(waiting)
    while at and waiting[at - 1]:
        at -= 1
    return _trimmed(waiting[:at]), waiting[at:]


def _trimmed(lines: list[str]) -> list[str]:
    """Without blank lines at the end, and never two together."""
    kept = [line for at, line in enumerate(lines) if line or not at or lines[at - 1]]
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _written(table: _Table, order: Sequence[str]) -> Iterator[str]:
    yield from table.above
    if table.head:
        yield table.head
    elif table.above and table.entries:
        yield ""
    entries = sorted(table.entries, key=lambda entry: _rank(entry.key, order))
    width = max((len(e.key) for e in entries if len(e.key) <= ALIGN_MAX), default=0)
    told = [f"{entry.key:<{width}} = {entry.value[0]}" for entry in entries]
    column = _column(told, entries)
    for line, entry in zip(told, entries, strict=True):
        yield from entry.above
        yield f"{line:<{column}}{entry.comment}" if entry.comment else line
        yield from entry.value[1:]
    yield from table.below


def _column(told: list[str], entries: list[_Entry]) -> int:
    """Where comments begin: where they all did, if there is room, else two behind the values."""
    behind = [(len(line), e.column) for line, e in zip(told, entries, strict=True) if e.comment]
    needed = max((length for length, _ in behind), default=0) + 2
    columns = {column for _, column in behind}
    return max(needed, columns.pop()) if len(columns) == 1 else needed


def _rank(key: str, order: Sequence[str]) -> int:
    first = key.partition(".")[0].strip("\"' ")
    if first not in order:
        first = REST
    return order.index(first) if first in order else len(order)
