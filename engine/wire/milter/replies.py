"""What a filter tells an MTA, as values, and their way to and from the wire.

Answers end a step; edits (the values of `engine.mail.edits`) and a quarantine come at
the end of a message, before its answer.  A refusal with words of its own is a `Reply`.

Postfix does not know CONNECTION_FAILURE, and refuses DISCARD before MAIL.
Fails: Bug for what was not granted or cannot travel; ProtocolError when reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from millrace.engine.errors import Bug, ProtocolError
from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    Edit,
    InsertHeader,
    RemoveHeader,
    RemoveRecipient,
    ReplaceBody,
)
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire.milter.codes import Act, Command
from millrace.engine.wire.milter.fields import (
    header_pair,
    parameters,
    path,
    reason,
    reply_lines,
)
from millrace.engine.wire.milter.packets import LONG, packet
from millrace.engine.wire.milter.terms import Negotiate, Terms

_INDEX_MAX = 0x7FFFFFFF


class Answer(Enum):
    """An answer of one byte; `packet` is the whole of it, `final` whether the step ends."""

    ACCEPT = b"a"
    CONTINUE = b"c"
    REJECT = b"r"
    TEMPFAIL = b"t"
    DISCARD = b"d"
    SKIP = b"s"
    SHUTDOWN = b"4"
    CONNECTION_FAILURE = b"f"
    PROGRESS = b"p"

    def __init__(self, byte: bytes) -> None:
        self.packet = packet(byte[0])
        self.final = byte != b"p"


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Take the mail and hold it; Postfix ignores the reason, Sendmail shows it."""

    reason: str


Message = Answer | Reply | Quarantine | Edit


def final(message: Message | Negotiate) -> bool:
    """Whether this ends the step that it answers; edits, quarantine and progress do not."""
    return message.final if isinstance(message, Answer) else isinstance(message, Reply | Negotiate)


def action_of(message: Message) -> Act | None:
    """The action that must have been granted for it; None for an answer."""
    if isinstance(message, AddRecipient) and message.options:
        return Act.ADD_RECIPIENT_WITH_OPTIONS
    known = _WRITERS.get(type(message))
    return known[0] if known else None


def encode(message: Message, terms: Terms) -> bytes:
    """The packet, or the packets, of a reply under these terms."""
    if isinstance(message, Answer):
        if message is Answer.SKIP and not terms.skip:
            raise Bug("the MTA does not take SKIP")
        return message.packet
    if isinstance(message, Reply):
        return packet(ord("y"), reply_lines(message) + b"\0")
    write = _WRITERS[type(message)][1]
    if not terms.may(action_of(message) or 0):
        raise Bug(f"{type(message).__name__} was not granted by the MTA")
    return write(message, terms)


def _quarantine(message: Quarantine, _: Terms) -> bytes:
    return packet(ord("q"), reason(message.reason) + b"\0")


def _add_header(edit: AddHeader, terms: Terms) -> bytes:
    pair = header_pair(edit.name, edit.value, leading_space=terms.leading_space)
    return packet(ord("h"), pair)


def _insert_header(edit: InsertHeader, terms: Terms) -> bytes:
    pair = header_pair(edit.name, edit.value, leading_space=terms.leading_space)
    return packet(ord("i"), LONG.pack(min(edit.index, _INDEX_MAX)) + pair)


def _change_header(edit: ChangeHeader, terms: Terms) -> bytes:
    # a value of no bytes would delete the field; a blank is the least that keeps it
    value = edit.value if edit.value or terms.leading_space else " "
    pair = header_pair(edit.name, value, leading_space=terms.leading_space)
    return packet(ord("m"), LONG.pack(min(edit.index, _INDEX_MAX)) + pair)


def _remove_header(edit: RemoveHeader, _: Terms) -> bytes:
    pair = header_pair(edit.name, "", leading_space=False)
    return packet(ord("m"), LONG.pack(min(edit.index, _INDEX_MAX)) + pair)


def _replace_body(edit: ReplaceBody, terms: Terms) -> bytes:
    # in one go: Postfix takes no second round once another edit stood between
    body, chunk = edit.body, terms.chunk
    starts = range(0, max(len(body), 1), chunk)
    return b"".join(packet(ord("b"), body[at : at + chunk]) for at in starts)


def _change_sender(edit: ChangeSender, _: Terms) -> bytes:
    return packet(ord("e"), _with_options(path(edit.address), edit.options))


def _add_recipient(edit: AddRecipient, _: Terms) -> bytes:
    command = ord("2") if edit.options else ord("+")
    return packet(command, _with_options(path(edit.address), edit.options))


def _remove_recipient(edit: RemoveRecipient, _: Terms) -> bytes:
    return packet(ord("-"), path(edit.address) + b"\0")


def _with_options(where: bytes, options: tuple[str, ...]) -> bytes:
    return where + b"\0" + (parameters(options) + b"\0" if options else b"")


_WRITERS: Mapping[type[Any], tuple[Act, Callable[[Any, Terms], bytes]]] = {
    Quarantine: (Act.QUARANTINE, _quarantine),
    AddHeader: (Act.ADD_HEADERS, _add_header),
    InsertHeader: (Act.ADD_HEADERS, _insert_header),
    ChangeHeader: (Act.CHANGE_HEADERS, _change_header),
    RemoveHeader: (Act.CHANGE_HEADERS, _remove_header),
    ReplaceBody: (Act.REPLACE_BODY, _replace_body),
    ChangeSender: (Act.CHANGE_SENDER, _change_sender),
    AddRecipient: (Act.ADD_RECIPIENT, _add_recipient),
    RemoveRecipient: (Act.REMOVE_RECIPIENT, _remove_recipient),
}


# the MTA's side ---------------------------------------------------------------------------


def parse(command: int, payload: bytes, terms: Terms) -> Message | Negotiate:
    """The reply of a packet, as an MTA reads it; a header value loses its one blank."""
    byte = bytes((command,))
    if byte in _ANSWERS:
        if payload:  # Postfix hangs up here, too
            raise ProtocolError(f"The filter's answer {byte!r} carries data")
        return _ANSWERS[byte]
    read = _READERS.get(byte)
    if read is None:
        raise ProtocolError(f"A milter reply {byte!r} does not exist")
    return read(payload, terms)


_ANSWERS: Mapping[bytes, Answer] = {answer.value: answer for answer in Answer}
_LINE = re.compile(r"([45]\d\d)[- ]?(?:([45]\.\d{1,3}\.\d{1,3}) ?)?(.*)", re.S | re.A)


def _reply_of(payload: bytes, _: Terms) -> Reply:
    text = payload.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    text = re.sub("%(.?)", r"\1", text, flags=re.S)  # as Postfix: '%%' is '%', a single one goes
    lines = [_LINE.fullmatch(line) for line in text.split("\r\n")]
    found = [line for line in lines if line]
    if len(found) != len(lines) or any(line[1] != found[0][1] for line in found):
        raise ProtocolError("The filter's reply is not a list of SMTP lines")
    return Reply(int(found[0][1]), found[0][2] or "", "\n".join(line[3] for line in found))


def _quarantine_of(payload: bytes, _: Terms) -> Quarantine:
    return Quarantine(_texts(payload, 1)[0])


def _added_of(payload: bytes, terms: Terms) -> AddHeader:
    name, value = _texts(payload, 2)
    return AddHeader(name, _bare(value, terms))


def _inserted_of(payload: bytes, terms: Terms) -> InsertHeader:
    name, value = _texts(payload[LONG.size :], 2)
    return InsertHeader(name, _bare(value, terms), _index(payload))


def _changed_of(payload: bytes, terms: Terms) -> ChangeHeader | RemoveHeader:
    name, value = _texts(payload[LONG.size :], 2)
    index = max(_index(payload), 1)  # Postfix and Sendmail read 0 as 1
    return ChangeHeader(name, _bare(value, terms), index) if value else RemoveHeader(name, index)


def _sender_of(payload: bytes, _: Terms) -> ChangeSender:
    where, *options = _texts(payload, 1, 2)
    return ChangeSender(_address(where), tuple(" ".join(options).split()))


def _recipient_of(payload: bytes, _: Terms) -> AddRecipient:
    where, *options = _texts(payload, 1, 2)
    return AddRecipient(_somebody(where), tuple(" ".join(options).split()))


def _removed_of(payload: bytes, _: Terms) -> RemoveRecipient:
    return RemoveRecipient(_somebody(_texts(payload, 1)[0]))


_READERS: Mapping[bytes, Callable[[bytes, Terms], Message | Negotiate]] = {
    bytes((Command.NEGOTIATE,)): lambda payload, _: Negotiate.parse(payload),
    b"y": _reply_of,
    b"q": _quarantine_of,
    b"h": _added_of,
    b"i": _inserted_of,
    b"m": _changed_of,
    b"b": lambda payload, _: ReplaceBody(payload),
    b"e": _sender_of,
    b"+": _recipient_of,
    b"2": _recipient_of,
    b"-": _removed_of,
}


def _texts(payload: bytes, least: int, most: int = 0) -> list[str]:
    count = payload.count(b"\0")
    if payload[-1:] != b"\0" or not least <= count <= max(least, most):
        raise ProtocolError("A reply of the filter is cut short")
    return payload[:-1].decode("utf-8", "surrogateescape").split("\0")


def _index(payload: bytes) -> int:
    return int.from_bytes(payload[: LONG.size], "big")


def _bare(value: str, terms: Terms) -> str:
    return value.removeprefix(" ") if terms.leading_space else value


def _address(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except ValueError as problem:
        raise ProtocolError(f"The filter's address is none: {problem}") from problem


def _somebody(text: str) -> Address:
    address = _address(text)
    if address is None:
        raise ProtocolError("The filter names no recipient")
    return address
