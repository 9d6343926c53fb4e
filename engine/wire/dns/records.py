"""What the record types hold, read from the wire.

RFC 1035 §3.3 (NS, CNAME, SOA, PTR, MX, TXT), RFC 3596 §2.2 (AAAA), RFC 6698 §2.1 (TLSA).

Gives:  the values that `Answer.records` names.
Fails: `value` raises `Malformed` where a record does not end where it says, and IndexError
or `struct.error` where the octets end too early.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

from millrace.engine.ports import RecordType
from millrace.engine.wire.dns import names
from millrace.engine.wire.dns.names import Malformed

NUMBERS: Final[dict[RecordType, int]] = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "TLSA": 52,
}  # fmt: skip
A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, TLSA = NUMBERS.values()
OPT = 41  # RFC 6891 §6.1.1
_TIMES = struct.Struct("!5I")


def value(data: bytes, at: int, size: int, kind: int, known: dict[int, str]) -> object:
    """The value of one record, `size` octets at an offset."""
    end = at + size
    if end > len(data):
        raise Malformed("a record is longer than the message")
    if kind in (A, AAAA):
        return _address(data[at:end], 4 if kind == A else 16)
    if kind == TXT:
        return _strings(data, at, end)
    if kind == TLSA:
        if size < 3:
            raise Malformed("a TLSA record is too short")
        return (data[at], data[at + 1], data[at + 2], data[at + 3 : end])
    found, stop = _named(data, at, kind, known)
    if stop != end:
        raise Malformed("a record does not end where it says")
    return found


def _named(data: bytes, at: int, kind: int, known: dict[int, str]) -> tuple[object, int]:
    if kind == MX:
        host, stop = names.read(data, at + 2, known)
        return (data[at] << 8 | data[at + 1], host), stop
    first, stop = names.read(data, at, known)
    if kind != SOA:
        return first, stop
    mailbox, stop = names.read(data, stop, known)
    return (first, mailbox, *_TIMES.unpack_from(data, stop)), stop + _TIMES.size


def _address(octets: bytes, size: int) -> str:
    if len(octets) != size:
        raise Malformed("an address is of the wrong size")
    if size == 4:
        return "{}.{}.{}.{}".format(*octets)
    return ipaddress.IPv6Address(octets).compressed


def _strings(data: bytes, at: int, end: int) -> bytes:
    """All strings of one TXT record, joined (RFC 7208 §3.3, RFC 6376 §3.6.2.2)."""
    pieces = []
    while at < end:
        stop = at + 1 + data[at]
        if stop > end:
            raise Malformed("a string is longer than its record")
        pieces.append(data[at + 1 : stop])
        at = stop
    return b"".join(pieces)
