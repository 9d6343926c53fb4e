"""Answers from a file: the same decision again, offline.

Either a master file (RFC 1035 §5) or JSON:

    {"example.org": {"TXT": ["v=spf1 mx -all"], "MX": ["10 mail.example.org"]},
     "slow.example.org": {"error": "timeout"}, "half.example.org": {"TXT": {"error": "servfail"}}}

Names are case-insensitive; a name that is not there is NXDOMAIN, a name without that
type has no data; `CNAME` is followed, at most eight times.

Fails: `load` and `of` raise `Misconfigured` for what they cannot read; look-ups never.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import dns.exception
import dns.rdatatype
import dns.zone

from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.ports import Answer, AnswerStatus, Question, RecordType

TTL = 300
CHAIN_MAX = 8
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

    async def lookup(self, name: str, kind: RecordType) -> Answer:
        """Answer from the table."""
        for _ in range(CHAIN_MAX):
            if name in self._broken:
                return self._broken[name]
            found = self._answers.get((name, kind))
            if found is not None:
                return found
            alias = self._answers.get((name, "CNAME"))
            if alias is None or not alias.records:
                return Answer("nodata" if name in self._names else "nxdomain", (), TTL)
            name = str(alias.records[0])
        return Answer("servfail")

    async def close(self) -> None:
        """Nothing is held."""

    @staticmethod
    def load(path: Path) -> ZoneDns:
        """Read a file, JSON or master format."""
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(Fault(f"cannot be read: {error}", place=Place(str(path)))) from None
        if text.lstrip().startswith("{"):
            try:
                return ZoneDns.of(json.loads(text), str(path))
            except json.JSONDecodeError as error:
                place = Place(str(path), error.lineno, error.colno)
                raise Misconfigured(Fault(f"is not JSON: {error.msg}", place=place)) from None
        return _from_master(text, str(path))

    @staticmethod
    def of(data: Mapping[str, Any], source: str = "dns") -> ZoneDns:
        """Make one from the JSON's data."""
        if not isinstance(data, Mapping):
            raise _fault(source, "wants an object of names")
        answers: dict[Question, Answer] = {}
        broken: dict[str, Answer] = {}
        for given, records in data.items():
            name = ascii_domain(str(given)) or str(given).lower()
            if not isinstance(records, Mapping):
                raise _fault(source, f"{given}: wants an object of record types")
            for kind, value in records.items():
                if kind == "error":
                    broken[name] = _error(source, name, value)
                    continue
                if kind.upper() not in _KINDS:
                    continue  # a type that no filter asks for
                question = (name, cast("RecordType", kind.upper()))
                answers[question] = _answer(source, question, value)
            answers.setdefault((name, "NS"), Answer("nodata"))  # the name is there
        return ZoneDns(answers, broken)


def _answer(source: str, question: Question, value: object) -> Answer:
    if isinstance(value, Mapping) and "error" in value:
        return _error(source, question[0], value["error"])
    values = value if isinstance(value, list) else [value]
    try:
        records = tuple(_record(question[1], each) for each in values)
    except (ValueError, IndexError):
        raise _fault(source, f"{question[0]} {question[1]}: cannot be read: {value!r}") from None
    return Answer("found", records, TTL) if records else Answer("nodata")


def _record(kind: RecordType, value: object) -> object:
    if kind == "TXT":
        pieces = value if isinstance(value, list) else [value]
        return "".join(str(piece) for piece in pieces).encode("utf-8", "surrogateescape")
    text = str(value).strip()
    if kind == "MX":
        preference, host = text.split()
        return (int(preference), host.lower().removesuffix("."))
    return text if kind in ("A", "AAAA") else text.lower().removesuffix(".")


def _error(source: str, name: str, word: object) -> Answer:
    status = _ERRORS.get(str(word).lower())
    if status is None:
        raise _fault(source, f"{name}: error is one of {' '.join(_ERRORS)}, not {word!r}")
    return Answer(status)


def _fault(source: str, sentence: str) -> Misconfigured:
    return Misconfigured(Fault(sentence, place=Place(source)))


def _from_master(text: str, source: str) -> ZoneDns:
    try:
        # a file without $TTL is common in tests and would be refused
        text = f"$TTL {TTL}\n{text}"
        zone = dns.zone.from_text(text, origin=".", relativize=False, check_origin=False)
    except (dns.exception.DNSException, ValueError) as error:
        raise _fault(source, f"is no master file: {error}") from None
    data: dict[str, dict[str, list[Any]]] = {}
    for name, _, rdata in zone.iterate_rdatas():
        kind = dns.rdatatype.to_text(rdata.rdtype)
        records = data.setdefault(name.to_text(omit_final_dot=True), {})
        if kind == "TXT":
            strings: tuple[bytes, ...] = rdata.strings  # type: ignore[attr-defined]
            pieces = [piece.decode("utf-8", "surrogateescape") for piece in strings]
            records.setdefault(kind, []).append(pieces)
        else:
            records.setdefault(kind, []).append(rdata.to_text())
    return ZoneDns.of(data, source)
