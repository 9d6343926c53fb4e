"""What is wrong with a text that is no TOML, and what to type instead.

`tomllib` says where it stopped, and why in a parser's words.  What people mistype most is told
here by what stands in that line; of all else the parser's own words are told.

Fails: never; `unreadable` and `faulty` make the words of a failure.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from millrace.engine.errors import Fault, Place

LINE_MAX = 1000  # characters of a line that are looked at
_AT = re.compile(r"\(at line (\d+), column (\d+)\)|\(at end of document\)")
_HEAD = re.compile(
    r"""\s*+(\[\[?)\s*+((?:[\w-]++|"(?:\\.|[^"\\])*+"|'[^']*+'|\s*+\.\s*+)++)\s*+\]\]?\s*+(?:\#.*)?$"""
)
_KEY = re.compile(r"\s*(?P<key>[\w.\"'-]+(?:\s*\.\s*[\w\"'-]+)*)\s*=")


class _Spot(NamedTuple):
    """What is told, and where; lines and columns from 1."""

    sentence: str
    hint: str
    line: int
    column: int
    width: int = 1


class _Slip(NamedTuple):
    """A parser's words, the line in which they fit, and what to tell; it stands at `at`."""

    words: str
    line: str
    sentence: str
    hint: str


def unreadable(data: bytes, error: UnicodeDecodeError, name: str) -> Fault:
    """A file that is not UTF-8, with the place of the octet that cannot be read."""
    head = data[: error.start]
    start = head.rfind(b"\n") + 1
    end = data.find(b"\n", start)
    excerpt = data[start : end if end >= 0 else len(data)].decode("utf-8", "replace")
    column = len(data[start : error.start].decode("utf-8", "replace")) + 1
    place = Place(name, head.count(b"\n") + 1, column)
    sentence = f"is not UTF-8 (octet {error.start + 1} is 0x{data[error.start]:02X})"
    return Fault(sentence, "Save it as UTF-8.", place, excerpt.rstrip("\r"))


def faulty(error: ValueError, lines: list[str], name: str) -> Fault:
    """What `tomllib` refused, for whoever wrote it."""
    found = _AT.search(str(error))
    at = (int(found[1]), int(found[2])) if found and found[1] else (len(lines), 1)
    words = _AT.sub("", str(error)).strip()
    spot = _twice(words, lines, at) or _endless(words, lines, at) or _slipped(words, lines, at)
    excerpt = lines[spot.line - 1] if 0 < spot.line <= len(lines) else ""
    place = Place(name, spot.line, spot.column)
    return Fault(f"is not TOML: {spot.sentence}", spot.hint, place, excerpt, spot.width)


def _twice(words: str, lines: list[str], at: tuple[int, int]) -> _Spot | None:
    """A key or a table that stands there already."""
    if not words.startswith(("Cannot overwrite", "Cannot declare")) or at[0] > len(lines):
        return None
    line = lines[at[0] - 1]
    if head := _HEAD.match(line):
        return _table_twice(head, lines, at[0])
    key = _KEY.match(line)
    if key is None:
        return None
    column, width = key.start("key") + 1, len(key["key"])
    for above in range(at[0] - 1, 0, -1):
        if (other := _KEY.match(lines[above - 1])) and other["key"] == key["key"]:
            hint = f"The other stands in line {above}; remove one of them."
            return _Spot(f"'{key['key']}' stands twice", hint, at[0], column, width)
        if _HEAD.match(lines[above - 1]):
            break
    return _Spot(words, "It has a value above; remove one of them.", at[0], column, width)


def _table_twice(head: re.Match[str], lines: list[str], line: int) -> _Spot:
    name, column, width = head[2], head.start(1) + 1, len(head[0].strip())
    for above in range(line - 1, 0, -1):
        other = _HEAD.match(lines[above - 1])
        if other and other[2] == name:
            here, there = head[0].strip(), other[0].strip()
            hint = f"Write [[{name}]] for each, if there may be several; else remove one of them."
            if head[1] != other[1]:
                hint = f"Write [[{name}]] for each of them."
            sentence = f"{there} stands in line {above} already"
            return _Spot(f"{here} where {sentence}", hint, line, column, width)
    return _Spot(f"'{name}' has a value already", "Remove one of them.", line, column, width)


def _endless(words: str, lines: list[str], at: tuple[int, int]) -> _Spot | None:
    """A text without its end, told where it begins."""
    if words.startswith(("Illegal character '\\n'", "Found invalid character '\\n'")):
        line = lines[at[0] - 1]
        key = _KEY.match(line)
        quote = line.find('"' if words.startswith("Illegal") else "'", key.end() if key else 0)
        hint = "It ends in the same line, with the quote that it begins with."
        return _Spot("a text has no end", hint, at[0], max(quote, 0) + 1)
    for quotes, part in (('"""', "Unterminated string"), ("'''", "Expected \"'''\"")):
        if not words.startswith(part):
            continue
        begun = [at for at, line in enumerate(lines, 1) if line.count(quotes) % 2]
        if begun:
            column = lines[begun[-1] - 1].rfind(quotes) + 1
            hint = f"It ends with {quotes}, as it begins."
            return _Spot("a text has no end", hint, begun[-1], column, 3)
    return None


def _slipped(words: str, lines: list[str], at: tuple[int, int]) -> _Spot:
    line = lines[at[0] - 1][:LINE_MAX] if at[0] <= len(lines) else ""
    for slip in _SLIPS:
        found = re.search(slip.line, line) if slip.words in words else None
        if found is None:
            continue
        parts = {name: part or "" for name, part in found.groupdict().items()}
        sentence = slip.sentence.format(**parts) or words
        if "at" not in parts:
            return _Spot(sentence, slip.hint.format(**parts), *at)
        width = max(len(parts["at"]), 1)
        return _Spot(sentence, slip.hint.format(**parts), at[0], found.start("at") + 1, width)
    return _Spot(words, "", *at)


_LINE = "Expected newline or end of document"
_VALUE = r"=\s*(?P<at>{})\s*(?:#.*)?$"
_DATE = "{at} is no date here"
_YMD = "Write {y}-{m:0>2}-{d:0>2}, without quotes."
_INLINE = "An inline table stands in one line, no comma at its end: {{ a = 'x', b = 'y' }}."
_QUOTED = "In a text between two \" a text stands between two ': when = \"spf.result == 'fail'\"."
_STRAIGHT = "Write straight quotes: \" or '."
_SLIPS = (
    _Slip("", _VALUE.format(r"(?P<d>\d\d?)[.-](?P<m>0?\d|1[0-2])[.-](?P<y>\d{4})"), _DATE, _YMD),
    _Slip("", _VALUE.format(r"(?P<m>0?\d|1[0-2])/(?P<d>1[3-9]|2\d|3[01])/(?P<y>\d{4})"), _DATE,
          _YMD),
    _Slip("", _VALUE.format(r"(?P<d>1[3-9]|2\d|3[01])/(?P<m>0?\d|1[0-2])/(?P<y>\d{4})"), _DATE,
          _YMD),
    _Slip("", _VALUE.format(r"\d\d?/\d\d?/\d{4}"), _DATE, "Write 2027-01-31, without quotes."),
    _Slip(_LINE, _VALUE.format(r"(?P<y>\d{4})[./-](?P<d>1[3-9]|2\d|3[01])[./-](?P<m>0?\d|1[0-2])"),
          _DATE, _YMD),
    _Slip(_LINE, _VALUE.format(r"(?P<y>\d{4})[./-](?P<m>\d\d?)[./-](?P<d>\d\d?)"), _DATE, _YMD),
    _Slip("Invalid date", _VALUE.format(r"[\d-]+"), "there is no day {at}",
          "Write a day that the calendar has."),
    _Slip("Invalid value", r"=\s*(?P<at>[“”„«»‘’‚`´])", "{at} is no quote here", _STRAIGHT),
    _Slip("Invalid value", _VALUE.format("(?i:true|yes|on)"), "", "Write true, in small letters."),
    _Slip("Invalid value", _VALUE.format("(?i:false|no|off)"), "",
          "Write false, in small letters."),
    _Slip("Invalid value", r"(?P<at>=)\s*(?:#.*)?$", "nothing stands behind '='",
          "Write key = value."),
    _Slip("Invalid value", _VALUE.format(r"\.\d+"), "", "Write 0{at}."),
    _Slip("Invalid value", "", "", 'Text stands in quotes: key = "value".'),
    _Slip(_LINE, _VALUE.format(r"(?P<a>[+-]?\d+),(?P<b>\d+)"), "", "Write {a}.{b}."),
    _Slip(_LINE, _VALUE.format(r"[\d.]+ ?[A-Za-z]+"), "", 'Write it in quotes: "{at}".'),
    _Slip(_LINE, _VALUE.format(r"0\d+"), "", "A number does not begin with 0."),
    _Slip(_LINE, r"(?P<at>,)\s*(?:#.*)?$", "", "Remove the comma: each key has a line of its own."),
    _Slip(_LINE, r"^\s*(?P<at>\[\s*(?P<name>[^\[\]]+)\]\])", "", "Write [[{name}]], or [{name}]."),
    _Slip(_LINE, r"=\s*[\"']", "", _QUOTED),
    _Slip("Expected ']]'", r"^\s*(?P<at>\[\[\s*(?P<name>[^\[\]]+)\])", "", "Write [[{name}]]."),
    _Slip("Expected '='", r"^\s*[\w.-]+(?P<at>:)", "", "Write key = value."),
    _Slip("Expected '='", r"^\s*(?P<at>[\w.-]+)\s+[\"'\d]", "", "Write {at} = value."),
    _Slip("Expected '='", "", "", "Write key = value; a comment begins with #."),
    _Slip("Duplicate inline table key", "", "", "Remove one of them."),
    _Slip("Unclosed inline table", "", "", _INLINE),
    _Slip("Invalid initial character for a key part", r"\{", "", _INLINE),
    _Slip("Unclosed array", "", "", 'Write ["a", "b"]: a comma between two, ] at the end.'),
    _Slip("Invalid statement", r"^\s*(?P<at>//|;|--|/\*)", "", "A comment begins with #."),
    _Slip("Invalid statement", "", "", "Write key = value, or [[table]]."),
    _Slip("Unescaped '\\'", "", "", "Write \\\\ for \\, or put the whole between three ' at each "
          "end."),
)  # fmt: skip
