"""A list of regular expressions, all tried at once, in linear time (RE2).

Each process compiles them for itself: what RE2 makes of them cannot lie in a file.

Fails: `check` raises `Unfit` for what is no pattern, `Patterns` ValueError for more than RE2 can
take; both raise `Misconfigured` in a process without RE2.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.lists.entries import FOREVER, Unfit
from millrace.engine.lists.image import Image

TEXT_MAX = 1 << 20  # characters of a text that are looked at
PATTERNS_MAX = 20_000
MEMORY = 64 << 20  # octets that RE2 may take for a list
_MISSING = "lists of patterns need RE2, which is not installed"
_INSTALL = "pip install google-re2, or pip install 'millrace[regexp]'."


def library() -> Any:  # noqa: ANN401 - a module without types
    """RE2; raises `Misconfigured` where it is missing."""
    try:
        return importlib.import_module("re2")
    except ImportError:
        raise Misconfigured(Fault(_MISSING, _INSTALL)) from None


def refusal(pattern: str) -> str:
    """Why RE2 does not take a pattern; "" when it does."""
    re2 = library()
    try:
        re2.compile(pattern, _options(re2))
    except re2.error as error:
        told = error.args[0] if error.args else "cannot be read"
        return told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
    return ""


def found(pattern: str, text: str) -> bool:
    """Whether a pattern is found in a text; not, where it is no pattern."""
    re2 = library()
    try:
        return re2.compile(pattern, _options(re2)).search(text[:TEXT_MAX]) is not None
    except re2.error:
        return False


def check(pattern: str) -> None:
    """Raises `Unfit` for a pattern that RE2 does not take."""
    why = refusal(pattern)
    if why:
        hint = "Look-around and back-references are not of this language: they may take for ever."
        raise Unfit(f"is no regular expression: {why}", hint, 1, len(pattern))


def _options(re2: Any) -> Any:  # noqa: ANN401
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MEMORY
    return options


class Patterns:
    """Holds every text in which one of the patterns is found."""

    def __init__(self, image: Image, clock: Callable[[], float]) -> None:
        entries: Sequence[tuple[str, int]] = image.head["patterns"]
        self._ends = [until for _, until in entries]
        self._clock = clock
        self._match: Callable[[str], list[int] | None] = self._compiled(
            [text for text, _ in entries]
        )

    @staticmethod
    def _compiled(texts: list[str]) -> Callable[[str], list[int] | None]:
        if not texts:
            return lambda _: []
        re2 = library()
        made = re2.Set.SearchSet(_options(re2))
        try:
            for text in texts:
                made.Add(text)
            made.Compile()
        except re2.error:
            raise ValueError("holds more than RE2 can search for at once: split it") from None
        match: Callable[[str], list[int] | None] = made.Match
        return match

    def holds(self, value: str) -> bool:
        text = value[:TEXT_MAX].encode("utf-8", "replace").decode()
        ends, now = self._ends, self._clock()
        return any(ends[at] == FOREVER or ends[at] > now for at in self._match(text) or ())

    def value(self, key: str) -> str | None:
        return None
