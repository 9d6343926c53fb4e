r"""The header section: fields in order, duplicates kept, bytes kept.

RFC 5322 §2.2.  A field is its name and everything between the colon and the final
line break, as it came: `name + b":" + value + b"\r\n"` gives the wire's bytes back.
The fields are never decoded or folded anew; a signature would not survive it.  What
conditions ask for is decoded when they ask, once for each name.

Fails: never.  Lines that are no field end the section (RFC 5322 §2.1 asks for an
empty line; senders forget it), and what follows is the body.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from millrace.engine.mail.folding import unfold as unfold
from millrace.engine.mail.words import decode_words

FIELDS_MAX = 5000
TEXT_MAX = 1000  # characters of one field that conditions see
# one field: a name without blanks or colon, then lines until one that is not continued
_FIELD = re.compile(rb"([!-9;-~]+)([ \t]*:)((?:[^\n]*\n[ \t])*[^\n]*?)(?:\r?\n|\Z)")


class Field(NamedTuple):
    """One header field: its name, and the raw bytes after the colon."""

    name: bytes
    value: bytes

    @property
    def text(self) -> str:
        """The value unfolded and without outer blanks, for people and comparisons."""
        return unfold(self.value).decode("utf-8", "replace")


_field = functools.partial(tuple.__new__, Field)  # half the time of Field(*pair)


class Headers:
    """The header fields in order, with look-up by name, case aside."""

    __slots__ = ("_index", "_texts", "fields")

    def __init__(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.fields: tuple[Field, ...] = tuple(map(_field, fields))
        self._index: dict[bytes, list[Field]] | None = None
        self._texts: dict[bytes, str | None] | None = None

    @staticmethod
    def of(fields: Iterable[Field]) -> Headers:
        """A section of fields that are made already."""
        section = Headers()
        section.fields = tuple(fields)
        return section

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.fields == other.fields

    def __hash__(self) -> int:
        return hash(self.fields)

    def all(self, name: bytes) -> list[Field]:
        """Every field of that name, from the top down."""
        if self._index is None:
            index: dict[bytes, list[Field]] = {}
            for entry in self.fields:
                index.setdefault(entry.name.lower(), []).append(entry)
            self._index = index
        return self._index.get(name.lower(), [])

    def first(self, name: bytes) -> bytes | None:
        """The topmost value of that name, raw, or None."""
        found = self.all(name)
        return found[0].value if found else None

    def text(self, name: bytes) -> str | None:
        """The topmost field of that name as people read it, or None.

        Unfolded, encoded words decoded (RFC 2047), at most 1,000 characters.
        """
        if self._texts is None:
            self._texts = {}
        if name not in self._texts:
            value = self.first(name)
            self._texts[name] = None if value is None else decode_words(value)[:TEXT_MAX]
        return self._texts[name]

    @property
    def subject(self) -> str | None:
        """Subject as people read it; None where the mail has none."""
        return self.text(b"Subject")

    @property
    def count(self) -> int:
        """How many fields there are."""
        return len(self.fields)

    @property
    def hops(self) -> int:
        """How many servers wrote a Received field."""
        return len(self.all(b"Received"))

    @property
    def raw(self) -> bytes:
        """The bytes on the wire, without the empty line that ends the section."""
        return b"".join([b"%b:%b\r\n" % pair for pair in self.fields])


def parse(raw: bytes) -> tuple[list[Field], int, bytes]:
    """Split raw bytes with CRLF or LF line ends into fields.

    Returns the fields, the offset where the body begins, and the separator between
    them: the empty line, or b"" where the sender forgot it.
    """
    fields: list[Field] = []
    at = 0
    match = _FIELD.match
    while len(fields) < FIELDS_MAX:
        found = match(raw, at)
        if not found or found.end() == at:
            break
        # blanks before the colon (RFC 5322 §4.5.8, obsolete) stay part of the name
        fields.append(Field(found[1] + found[2][:-1], found[3]))
        at = found.end()
    for separator in (b"\r\n", b"\n"):
        if raw.startswith(separator, at):
            return fields, at + len(separator), separator
    return fields, at, b""
