"""Messages of the DNS: one question out, one reply in.

RFC 1035 §4.1; RFC 6891 (EDNS: we take 1,232 octets over UDP, DO is off); RFC 6840 §5.7 (AD
in a query asks for AD in the reply); RFC 5452 §9.1 (which replies are believed); RFC 2308 §5
(how long an absence lasts); RFC 2181 §8 (a TTL above 2^31 is none).

Records are counted: after `WALKED_MAX` the rest of a message is not looked at.

Fails: `read` raises `Malformed` for whatever is no whole message, and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, cast

from millrace.engine.ports import RecordType
from millrace.engine.wire.dns import names, records
from millrace.engine.wire.dns.names import Malformed
from millrace.engine.wire.dns.records import CNAME, NUMBERS, OPT, SOA

PAYLOAD = 1232  # octets over UDP that no path splits
WALKED_MAX = 256  # records of one message
FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 1, 2, 3, 4, 5, 16
_QR, _OPCODE, _TC, _RD, _AD = 0x8000, 0x7800, 0x0200, 0x0100, 0x0020
_IN = 1
_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")
_PAIR = struct.Struct("!HH")
_EDNS = b"\0" + _RECORD.pack(OPT, PAYLOAD, 0, 0)


class Query(NamedTuple):
    """One question: `number` is its id, `octets` what is sent, `asked` what must be echoed."""

    number: int
    octets: bytes
    asked: bytes

    @staticmethod
    def of(name: bytes, kind: RecordType, number: int, *, edns: bool = True) -> Query:
        """Ask for the records of an encoded name."""
        asked = name + _PAIR.pack(NUMBERS[kind], _IN)
        head = _HEADER.pack(number, _RD | _AD, 1, 0, 0, int(edns))
        return Query(number, head + asked + (_EDNS if edns else b""), asked.lower())

    def is_answered_by(self, data: bytes) -> bool:
        """Whether a datagram answers this, and not something else.  RFC 5452 §9.1."""
        if len(data) < _HEADER.size:
            return False
        number, flags, questions, *_ = _HEADER.unpack_from(data)
        if number != self.number or not flags & _QR or flags & _OPCODE:
            return False
        if questions == 0:  # who could not read the question cannot echo it
            return flags & 0xF in (FORMERR, NOTIMP)
        return questions == 1 and data[12 : 12 + len(self.asked)].lower() == self.asked


def truncated(data: bytes) -> bool:
    """Whether a reply says that it did not fit, so that TCP must be asked.  RFC 2181 §9."""
    return bool(data[2] & _TC >> 8)


class Record(NamedTuple):
    """One record of the answer section; `kind` is the type's number."""

    name: str
    kind: int
    ttl: int
    value: object


class Reply(NamedTuple):
    """A reply: `name` is the question's; `absent_ttl` is 0 where no SOA tells it."""

    name: str
    code: int
    authentic: bool
    records: list[Record]
    absent_ttl: int


def read(data: bytes, kind: RecordType) -> Reply:
    """Read a reply, as far as it matters to a question for `kind`."""
    try:
        return _read(data, NUMBERS[kind])
    except (IndexError, struct.error):
        raise Malformed("the message ends too early") from None


def _read(data: bytes, wanted: int) -> Reply:
    _, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    known: dict[int, str] = {}
    asked, at = "", _HEADER.size
    for _ in range(min(questions, 1)):
        asked, at = names.read(data, at, known)
        known[_HEADER.size] = asked
        at += _PAIR.size
    if questions > 1:
        raise Malformed("more than one question")
    sections = _Sections(data, at, known)
    found = sections.answer(answers, wanted) if answers else []
    absent = sections.authority(authorities) if authorities else 0
    code = (flags & 0xF) | (sections.extension(additional) << 4 if additional else 0)
    return Reply(asked, code, bool(flags & _AD), found, absent)


class _Sections:
    """The records of a message, walked once from front to back."""

    def __init__(self, data: bytes, at: int, known: dict[int, str]) -> None:
        self._data, self._at, self._known = data, at, known
        self._left = WALKED_MAX

    def _heads(self, count: int) -> Iterator[tuple[str, int, int, int, int, int]]:
        """(name, type, class, ttl, offset, size) of the next records."""
        data, end = self._data, len(self._data)
        count, self._left = min(count, self._left), max(self._left - count, 0)
        for _ in range(count):
            name, at = names.read(data, self._at, self._known)
            kind, class_, ttl, size = _RECORD.unpack_from(data, at)
            at += 10
            self._at = at + size
            if self._at > end:
                raise Malformed("a record is longer than the message")
            yield name, kind, class_, ttl, at, size

    def answer(self, count: int, wanted: int) -> list[Record]:
        """The records of the wanted type, and aliases."""
        data, known = self._data, self._known
        return [
            Record(name, kind, _ttl(ttl), records.value(data, at, size, kind, known))
            for name, kind, class_, ttl, at, size in self._heads(count)
            if class_ == _IN and (kind in (wanted, CNAME))
        ]

    def authority(self, count: int) -> int:
        """How long an absence lasts: the SOA's TTL or its minimum.  RFC 2308 §5."""
        absent = 0
        for _, kind, _, ttl, at, size in self._heads(count):
            if kind == SOA:
                soa = records.value(self._data, at, size, SOA, self._known)
                minimum = cast("tuple[str, str, int, int, int, int, int]", soa)[6]
                absent = max(min(_ttl(ttl), _ttl(minimum)), 1)  # 0 would mean: not told
        return absent

    def extension(self, count: int) -> int:
        """The upper bits of the reply's code, from OPT.  RFC 6891 §6.1.3."""
        upper = 0
        for _, kind, _, ttl, _, _ in self._heads(count):
            if kind == OPT:
                upper = ttl >> 24
        return upper


def _ttl(value: int) -> int:
    return value if value < 1 << 31 else 0
