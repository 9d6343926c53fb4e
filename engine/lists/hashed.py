"""A table of keys with values, by a keyed hash: open addressing over an image.

A slot holds the upper half of the hash and where the record lies; a record is read only when
the halves agree, and its key is compared whole, so that no answer rests on a hash alone.  The
hash has a key of its own in each table: nobody can write entries that fall together.

Fails: never.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Callable
from hashlib import blake2b

from millrace.engine.lists.image import Format, Image

_RECORD = struct.Struct("<IIHH")  # until, line, and the lengths of key and value
_HEAD = _RECORD.size
_LOW = 0xFFFFFFFF


class HashWriter:
    """Takes entries one by one; `count` is about how many will come."""

    def __init__(self, count: int) -> None:
        self.salt = os.urandom(8)
        self._mask = (1 << max(2 * count, 8).bit_length()) - 1
        self._slots = array("Q", bytes(8 * (self._mask + 1)))
        self._records = bytearray(8)  # no record lies at 0, which is an empty slot

    def add(self, key: bytes, value: bytes, until: int, line: int) -> tuple[int, bytes]:
        """Keep an entry; of a key that is there already, its line and value, else (0, b"").

        Of two that are alike the longer one holds.
        """
        slots, mask, records = self._slots, self._mask, self._records
        number = int.from_bytes(blake2b(self.salt + key, digest_size=8).digest(), "little")
        slot, upper = number & mask, number >> 32
        while found := slots[slot]:
            if found >> 32 == upper and (there := self._alike(found & _LOW, key, until)):
                return there
            slot = (slot + 1) & mask
        slots[slot] = upper << 32 | len(records)
        records += _RECORD.pack(until, line, len(key), len(value)) + key + value
        return 0, b""

    def _alike(self, at: int, key: bytes, until: int) -> tuple[int, bytes] | None:
        records = self._records
        ends, line, length, width = _RECORD.unpack_from(records, at)
        begin = at + _HEAD
        if records[begin : begin + length] != key:
            return None
        if until > ends:
            struct.pack_into("<I", records, at, until)
        return line, bytes(records[begin + length : begin + length + width])

    def sections(self) -> dict[str, tuple[Format, bytes | bytearray]]:
        """What an image of it holds."""
        return {"slots": ("Q", self._slots.tobytes()), "records": ("B", self._records)}


def finder(image: Image) -> Callable[[bytes], tuple[int, int, int, int] | None]:
    """A function that gives (until, value's begin, value's end, line) of a key, or None."""
    slots, records = image.section("slots"), image.section("records")
    salt, mask, unpack = bytes.fromhex(image.head["salt"]), len(slots) - 1, _RECORD.unpack_from

    def find(key: bytes) -> tuple[int, int, int, int] | None:
        number = int.from_bytes(blake2b(salt + key, digest_size=8).digest(), "little")
        slot, upper = number & mask, number >> 32
        while found := slots[slot]:
            if found >> 32 == upper:
                at = found & _LOW
                until, line, length, width = unpack(records, at)
                end = at + _HEAD + length
                if records[at + _HEAD : end] == key:
                    return until, end, end + width, line
            slot = (slot + 1) & mask
        return None

    return find
