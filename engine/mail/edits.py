"""Edits: what shall be changed about a mail that we take, as data.

The set is what a milter can ask of its MTA (and the native server does itself):
RFC 5322 header fields, the body, and the envelope.  `edited` applies a list of
them in order, so that the archive and the signer see what will be delivered.

Positions: `InsertHeader.index` counts fields from the top, 0 is above all.
`ChangeHeader.index` and `RemoveHeader.index` count fields *of that name*, from 1,
as they stood before any edit; RemoveHeader leaves the numbers of the others alone.
Of two edits of one field the first one counts: the second was made for what is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from millrace.engine.mail.address import Address
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.headers import Field, Headers
from millrace.engine.mail.message import Body, Message


@dataclass(frozen=True, slots=True)
class AddHeader:
    """Append a field below the last one."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class InsertHeader:
    """Put a field at a position from the top."""

    name: str
    value: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class ChangeHeader:
    """Replace the value of the n-th field of that name; append it if there is none."""

    name: str
    value: str
    index: int = 1


@dataclass(frozen=True, slots=True)
class RemoveHeader:
    """Take out the n-th field of that name."""

    name: str
    index: int = 1


@dataclass(frozen=True, slots=True)
class ReplaceBody:
    """Put another body in place of the whole one; CRLF line ends."""

    body: bytes


@dataclass(frozen=True, slots=True)
class ChangeSender:
    """Set another reverse-path; None is the null sender."""

    address: Address | None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """Deliver to one more."""

    address: Address
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoveRecipient:
    """Do not deliver to this one."""

    address: Address


Edit = (
    AddHeader
    | InsertHeader
    | ChangeHeader
    | RemoveHeader
    | ReplaceBody
    | ChangeSender
    | AddRecipient
    | RemoveRecipient
)


@dataclass(frozen=True, slots=True)
class Edited:
    """The mail as it will be delivered."""

    envelope: Envelope
    message: Message


def edited(envelope: Envelope, message: Message, edits: Iterable[Edit]) -> Edited:
    """Apply all edits in order; the originals stay as they are."""
    section = _Section(message.headers)
    body = message.body
    for edit in edits:
        match edit:
            case AddHeader() | InsertHeader() | ChangeHeader() | RemoveHeader():
                section.apply(edit)
            case ReplaceBody():
                body = Body(edit.body)
            case _:
                envelope = _readdressed(envelope, edit)
    return Edited(envelope, Message(section.headers, body, message.separator or b"\r\n"))


def readdressed(envelope: Envelope, edits: Iterable[Edit]) -> Envelope:
    """The envelope alone after some edits."""
    for edit in edits:
        envelope = _readdressed(envelope, edit)
    return envelope


def _readdressed(envelope: Envelope, edit: Edit) -> Envelope:
    match edit:
        case ChangeSender():
            return replace(envelope, sender=Sender(edit.address, edit.options))
        case AddRecipient() if all(r.address != edit.address for r in envelope.recipients):
            added = Recipient(edit.address, edit.options)
            return replace(envelope, recipients=(*envelope.recipients, added))
        case RemoveRecipient():
            left = tuple(r for r in envelope.recipients if r.address != edit.address)
            return replace(envelope, recipients=left)
    return envelope


class _Section:
    """A header section under edit; removed fields keep their place until the end."""

    def __init__(self, headers: Headers) -> None:
        self._fields: list[Field | None] = list(headers.fields)
        self._original = headers

    @property
    def headers(self) -> Headers:
        return Headers(entry for entry in self._fields if entry is not None)

    def apply(self, edit: AddHeader | InsertHeader | ChangeHeader | RemoveHeader) -> None:
        match edit:
            case AddHeader():
                self._fields.append(field_of(edit.name, edit.value))
            case InsertHeader():
                self._insert(edit)
            case ChangeHeader() | RemoveHeader():
                self._substitute(edit)

    def _insert(self, edit: InsertHeader) -> None:
        at = standing_place(self._fields, edit.index)
        self._fields.insert(at, field_of(edit.name, edit.value))

    def _substitute(self, edit: ChangeHeader | RemoveHeader) -> None:
        wanted = self._original.all(edit.name.encode("utf-8"))
        new = field_of(edit.name, edit.value) if isinstance(edit, ChangeHeader) else None
        if edit.index > len(wanted):
            if new is not None:
                self._fields.append(new)
            return
        target = wanted[max(edit.index, 1) - 1]
        for at, entry in enumerate(self._fields):
            if entry is target:
                self._fields[at] = new
                return


def standing_place(places: Sequence[object | None], index: int) -> int:
    """Where to insert so that `index` places stand above; None is a removed field's place."""
    at = 0
    standing = 0
    while at < len(places) and standing < index:
        standing += places[at] is not None
        at += 1
    return at


def field_of(name: str, value: str) -> Field:
    """A field of ours as it goes out: one blank after the colon, CRLF folds, no stray breaks."""
    text = value.replace("\r\n", "\n").replace("\r", "").replace("\0", "")
    first, *more = text.split("\n")
    # RFC 5322 §3.2.2: no line of a folded field is made up of blanks alone
    more = [line for line in more if line.strip(" \t")]
    folded = "\n".join([first, *(line if line[0] in " \t" else "\t" + line for line in more)])
    raw = folded.replace("\n", "\r\n").encode("utf-8", "surrogateescape")
    clean = "".join(ch for ch in name if "!" <= ch <= "~" and ch != ":")
    return Field(clean.encode("ascii"), b" " + raw)
