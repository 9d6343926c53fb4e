"""A TOML file that knows where everything stands.

`tomllib` gives values without positions; an operator needs file:line:column.  So the
text is scanned once more for table heads and keys: enough for files that people write
(one key a line, inline tables, arrays over several lines).

Fails: `Document.load` raises `Misconfigured` for a file that cannot be read or parsed.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from millrace.engine import tomlwords
from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.quoting import character_place

BYTES_MAX = 4 << 20
WORD_MAX = 64
SENTENCE_MAX = 300  # of a message that holds what somebody wrote
# tomllib takes memory by the square of the parts of a key
_ENDLESS_KEY = re.compile(r"(?:[\w-]*\s*\.\s*){40}")
HEAD = re.compile(
    r"""\s*+(\[\[?)\s*+((?:[\w-]++|"(?:\\.|[^"\\])*+"|'[^']*+'|\s*+\.\s*+)++)\s*+\]\]?\s*+(?:\#.*)?$"""
)
KEY = re.compile(
    r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=\s*"""
)
_PIECE = re.compile(r"""\"{3}|'{3}|"(?:\\.|[^"\\])*+"|'[^']*+'|[\[\]\#]""")
_TEXT_ENDS = {  # up to two quotes before the last three are of the text
    '"""': re.compile(r'(?:[^"\\]|\\.|\\$|"{1,2}(?!"))*+"{3,5}'),
    "'''": re.compile(r"(?:[^']|'{1,2}(?!'))*+'{3,5}"),
}
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")

Path_ = tuple[str | int, ...]


class Spot(NamedTuple):
    """Where a key stands, and where its value begins; all count from 1."""

    line: int
    key_column: int
    value_column: int


BOM = "\ufeff"  # what some editors put before the text


class Document:
    """The data of a file, and the places of its keys."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.text = text
        self.lines = [line.removesuffix("\r") for line in text.split("\n")]
        self.data: dict[str, Any] = _parsed(text, name, self.lines)
        self._spots = dict(_spots(self.lines))

    @staticmethod
    def load(path: Path, name: str = "") -> Document:
        """Read a file; `name` is how messages call it."""
        shown = name or str(path)
        try:
            data = _read(path)
        except OSError as error:
            words = error.strerror or str(error)
            raise Misconfigured(Fault(f"cannot be read: {words}", place=Place(shown))) from None
        if len(data) > BYTES_MAX:
            raise Misconfigured(Fault(f"is larger than {BYTES_MAX >> 20} MiB", place=Place(shown)))
        try:
            return Document(data.decode("utf-8").removeprefix(BOM), shown)
        except UnicodeDecodeError as error:
            raise Misconfigured(tomlwords.unreadable(data, error, shown)) from None

    def fault(
        self,
        path: Path_,
        sentence: str,
        hint: str = "",
        *,
        offset: int | None = None,
        width: int = 1,
    ) -> Fault:
        """A fault at a key; with `offset`, at that character inside its string value."""
        if len(sentence) > SENTENCE_MAX:
            sentence = sentence[: SENTENCE_MAX // 2] + " … " + sentence[-SENTENCE_MAX // 2 :]
        spot = self._spot(path)
        if spot is None:
            return Fault(sentence, hint, Place(self.name))
        if offset is None:
            return Fault(sentence, hint, Place(self.name, spot.line, spot.key_column))
        at = character_place(self.lines, (spot.line, spot.value_column), offset)
        line = self.lines[at[0] - 1]
        room = max(len(line) - at[1] + 1, 1)  # what goes on in the next line has its caret here
        place = Place(self.name, *at)
        return Fault(sentence, hint, place, line if line.strip() else "", min(width, room))

    def place(self, path: Path_) -> Place:
        """Where a key stands."""
        spot = self._spot(path)
        return Place(self.name, spot.line, spot.key_column) if spot else Place(self.name)

    def _spot(self, path: Path_) -> Spot | None:
        found = self._spots.get(path) or self._spots.get((*path, 0))
        if found is not None or not path:
            return found
        outer = self._spot(path[:-1])
        if outer is None or not isinstance(path[-1], str) or len(path) < 2:
            return outer
        key = re.compile(rf"""(?<![\w-])["']?{re.escape(path[-1])}["']?\s*=\s*""")
        inline = key.search(self.lines[outer.line - 1], outer.value_column - 1)
        return Spot(outer.line, inline.start() + 1, inline.end() + 1) if inline else outer


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that was probably meant, or None when none is near."""
    if len(word) > WORD_MAX:
        return None  # nobody meant that
    names = list(choices)
    by_case = {name.casefold(): name for name in names}
    if word.casefold() in by_case:
        return by_case[word.casefold()]
    close = difflib.get_close_matches(word.casefold(), by_case, n=1, cutoff=0.6)
    return by_case[close[0]] if close else None


def meant(word: str, choices: Iterable[str]) -> str:
    """A hint: the nearest name, and all that there are if they are few."""
    names = sorted(set(choices))
    near = nearest(word, names)
    lines = [f"did you mean '{near}'?"] if near else []
    if names and (len(names) <= 16 or not near):
        lines.insert(0, "one of: " + " ".join(names))
    return "\n".join(lines)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _read(path: Path) -> bytes:
    # a pipe would hold the reader until somebody writes, and a device has no end
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no regular file")
        return file.read(BYTES_MAX + 1)


def _parsed(text: str, name: str, lines: list[str]) -> dict[str, Any]:
    for number, written in enumerate(lines, 1):
        if written.count(".") >= 40 and _ENDLESS_KEY.search(_bare(written)):
            raise Misconfigured(Fault("a key has too many parts", place=Place(name, number)))
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(tomlwords.faulty(error, lines, name)) from None
    except RecursionError:
        raise Misconfigured(Fault("is nested too deeply", place=Place(name))) from None
    except ValueError:  # Python reads no number of 4300 digits
        at = max(range(len(lines)), key=lambda number: _digits(lines[number]), default=0)
        place = Place(name, at + 1)
        raise Misconfigured(Fault("a number has too many digits", place=place)) from None


def _digits(line: str) -> int:
    return max((len(found) for found in re.findall(r"[0-9_]+", _bare(line))), default=0)


def _spots(lines: list[str]) -> Iterator[tuple[Path_, Spot]]:
    table: Path_ = ()
    counts: dict[Path_, int] = {}
    closing = ""  # what ends the value that goes over several lines
    for number, line in enumerate(lines, 1):
        if closing:
            closing = still_open(line, closing)
            continue
        if head := HEAD.match(line):
            table = _table(head, counts)
            yield table, Spot(number, head.start(1) + 1, head.start(1) + 1)
        elif key := KEY.match(line):
            names = tuple(part.strip("\"'") for part in _PART.findall(key[1]))
            yield table + names, Spot(number, key.start(1) + 1, key.end() + 1)
            closing = opened(line[key.end() :])


def _table(head: re.Match[str], counts: dict[Path_, int]) -> Path_:
    path: Path_ = ()
    names = [part.strip("\"'") for part in _PART.findall(head[2])]
    for at, name in enumerate(names):
        path = (*path, name)
        if at == len(names) - 1 and head[1] == "[[":
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def opened(value: str) -> str:
    """What ends a value that goes on in the next line, "" where it does not.

    That is `]` for each open array, then the quotes of an open text.
    """
    return still_open(value, "")


def still_open(line: str, closing: str) -> str:
    """The same after one more line of that value."""
    brackets = "]" * closing.count("]")
    quotes, at = closing.lstrip("]"), 0
    while True:
        if quotes:
            end = _TEXT_ENDS[quotes].match(line, at)
            if end is None:
                return brackets + quotes
            at = end.end()
        piece = _PIECE.search(line, at)
        if piece is None or piece[0] == "#":
            return brackets
        quotes = piece[0] if piece[0] in _TEXT_ENDS else ""
        if piece[0] in "[]":
            brackets = brackets + "]" if piece[0] == "[" else brackets[1:]
        at = piece.end()


def _bare(line: str) -> str:
    """A line without its texts and its comment."""
    return re.sub(r""""(?:\\.|[^"\\])*"|'[^']*'|#.*""", "", line)
