"""The compiled form of a list: one run of bytes, the same in memory and in a file.

    magic · length of the head · head (JSON) · sections, each at a multiple of eight

Nobody writes into an image once it is made: processes map the file and share its pages.

Fails: `Image` raises ValueError for bytes that are no whole image.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, Literal

MAGIC = b"MRLIST1\n"
_LENGTH = struct.Struct("<Q")
Format = Literal["B", "I", "Q"]


def built(
    head: Mapping[str, Any], sections: Mapping[str, tuple[Format, bytes | bytearray]]
) -> bytes:
    """An image of these sections."""
    places: dict[str, list[Any]] = {}
    at = 0
    for name, (form, data) in sections.items():
        places[name] = [form, at, len(data)]
        at += _padded(len(data))
    text = json.dumps({**head, "sections": places, "size": at}).encode()
    text += b" " * (_padded(len(text)) - len(text))
    parts: list[bytes | bytearray] = [MAGIC, _LENGTH.pack(len(text)), text]
    for _, data in sections.values():
        parts += [data, bytes(_padded(len(data)) - len(data))]
    return b"".join(parts)


class Image:
    """What `built` made, read in place."""

    def __init__(self, data: memoryview) -> None:
        begin = len(MAGIC) + _LENGTH.size
        if len(data) < begin or bytes(data[: len(MAGIC)]) != MAGIC:
            raise ValueError("its image is none")
        (length,) = _LENGTH.unpack(data[len(MAGIC) : begin])
        self.head: dict[str, Any] = json.loads(bytes(data[begin : begin + length]))
        self._body = data[begin + length :]
        if len(self._body) != self.head["size"]:
            raise ValueError("its image is half of one")

    def section(self, name: str) -> memoryview:
        """One section, as numbers of its format."""
        form, at, size = self.head["sections"][name]
        return self._body[at : at + size].cast(form)


def _padded(size: int) -> int:
    return -(-size // 8) * 8
