"""What a mail says: its words, its links and what hangs on it, within a budget.

At most 512 KiB of the body are opened and 32 KiB of text kept.  Text parts share the budget,
so that a long plain part cannot hide a short HTML one behind it.

A charset is guessed (charset-normalizer) only where none is declared and the bytes are
not UTF-8, from at most 4 KiB: the guess costs as much as all the rest together.

Fails:  never, whatever the bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from charset_normalizer import from_bytes

from millrace.engine.mail import charset
from millrace.engine.mail.message import Message
from millrace.engine.mail.mime import Part, decode, walk
from millrace.models import html
from millrace.models.html import Link

BODY_MAX = 1 << 19
TEXT_MAX = 1 << 15
GUESS_MAX = 1 << 12
SHARES_MAX = 4  # text parts that the budget is divided among
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
_BARE_LINK = re.compile(rb"://[^\s<>\"')\]]{1,300}")


@dataclass(frozen=True, slots=True)
class Reading:
    """`text` and `links` in UTF-8; `kinds` are the text types seen, `signs` oddities by name.

    `attachments` are types of the parts that are no text: an extension (".pdf") or a type.
    """

    text: bytes = b""
    links: tuple[Link, ...] = ()
    kinds: frozenset[str] = frozenset()
    signs: frozenset[str] = frozenset()
    attachments: frozenset[str] = frozenset()
    gtube: bool = False
    unreadable: bool = False


def read(message: Message) -> Reading:
    """Read a mail."""
    body = message.body.head(BODY_MAX)
    parts = walk(message.headers, body)
    texts = [part for part in parts if _is_text(part)]
    share = TEXT_MAX // max(1, min(len(texts), SHARES_MAX))
    pieces: list[bytes] = []
    links: list[Link] = []
    signs: set[str] = set()
    left, too_deep = TEXT_MAX, False
    for part in texts:
        if left <= 0:
            break
        if part.content_type == "text/html":
            page = html.read(_utf8(part, body, html.HTML_MAX, signs))
            text = page.text[:share]
            links += page.links[: html.LINKS_MAX - len(links)]
            signs |= page.signs
            too_deep = too_deep or page.too_deep
        else:
            text = _utf8(part, body, share, signs)[:share]
            if b"://" in text and len(links) < html.LINKS_MAX:
                links += (
                    Link(html.host(b"http" + found)) for found in _BARE_LINK.findall(text)[:50]
                )
        pieces.append(text)
        left -= len(text)
        if part.encoding == "base64":
            signs.add("text in base64")
    whole = b"\n".join(pieces)
    return Reading(
        text=whole,
        links=tuple(links),
        kinds=frozenset([part.content_type for part in texts]),
        signs=frozenset(signs),
        attachments=frozenset(_kind(part) for part in parts if not _is_text(part)),
        gtube=GTUBE in whole,
        unreadable=too_deep,
    )


def _is_text(part: Part) -> bool:
    """Whether people see it as text; a multipart without its boundary is shown as such."""
    if part.disposition == "attachment":
        return False
    kind = part.content_type
    return kind.startswith(("text/", "multipart/")) and kind not in ("text/calendar", "text/css")


def _utf8(part: Part, body: bytes, limit: int, signs: set[str]) -> bytes:
    data = decode(part, body, limit)
    if data.isascii() and not part.charset.startswith(("utf-7", "utf-16", "iso-2022", "hz")):
        return data
    if charset.known(part.charset):
        return charset.decode(data, part.charset).encode()
    try:
        data.decode()
    except UnicodeDecodeError as trouble:
        if trouble.start < len(data) - 3:
            signs.add("8-bit text without a charset")
            return _guessed(data).encode()
    return data


def _guessed(data: bytes) -> str:
    best = from_bytes(data[:GUESS_MAX]).best()
    return data.decode(best.encoding if best else "cp1252", "replace")


def _kind(part: Part) -> str:
    name, dot, extension = part.filename.rpartition(".")
    if name and dot and 1 <= len(extension) <= 5 and extension.isalnum():
        return "." + extension.lower()
    return part.content_type
