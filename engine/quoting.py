"""Where a character of a TOML text stands in its file.

A text may begin in the line after its quotes, go over many lines, and hold escapes, each of
which is several characters of the file and one (or none) of the text.

Fails: never; a place behind the end is the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

Spot = tuple[int, int]  # line and column, from 1
_ESCAPES = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")


def character_place(lines: Sequence[str], begin: Spot, offset: int) -> Spot:
    """The place of character `offset` of the value that begins at a place."""
    line, column = begin
    rest = lines[line - 1][column - 1 :]
    for quotes in ('"""', "'''"):
        if rest.startswith(quotes):
            return _nth(_spread(lines, (line, column + 3), escapes=quotes == '"""'), offset)
    if rest.startswith('"'):
        return _nth(_in_line(rest[1:], (line, column + 1)), offset)
    return line, column + rest.startswith("'") + offset


def _nth(places: Iterator[Spot], offset: int) -> Spot:
    place = (1, 1)
    for at, place in enumerate(places):  # noqa: B007 - the last one counts when there are fewer
        if at == offset:
            break
    return place


def _in_line(text: str, begin: Spot) -> Iterator[Spot]:
    """The places of the characters of a text with escapes."""
    line, column = begin
    at = 0
    while at < len(text):
        yield line, column + at
        escape = _ESCAPES.match(text, at)
        at = escape.end() if escape else at + 1
    yield line, column + at


def _spread(lines: Sequence[str], begin: Spot, *, escapes: bool) -> Iterator[Spot]:
    """The same over many lines; each line end is a character, but the first and escaped ones."""
    line, column = begin
    if len(lines[line - 1]) < column:  # a line end right behind the quotes is no character
        line, column = line + 1, 1
    while line <= len(lines):
        text = lines[line - 1]
        if not escapes:
            yield from ((line, at) for at in range(column, len(text) + 2))
        elif _joined(text):
            yield from list(_in_line(text[column - 1 : text.rindex("\\")], (line, column)))[:-1]
            line, column = _next_word(lines, line + 1)
            continue
        else:
            yield from _in_line(text[column - 1 :], (line, column))
        line, column = line + 1, 1
    yield len(lines), len(lines[-1]) + 1


def _joined(text: str) -> bool:
    """Whether a backslash joins this line to the next word."""
    bare = text.rstrip(" \t")
    return (len(bare) - len(bare.rstrip("\\"))) % 2 == 1


def _next_word(lines: Sequence[str], line: int) -> Spot:
    while line < len(lines) and not lines[line - 1].strip(" \t"):
        line += 1
    text = lines[line - 1] if line <= len(lines) else ""
    return line, len(text) - len(text.lstrip(" \t")) + 1
