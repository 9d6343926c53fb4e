"""Texts of a rule that are filled for each mail: replies, reasons, header fields.

Fails: each reader gives None and a fault through the reader that it was called with.
"""

from __future__ import annotations

import re
from typing import Any

from millrace.engine.document import Path_
from millrace.engine.mail.verdict import Action, Reply
from millrace.engine.policy.expr import TEXT_MAX
from millrace.engine.policy.reader import Reader
from millrace.engine.policy.rule import PLACEHOLDER, Template

HEADER_MAX = 900  # characters of one field as written; RFC 5322 §2.1.1 allows 998 octets a line
_FIELD = re.compile(r"[!-9;-~]{1,76}")
_OWN = frozenset({
    "bcc", "cc", "content-transfer-encoding", "content-type", "date", "dkim-signature", "from",
    "in-reply-to", "message-id", "mime-version", "received", "references", "reply-to",
    "return-path", "sender", "subject", "to",
})  # fmt: skip


def template(reader: Reader, path: Path_, text: str) -> Template | None:
    """A text with its placeholders compiled."""
    if len(text) > TEXT_MAX:
        reader.fault(path, f"is longer than {TEXT_MAX} characters", offset=0)
        return None
    rest = PLACEHOLDER.sub(lambda found: " " * len(found[0]), text)
    if stray := re.search(r"[{}]", rest):
        other = {"{": "}", "}": "{"}[stray[0]]
        sentence, hint = f"'{stray[0]}' without its '{other}'", "A placeholder is {from.domain}."
        reader.fault(path, sentence, hint, stray.start())
        return None
    parts = []
    for found in PLACEHOLDER.finditer(text):
        part = reader.expression(path, found[1], shift=found.start(1), condition=False)
        if part is None:
            return None
        if part.kind.word in ("record", "list", "listing"):
            what = {"record": "a whole fact", "list": "a list"}.get(part.kind.word, "a named list")
            sentence = f"is {what}, not a text"
            reader.fault(path, sentence, "Name a field.", found.start(1), len(found[1]))
            return None
        parts.append(part)
    return Template(text, tuple(parts))


def reply(
    reader: Reader, path: Path_, table: dict[str, Any], action: Action | None
) -> Template | None:
    """What the sender is told; its code must fit the action."""
    text, path = reader.text(path, table, "reply"), (*path, "reply")
    try:
        written = Reply.parse(text)
    except ValueError as error:
        hint = 'Write reply = "550 5.7.1 words", or leave the line out.'
        reader.fault(path, str(error), hint, offset=0)
        return None
    digit = {Action.DEFER: 4, Action.REJECT: 5}.get(action or Action.PASS)
    if digit is None and action is not None:
        reader.fault(path, f"'{action.word}' gives no reply", "Remove the line.")
    elif digit and written.code // 100 != digit:
        sentence = f"a reply of '{table['then']}' begins with {digit}"
        reader.fault(path, sentence, f"Write {digit}{text.strip()[1:3]} …", offset=0)
    return template(reader, path, text)


def headers(
    reader: Reader, path: Path_, table: dict[str, Any]
) -> tuple[tuple[str, Template], ...] | None:
    """The fields that a rule adds, in the order of the file."""
    wanted, path = table.get("add_header", {}), (*path, "add_header")
    if not isinstance(wanted, dict):
        reader.fault(path, "add_header is a table", 'Write add_header = { X-Team = "abuse" }.')
        return None
    found = [(name, _header(reader, (*path, name), name, text)) for name, text in wanted.items()]
    read = tuple((name, value) for name, value in found if value is not None)
    return read if len(read) == len(found) else None


def _header(reader: Reader, path: Path_, name: str, text: object) -> Template | None:
    if not _FIELD.fullmatch(name):
        reader.fault(path, f"{name!r} is no name of a header field", "Letters, digits and '-'.")
    elif name.lower() in _OWN:
        sentence = f"a mail has its own '{name}', and a second one would mislead"
        reader.fault(path, sentence, f"Write X-{name}.")
    elif not isinstance(text, str):
        reader.fault(path, "a header field is a text in quotes", offset=0)
    elif len(text) > HEADER_MAX or not (text.isascii() and text.isprintable()):
        sentence = f"a header field is one line of plain ASCII, at most {HEADER_MAX} characters"
        reader.fault(path, sentence, "Longer texts belong into note.", offset=0)
    else:
        return template(reader, path, text)
    return None
