"""Answers from a file: the same decision again, offline.

Either a master file (RFC 1035 §5, see `net.master`) or JSON:

    {"example.org": {"TXT": ["v=spf1 mx -all"], "MX": ["10 mail.example.org"], "secure": true},
     "_25._tcp.mail.example.org": {"TLSA": ["3 1 1 0123…"]},
     "slow.example.org": {"error": "timeout"}, "half.example.org": {"TXT": {"error": "servfail"}}}

Names are case-insensitive; a name that is not there is NXDOMAIN, unless another stands below
it (RFC 8020 §2); a name without that type has no data; `CNAME` is followed, at most eight
times.  `secure` says that the name is signed: `Answer.secure`.

Fails: `load` and `of` raise `Misconfigured` for what they cannot read; look-ups never.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast, get_args

from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.net import master
from millrace.engine.ports import Answer, AnswerStatus, Question, RecordType

TTL = 300
CHAIN_MAX = 8
OCTETS_MAX = 64 << 20
_KINDS = get_args(RecordType)
_ERRORS: dict[str, AnswerStatus] = {
    "timeout": "timeout",
    "servfail": "servfail",
    "nxdomain": "nxdomain",
    "nodata": "nodata",
}


class ZoneDns:
    """A resolver whose whole world is one table."""

    def __init__(self, answers: Mapping[Question, Answer], broken: Mapping[str, Answer]) -> None:
        self._answers = answers
        self._broken = broken
        self._names = {name for name, _ in answers}
        for name in list(self._names):
            labels = name.split(".")
            self._names.update(".".join(labels[at:]) for at in range(1, len(labels)))

    async def lookup(self, name: str, kind: RecordType) -> Answer:
        """Answer from the table."""
        secure = True
        for _ in range(CHAIN_MAX + 1):
            if name in self._broken:
                return self._broken[name]
            found = self._answers.get((name, kind))
            alias = self._answers.get((name, "CNAME"))
            if found is not None or alias is None or not alias.records:
                found = found or self._absent(name)
                return found if secure else replace(found, secure=False)
            secure = secure and alias.secure
            name = str(alias.records[0])
        return Answer("servfail")

    def _absent(self, name: str) -> Answer:
        secure = any(self._answers.get((name, kind), _NOTHING).secure for kind in _KINDS)
        return Answer("nodata" if name in self._names else "nxdomain", (), TTL, secure)

    async def close(self) -> None:
        """Nothing is held."""

    @staticmethod
    def load(path: Path) -> ZoneDns:
        """Read a file, JSON or master format."""
        place = Place(str(path))
        try:
            if path.stat().st_size > OCTETS_MAX:
                raise Misconfigured(Fault(f"is larger than {OCTETS_MAX >> 20} MiB", place=place))
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(Fault(f"cannot be read: {error}", place=place)) from None
        if not text.lstrip().startswith("{"):
            return ZoneDns.of(master.records(text, str(path)), str(path))
        try:
            return ZoneDns.of(json.loads(text), str(path), text)
        except json.JSONDecodeError as error:
            place = Place(str(path), error.lineno, error.colno)
            raise Misconfigured(Fault(f"is not JSON: {error.msg}", place=place)) from None
        except (ValueError, RecursionError) as error:
            raise Misconfigured(Fault(f"is not JSON: {error}", place=place)) from None

    @staticmethod
    def of(data: Mapping[str, Any], source: str = "dns", text: str = "") -> ZoneDns:
        """Make one from the JSON's data; `text` is where faults are shown in."""
        table = _Table(source, text)
        if not isinstance(data, Mapping):
            raise table.fault("", "wants an object of names")
        for given, records in data.items():
            table.add(str(given), records)
        return ZoneDns(table.answers, table.broken)


_NOTHING = Answer("nodata")


@dataclass(slots=True)
class _Table:
    """The answers of a file, read name by name."""

    source: str
    text: str
    answers: dict[Question, Answer] = field(default_factory=dict)
    broken: dict[str, Answer] = field(default_factory=dict)

    def add(self, given: str, records: object) -> None:
        """Read one name."""
        name = ascii_domain(given) or given.lower()
        if not isinstance(records, Mapping):
            raise self.fault(given, f"{given}: wants an object of record types")
        secure = records.get("secure", False)
        if not isinstance(secure, bool):
            raise self.fault(given, f"{given}: secure is true or false, not {secure!r}")
        for key, value in records.items():
            kind = str(key).upper()
            if key == "error":
                self.broken[name] = self._error(given, value)
            elif kind in _KINDS:  # others are types that no filter asks for
                question = (name, cast("RecordType", kind))
                self.answers[question] = self._answer(given, question, value, secure)
        # the name is there
        self.answers.setdefault((name, "NS"), Answer("nodata", (), TTL, secure))

    def _answer(self, given: str, question: Question, value: object, secure: bool) -> Answer:
        if isinstance(value, Mapping) and "error" in value:
            return self._error(given, value["error"])
        values = value if isinstance(value, list) else [value]
        try:
            records = tuple(_record(question[1], each) for each in values)
        except (ValueError, IndexError):
            sentence = f"{question[0]} {question[1]}: cannot be read: {value!r:.200}"
            raise self.fault(given, sentence) from None
        return Answer("found" if records else "nodata", records, TTL, secure)

    def _error(self, given: str, word: object) -> Answer:
        status = _ERRORS.get(str(word).lower())
        if status is None:
            sentence = f"{given}: error is one of {' '.join(_ERRORS)}, not {word!r:.200}"
            raise self.fault(given, sentence)
        return Answer(status)

    def fault(self, given: str, sentence: str) -> Misconfigured:
        """A fault at the line where a name begins."""
        at = self.text.find(json.dumps(given, ensure_ascii=False)) if given else -1
        line = self.text.count("\n", 0, at) + 1 if at >= 0 else 0
        return Misconfigured(Fault(sentence, place=Place(self.source, line)))


def _record(kind: RecordType, value: object) -> object:
    if kind == "TXT":
        pieces = value if isinstance(value, list) else [value]
        return "".join(str(piece) for piece in pieces).encode("utf-8", "surrogateescape")
    text = str(value).strip()
    words = text.split()
    if kind in ("A", "AAAA"):
        return ipaddress.IPv4Address(text).compressed if kind == "A" else _v6(text)
    if kind == "MX":
        preference, host = words
        return (_number(preference, 16), _host(host))
    if kind == "SOA":
        server, mailbox, *numbers = words
        serial, refresh, retry, expire, minimum = (_number(each, 32) for each in numbers)
        return (_host(server), _host(mailbox), serial, refresh, retry, expire, minimum)
    if kind == "TLSA":
        usage, selector, matching, *octets = words
        three = (_number(each, 8) for each in (usage, selector, matching))
        return (*three, bytes.fromhex("".join(octets)))
    (host,) = words
    return _host(host)


def _v6(text: str) -> str:
    address = ipaddress.IPv6Address(text)
    if address.scope_id is not None:
        raise ValueError(text)
    return address.compressed


def _number(text: str, bits: int) -> int:
    value = int(text)
    if not 0 <= value < 1 << bits:
        raise ValueError(text)
    return value


def _host(text: str) -> str:
    return ascii_domain(text) if not text.isascii() else text.lower().removesuffix(".")
