"""The author: whose words the mail claims to be.  RFC 5322 §3.6.2 (From).

DMARC needs the domain in From, and senders write it in every way that the grammar
allows and in many that it does not: several mailboxes, groups, comments, encoded
words, two From fields.  This reads all of them and says what is odd.  What the grammar
cannot read is read as a mail program would show it, since a forger leaves a bracket open.

Fails: never; what holds no address leaves `addresses` empty and a word in `oddity`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from millrace.engine.mail.address import Address, DomainName
from millrace.engine.mail.folding import unfold
from millrace.engine.mail.headers import Headers

LENGTH_MAX = 8192  # octets of all From fields that are looked at
MAILBOXES_MAX = 64
_PLAIN = re.compile(
    rb'[^<>()",;:\\@]*<([^<>()"\\,;:@ ]+@[^<>()"\\,;:@ ]+)>|([^<>()"\\,;:@ ]+@[^<>()"\\,;:@ ]+)'
)


_ANGLED = re.compile(r"<([^<>]*)>")
_ADDRESSLIKE = re.compile(r"[^\s<>()\[\]\",;:@]+@[^\s<>()\[\]\",;:@]+")


@dataclass(frozen=True, slots=True)
class Author:
    """The mailboxes of From; `oddity` says in a word what is unusual, "" when nothing is.

    Oddities: "missing", "several-fields", "several-mailboxes", "malformed", "unreadable".
    """

    addresses: tuple[Address, ...] = ()
    oddity: str = ""

    @property
    def domain(self) -> DomainName:
        """The first mailbox's domain, "" when there is none."""
        return self.addresses[0].domain if self.addresses else ""

    @property
    def local(self) -> str:
        """The first mailbox's local part."""
        return self.addresses[0].local if self.addresses else ""

    @property
    def count(self) -> int:
        """How many mailboxes From names."""
        return len(self.addresses)

    @staticmethod
    def of(headers: Headers) -> Author:
        """Read the From fields of a mail."""
        fields = headers.all(b"From")
        if not fields:
            return Author(oddity="missing")
        found: list[Address] = []
        for entry in fields[:8]:
            found += _mailboxes(unfold(entry.value)[:LENGTH_MAX])
        strict = bool(found)
        if not strict:
            found = _read([spec for each in fields[:8] for spec in _likely(each.value)])
        if len(fields) > 1:
            return Author(tuple(found), "several-fields")
        if not strict:
            return Author(tuple(found), "malformed" if found else "unreadable")
        return Author(tuple(found), "several-mailboxes" if len(found) > 1 else "")


def _mailboxes(value: bytes) -> list[Address]:
    plain = _PLAIN.fullmatch(value)
    if plain:  # nearly all mail; the rest goes the long way
        return _read([(plain[1] or plain[2]).decode("utf-8", "replace")])
    return _read(_specs(value.decode("utf-8", "replace")))


def _read(specs: list[str]) -> list[Address]:
    found = []
    for spec in specs[:MAILBOXES_MAX]:
        try:
            address = Address.parse(spec)
        except ValueError:
            continue
        if address is not None and address.domain:
            found.append(address)
    return found


def _likely(value: bytes) -> list[str]:
    """What looks like an address in a value that the grammar cannot read."""
    return _ADDRESSLIKE.findall(unfold(value)[:LENGTH_MAX].decode("utf-8", "replace"))


def _specs(text: str) -> list[str]:
    """Cut a mailbox list at its commas, groups and comments aside.  RFC 5322 §3.4."""
    specs: list[str] = []
    for chunk in _split(text):
        angled = [spec for spec in _ANGLED.findall(chunk) if "@" in spec]
        specs += [spec.strip() for spec in angled or [chunk]]
    return [spec for spec in specs if "@" in spec]


def _split(text: str) -> list[str]:
    chunks, current, at, angle = [], [], 0, False
    while at < len(text):
        ch = text[at]
        if ch == '"':
            end = _quoted(text, at)
            # a quoted local part belongs to the address, a quoted name does not
            if angle or text[end : end + 1] == "@":
                current.append(text[at:end])
            at = end
            continue
        if ch == "(":
            at = _comment(text, at)
            continue
        angle = (angle or ch == "<") and ch != ">"
        if ch in ",;" and not angle:
            chunks.append("".join(current))
            current = []
        elif ch == ":" and not angle:
            current = []  # the name of a group
        else:
            current.append(ch)
        at += 1
    return [*chunks, "".join(current)]


def _quoted(text: str, at: int) -> int:
    end = at + 1
    while end < len(text) and text[end] != '"':
        end += 2 if text[end] == "\\" else 1
    return min(end + 1, len(text))


def _comment(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return at
