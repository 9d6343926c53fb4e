"""Reads tables of a policy file: keys, texts, dates and conditions.

Fails: `fault` raises `Misconfigured` when there are too many; else faults are collected,
and the loader raises them together.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from millrace.engine.document import Document, Path_, meant
from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.mail.verdict import ACTIONS
from millrace.engine.policy.expr import (
    Expression,
    Misfit,
    compile_condition,
    compile_text,
)
from millrace.engine.policy.listing import Lists
from millrace.engine.policy.rule import Terms, Vocabulary

T = TypeVar("T")
FAULTS_MAX = 100


class Reader:
    """One document; `words` are the names that its conditions may use."""

    def __init__(self, document: Document, vocabulary: Vocabulary, lists: Lists) -> None:
        self.document, self.lists = document, lists
        self.words = dict(vocabulary)
        self.faults: list[Fault] = []

    def each(self, key: str, read: Callable[[Path_, dict[str, Any]], T | None]) -> list[T]:
        """What `read` makes of every `[[key]]`."""
        tables = self.document.data.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
            self.fault((key,), f"'{key}' is written [[{key}]]")
            return []
        found = [read((key, at), table) for at, table in enumerate(tables)]
        return [entry for entry in found if entry is not None]

    def expression(
        self,
        path: Path_,
        text: object,
        *,
        number: bool = False,
        condition: bool = True,
        shift: int = 0,
    ) -> Expression | None:
        """A compiled condition, or number, or any value; None with a fault."""
        if not isinstance(text, str):
            self.fault(path, "is a text in quotes that holds a condition", offset=0)
            return None
        try:
            names = {name: word.kind for name, word in self.words.items()}
            compiles = compile_condition if condition and not number else compile_text
            found = compiles(text, names, self.lists)
            if number and found.kind.word != "number":
                raise Misfit(f"add wants a number, this is {found.kind.shown}", "", 0, len(text))
        except Misfit as misfit:
            self.fault(path, misfit.sentence, misfit.hint, misfit.offset + shift, misfit.width)
            return None
        return found

    def only(self, path: Path_, table: Mapping[str, Any], known: Iterable[str]) -> None:
        """Refuse every other key."""
        for key in table:
            if key not in known:
                self.fault((*path, key), f"unknown key '{key}'", meant(key, known))

    def has(self, path: Path_, table: Mapping[str, Any], *keys: str) -> bool:
        """Whether these keys are there, and the name is a text."""
        missing = [key for key in keys if not (table.get(key) or table.get(key) == 0)]
        for key in missing:
            self.fault(path, f"'{key}' is missing here", _NEEDED.get(key, ""))
        if "name" not in missing and not isinstance(table["name"], str):
            self.fault((*path, "name"), "name is a text in quotes", offset=0)
            return False
        if "name" not in missing and not (table["name"].isprintable() and table["name"].strip()):
            sentence = "name is one line of letters that can be seen"
            self.fault((*path, "name"), sentence, 'Write name = "what-it-is-about".', offset=0)
            return False
        return not missing

    def text(self, path: Path_, table: Mapping[str, Any], key: str) -> str:
        """A text, "" where it is not there."""
        value = table.get(key, "")
        if isinstance(value, str):
            return value
        self.fault((*path, key), f"{key} is a text in quotes", offset=0)
        return ""

    def truth(self, path: Path_, table: Mapping[str, Any], key: str, default: bool) -> bool:
        """True or false."""
        value = table.get(key, default)
        if isinstance(value, bool):
            return value
        self.fault((*path, key), f"{key} is true or false, without quotes", offset=0)
        return default

    def terms(self, path: Path_, table: Mapping[str, Any]) -> Terms:
        """Why, who, until when."""
        expires = table.get("expires")
        if type(expires) not in (datetime.date, type(None)):
            hint = "Write expires = 2027-01-31, without quotes."
            self.fault((*path, "expires"), "expires is a date", hint, offset=0)
            expires = None
        why, owner, note = (self.text(path, table, key) for key in ("why", "owner", "note"))
        return Terms(why, owner, expires, note)

    def fault(
        self, path: Path_, sentence: str, hint: str = "", offset: int | None = None, width: int = 1
    ) -> None:
        """Note what is wrong at a key, or at a character of its text."""
        self.faults.append(self.document.fault(path, sentence, hint, offset=offset, width=width))
        if len(self.faults) >= FAULTS_MAX:
            more = f"has more faults; these are the first {FAULTS_MAX}"
            raise Misconfigured(*self.faults, Fault(more, place=Place(self.document.name)))


_NEEDED = {
    "name": 'Write name = "what-it-is-about": it stands in logs and records.',
    "when": "Write when = \"spf.result == 'fail'\".",
    "then": f'Write then = "tag".\none of: {" ".join(sorted(ACTIONS))}',
    "add": "Write add = 2.5, or a computation in quotes.",
}
