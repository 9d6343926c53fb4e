"""The body's hash for DKIM, while the body streams by.

RFC 6376 §3.4.3 (simple), §3.4.4 (relaxed), §3.7 (what is hashed), §3.5 (`l=`).
Linear in the body's size whatever it holds: a line of a million blanks too.  Large bodies are
hashed as they arrive (`listeners`), and no body twice for the same wish: DKIM, ARC and our own
signing share what was heard.

Fails: never.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping
from typing import Literal, NamedTuple

from millrace.engine.mail.message import Body, Listener

Canonicalization = Literal["simple", "relaxed"]
_FLUSH = 1 << 14  # empty lines written at once
_TABS = bytes.maketrans(b"\t", b" ")


class BodyHashing(NamedTuple):
    """What one signature wants hashed; `length` is `l=`, None for the whole body."""

    canonicalization: Canonicalization
    algorithm: str
    length: int | None = None


class BodyHash:
    """One running hash; `size` counts canonical octets, hashed or not."""

    __slots__ = ("_empty_lines", "_hash", "_left", "_relaxed", "_tail", "size")

    def __init__(self, wanted: BodyHashing) -> None:
        self._relaxed = wanted.canonicalization == "relaxed"
        self._hash = hashlib.new(wanted.algorithm)
        self._left = wanted.length
        self._tail = b""  # octets whose meaning depends on what comes next
        self._empty_lines = 0
        self.size = 0

    def update(self, chunk: bytes) -> None:
        """Take the next piece of the body."""
        data = self._tail + chunk
        # a CR before another octet is text, so one is held at most, and the blanks before it
        held = data[:-1] if data.endswith(b"\r") else data
        held = held.rstrip(b" \t") if self._relaxed else held
        self._tail = data[len(held) :]
        if self._relaxed:
            self._tail, held = _squeezed(self._tail), _relaxed(held)
        text = held.rstrip(b"\r\n")
        # only whole CRLF pairs are empty lines; a stray CR or LF is text
        ending = held[len(text) :]
        pairs = _trailing_pairs(ending)
        text = held[: len(held) - 2 * pairs]
        if text:
            self._write_empty_lines()
            self._write(text)
        self._empty_lines += pairs

    def digest(self) -> bytes:
        """The hash of all that came; trailing empty lines do not count."""
        tail = self._tail.rstrip(b" ") if self._relaxed else self._tail
        if tail:
            self._write_empty_lines()
            self._write(tail)
        if self.size or not self._relaxed:
            self._write(b"\r\n")  # an empty body is CRLF in simple, nothing in relaxed
        return self._hash.digest()

    def result(self) -> Hashed:
        """Digest and size, at the end."""
        return Hashed(self.digest(), self.size)

    def _write_empty_lines(self) -> None:
        while self._empty_lines:
            count = min(self._empty_lines, _FLUSH)
            self._write(b"\r\n" * count)
            self._empty_lines -= count

    def _write(self, data: bytes) -> None:
        self.size += len(data)
        if self._left is None:
            self._hash.update(data)
        elif self._left:
            self._hash.update(data[: self._left])
            self._left = max(self._left - len(data), 0)


def _trailing_pairs(ending: bytes) -> int:
    count, at = 0, len(ending)
    while at >= 2 and ending[at - 2 : at] == b"\r\n":
        count += 1
        at -= 2
    return count


def _squeezed(data: bytes) -> bytes:
    data = data.translate(_TABS)
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data


def _relaxed(data: bytes) -> bytes:
    if b"\t" in data or b"  " in data:
        data = _squeezed(data)
    return data.replace(b" \r\n", b"\r\n") if b" \r\n" in data else data


class Hashed(NamedTuple):
    """A digest, and how many canonical octets the body has."""

    digest: bytes
    size: int


def hash_body(chunks: Iterable[bytes], wanted: Iterable[BodyHashing]) -> dict[BodyHashing, Hashed]:
    """Hash a body once for each distinct wish, in one pass."""
    running = {wish: BodyHash(wish) for wish in wanted}
    for chunk in chunks:
        for each in running.values():
            each.update(chunk)
    return {wish: each.result() for wish, each in running.items()}


def listeners(wanted: Iterable[BodyHashing]) -> Mapping[Hashable, Listener]:
    """Running hashes that hear a body while it arrives."""
    return {wish: BodyHash(wish) for wish in wanted}


def hashed(body: Body, wanted: Iterable[BodyHashing]) -> dict[BodyHashing, Hashed]:
    """The hashes of a body; only those that nobody has made yet are made."""
    wishes = set(wanted)
    missing = wishes.difference(body.heard)
    for wish, made in (hash_body(body.chunks(), missing) if missing else {}).items():
        body.heard[wish] = made
    return {wish: found for wish in wishes if isinstance(found := body.heard[wish], Hashed)}
