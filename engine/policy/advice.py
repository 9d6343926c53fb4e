"""What a newcomer probably meant by a text that is no expression.

Conditions look like those of other languages, of Sieve, rspamd or a shell; each habit is told
what to type here.  Where no habit is known, Python's own words are.

Fails: never; this makes the words of a failure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from millrace.engine.options import OCTETS, SECONDS

Found = re.Match[str]
ALLOWED = "Names, 'text', numbers, [lists], and or not, == != < <= > >= in, + - * /, functions."


class Advice(NamedTuple):
    """What is wrong, how to mend it, and where in the text."""

    sentence: str
    hint: str
    offset: int
    width: int = 1


class _Habit(NamedTuple):
    """A pattern outside of quotes; `{}` is what was found."""

    pattern: str
    sentence: str
    hint: str | Callable[[Found], str]


def advice(text: str, words: str, offset: int) -> Advice:
    """The first habit that the text shows; else the parser's own words, at its own place."""
    bare = _TEXT.sub(lambda found: "'" + " " * (len(found[0]) - 2) + "'", text)
    shown = [(found, habit) for habit in _HABITS if (found := re.search(habit.pattern, bare))]
    if shown:
        found, (_, sentence, hint) = min(shown, key=lambda each: each[0].start())
        told = hint if isinstance(hint, str) else hint(found)
        return Advice(sentence.format(found[0].strip()), told, found.start(), len(found[0]))
    if "unterminated string" in words:
        return Advice("a text has no end", "A text stands between two quotes: 'x'.", offset)
    hint = next((hint for part, hint in _BRACKETS.items() if part in words), ALLOWED)
    return Advice(f"is no condition: {words}", hint, offset)


def _in_one_word(found: Found) -> str:
    return f"Write {''.join(found[0].split())}."


def _as_share(found: Found) -> str:
    return f"A share goes from 0 to 1: write {float(found[1]) / 100:g}."


def _as_text(found: Found) -> str:
    return f"An address stands in quotes: '{found[0]}'."


def _with_a_point(found: Found) -> str:
    whole, *rest = "".join(found[0].split()).split(",")
    if len(rest) > 1:
        return f"Write {whole}{''.join(rest)}."
    thousands = re.match(r"\d{3}(?!\d)", rest[0])
    return f"Write {whole}.{rest[0]}" + (f", or {whole}{rest[0]}." if thousands else ".")


def _with_its_letter(found: Found) -> str:
    return f"Write {found[1]}{'B' if found[2] == 'byte' else found[2][0]}."


def _without_points(found: Found) -> str:
    return f"Write {found[0].replace('.', '')}."


_FOREIGN = "'{}' is not of this language"
_FINDING = "Write 'x' in TEXT, or matches(TEXT, 'regular expression')."
_MATCHING = "Write matches(TEXT, 'regular expression')."
_COMPARE = "Write == to compare."
_ALONE = 'A condition stands alone; what becomes of the mail is the key "then".'
_UNITS = "|".join((*OCTETS, *SECONDS))
_SPOKEN = "second|sec|minute|min|hour|hr|day|week|year|byte"
_JOINING = "Write what it joins, or take it away."
_HABITS = (
    _Habit(
        rf"(?:(?<=[<>=])|(?<=[<>=] ))\d+(?:,\d+)+(?:\s+(?:{_UNITS})\b)?",
        "'{}' is no number",
        _with_a_point,
    ),
    _Habit(r"(?<![\w.])\d+(?: \d{3})+\b", "'{}' is no number", _in_one_word),
    _Habit(rf"\b(\d[\d_.]*+)\s+({_SPOKEN})s?\b", "'{}' is no amount", _with_its_letter),
    _Habit(r"[≠≤≥]", _FOREIGN, "Write !=, <= or >=."),
    _Habit(r"[\u2010-\u2015\u2212]", "{} is no minus sign here", "Write - as the keyboard has it."),
    _Habit(r"!~", _FOREIGN, "Write not matches(TEXT, 'regular expression')."),
    _Habit(r"(?:(?<==)|(?<== ))/[^/]*/\w*", _FOREIGN, _MATCHING),
    _Habit(r"\b(?:equals?|eq)\b", _FOREIGN, _COMPARE),
    _Habit(r"\b(?:and|or)\s+(?:and|or)\b", "'{}' are two", "Take one of them away."),
    _Habit(r"(?:[=!<>]=|[<>])\s*$", "nothing follows '{}'", "Write what to compare with."),
    _Habit(r";", _FOREIGN, "A condition stands alone; and, or join two."),
    _Habit(
        r"[\u2018-\u201f\u00ab\u00bb`\u00b4]", "{} is no quote here", "Write straight quotes: 'x'."
    ),
    _Habit(r"=>|=<|<>", _FOREIGN, "Write >=, <= or !=."),
    _Habit(r"=~|(?<![=!])~", _FOREIGN, _MATCHING),
    _Habit(r"(?<![=!<>])=(?![=~>])", "'=' sets a value; a condition compares", _COMPARE),
    _Habit(r"===", _FOREIGN, _COMPARE),
    _Habit(r"&&|\|\|", "'&&' and '||' are not of this language", "Write and, or, not."),
    _Habit(r"!(?![=~])", _FOREIGN, "Write not."),
    _Habit(
        r"(?<![\w.])pass(?!\w)", "nothing here is called 'pass'", "Text stands in quotes: 'pass'."
    ),
    _Habit(r"\bmatches\b(?!\s*\()", "'{}' is a function", _MATCHING),
    _Habit(r"\b(?:contains|like|startswith|endswith)\b", _FOREIGN, _FINDING),
    _Habit(r"\b(?:AND|OR|NOT|IN)\b", "'{}' is written in small letters", "Write and, or, not, in."),
    _Habit(r"^\s*(?:and|or)\b", "nothing stands before '{}'", _JOINING),
    _Habit(r"\b(?:and|or|not|in)\s*$", "nothing follows '{}'", _JOINING),
    _Habit(r"^\s*(?:if|when)\b|\bthen\b|\?", _FOREIGN, _ALONE),
    _Habit(rf"\b\d[\d_.]*+\s+(?:{_UNITS})\b", "'{}' is an amount in two words", _in_one_word),
    _Habit(r"\b(\d+(?:\.\d+)?)\s*%(?!\s*[\w(])", _FOREIGN, _as_share),
    _Habit(r"\b\d{1,3}(?:\.\d{1,3}){3}(?:/\d+)?", "{} is no number", _as_text),
    _Habit(r"\b[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){2,}(?:/\d+)?", "{} is no number", _as_text),
    _Habit(r"\b\d{1,3}(?:\.\d{3}){2,}\b(?!\.)", "'{}' is no number", _without_points),
    _Habit(r"(?<=[\w\])])\s*:", _FOREIGN, _COMPARE),
)
_BRACKETS = {
    "was never closed": "Write the bracket that closes it.",
    "unmatched": "Take it away, or write the bracket that opens it.",
    "does not match opening": "Write the bracket that closes the one before it.",
}
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.S)
