"""A mail as a set of numbered features: one function for training and for serving.

Words of the text, words of the subject, hosts of links, and a few signs of shape; each is
hashed into 2^18 places.  Presence counts, not frequency: 40 copies of a word say what one
says.  Word pairs were tried and brought nothing for twice the time.

Not among them, because collections give their labels away by it: Received, Return-Path,
Delivered-To, List-*, X-*, dates, addresses of recipients, mail software.  Some collections
come as lower-case tokens; such mail (a Subject alone) gives no signs of shape.

Changing anything here, or what a word is, needs a new VERSION: weights of another version
are refused.
"""

from __future__ import annotations

import re
from zlib import crc32

from millrace.engine.mail.message import Message
from millrace.engine.mail.words import decode_words
from millrace.models.html import Link
from millrace.models.text import Reading
from millrace.models.words import BITS, IGNORED, MASK, Sign, numbered

VERSION = 1
SIZE = 1 << BITS
_SUBJECT = 0x5EED  # CRC start values keep these apart from words of the text
_SIGN = 0x51A1
_HOST = 0x4057
_OTHERS_MAX = 400  # signs and hosts of one mail


def features(message: Message, reading: Reading) -> dict[int, Sign]:
    """Index → what it stands for."""
    return {**others(message, reading), **numbered(reading.text)}


def others(message: Message, reading: Reading) -> dict[int, Sign]:
    """All but the words of the text."""
    found: dict[int, Sign] = {}
    for number, (sign, shown) in enumerate(_signs(message, reading)):
        if number >= _OTHERS_MAX:
            break
        found[crc32(sign.encode(), _SIGN) & MASK] = shown
    for domain in {".".join(link.host.split(".")[-2:]) for link in reading.links}:
        if domain and domain.partition(".")[0].encode() not in IGNORED:
            found[crc32(domain.encode(), _HOST) & MASK] = f"link to {domain}"
    subject = decode_words(message.headers.first(b"Subject") or b"").encode()
    of_subject = numbered(subject[:1000], _SUBJECT)
    found.update((number, b"subject: " + word) for number, word in of_subject.items())
    return found


def _signs(message: Message, reading: Reading) -> list[tuple[str, str]]:
    """Signs of shape: identity, and words for people."""
    if not message.headers.first(b"From") and not message.headers.first(b"Date"):
        return []
    found = [(sign, sign) for sign in (*_body_signs(reading), *_header_signs(message))]
    found += [("attachment " + kind[:40],) * 2 for kind in sorted(reading.attachments)[:20]]
    for link in reading.links:
        if forged := _forged(link):
            found.append(("forged link", forged))
            break
    return found


def _body_signs(reading: Reading) -> list[str]:
    found = sorted(reading.signs)
    page = "text/html" in reading.kinds
    if page and "text/plain" not in reading.kinds:
        found.append("HTML without plain text")
    if page and "image" in reading.signs and len(reading.text.split(None, 40)) <= 40:
        found.append("images and hardly a word")
    if not reading.text.strip():
        found.append("no text")
    if reading.unreadable:
        found.append("HTML nested too deep")
    if any(_ADDRESS.fullmatch(host) for host in {link.host for link in reading.links}):
        found.append("link to a bare IP address")
    return found


_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|\d{8,10}|[0-9a-f:]*:[0-9a-f:.]*")
_SHOWN_HOST = re.compile(rb"(?:https?://)?((?:[a-z0-9-]+\.)+[a-z]{2,12})(?:[/:?][^\s]*)?", re.I)


def _forged(link: Link) -> str:
    """A sentence, when a link shows one host and leads to another."""
    shown = _SHOWN_HOST.fullmatch(link.shown)
    if not shown or not link.host:
        return ""
    says = shown[1].decode().lower()
    if says.split(".")[-2:] == link.host.split(".")[-2:]:
        return ""
    return f"link text says {says} but leads to {link.host}"


_FROM = re.compile(r'\s*"?([^"<]*?)"?\s*<([^<>]*)>')


def _header_signs(message: Message) -> list[str]:
    headers = message.headers
    wanted = (b"Message-ID", b"Date", b"From", b"Subject")
    found = [f"no {name.decode()} field" for name in wanted if not headers.first(name)]
    author = decode_words(headers.first(b"From") or b"")[:500]
    named = _FROM.match(author)
    address = named[2] if named else author
    if not named or not named[1]:
        found.append("author without a name")
    elif "@" in named[1] and named[1].strip("' ").lower() != address.lower():
        found.append("author's name is another address")
    if sum(char.isdigit() for char in address.partition("@")[0]) >= 4:
        found.append("digits in the author's address")
    return found + _subject_signs(decode_words(headers.first(b"Subject") or b""))


def _subject_signs(subject: str) -> list[str]:
    found: list[str] = []
    letters = [char for char in subject[:300] if char.isalpha()]
    if len(letters) >= 8 and sum(char.isupper() for char in letters) > 0.7 * len(letters):
        found.append("subject in capitals")
    if "      " in subject:
        found.append("gap in the subject")
    return found
