"""Read the XML of an aggregate report that a stranger made.

RFC 9990 §3.1.1 and Appendix A; RFC 7489 Appendix C and the drafts before it are read as
well, with any namespace and in any order of elements.

The parser is expat of the standard library, fed piece by piece: it opens no file and no
network, and a document type is refused before it can declare one entity (so no entity
bomb and no external entity).  Depth, elements of a row, rows, text and attributes are
bounded; a row is made as soon as its element ends, so the tree is never larger than one.

Fails: `read_xml` raises `Unreadable` with a sentence, and nothing else.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from xml.parsers import expat

from millrace.engine.mailauth.reports.aggregate import (
    DISPOSITIONS,
    OVERRIDES,
    Counted,
    Published,
    Reason,
    Report,
    Row,
    Sent,
    Signed,
    clean,
)

DEPTH_MAX = 16
ROWS_MAX = 50_000
NODES_MAX = 2_000  # elements of one row, or before the first
TEXT_MAX = 1_000  # characters of one element that are kept
ATTRIBUTES_MAX = 32
RESULTS_MAX = 100  # of one row; RFC 9990 §3.1.3
COUNT_MAX = 10**12
LATEST = 4_102_444_800  # the year 2100
PERIOD_MAX = 400 * 86_400
PIECE = 1 << 16
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_INVALID_TOKEN = 4  # XML_ERROR_INVALID_TOKEN
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
# some reporters put the tag of the schema before the report, and never close it
_WRAPPED = re.compile(rb"\A(?:<\?xml[^>]{0,200}>\s{0,20})?<xs:schema[^>]{0,400}>\s{0,20}<feedback")
_SPF = ("none", "neutral", "pass", "fail", "softfail", "temperror", "permerror")
_DKIM = ("none", "pass", "fail", "policy", "neutral", "temperror", "permerror")
_OLD_WORDS = {"unknown": "temperror", "error": "permerror", "hardfail": "fail"}


class Unreadable(ValueError):
    """Why this is no report that can be read; a sentence."""


class _Node:
    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        self.children: list[_Node] = []

    def all(self, *names: str) -> Iterator[_Node]:
        return (child for child in self.children if child.name in names)

    def one(self, *names: str) -> _Node:
        return next(self.all(*names), _Node(""))

    def said(self, name: str, limit: int = 255) -> str:
        return clean(self.one(name).text, limit)


def read_xml(data: bytes) -> Report:
    """One report; a second try replaces octets that are no UTF-8."""
    if not data.startswith(UTF_16):
        data = _WRAPPED.sub(b"<feedback", data.strip(b"\0 \t\r\n"), 1)
    try:
        return _read(data, None)
    except _Encoding as trouble:
        text = data.decode("utf-8", "replace")
        if text.encode() == data and not _FORBIDDEN.search(text):
            raise Unreadable(str(trouble)) from None
        return _read(_FORBIDDEN.sub("\ufffd", text).encode(), "utf-8")


class _Encoding(Unreadable):
    """What may be the fault of single octets."""


def _read(data: bytes, encoding: str | None) -> Report:
    builder = _Builder()
    parser = expat.ParserCreate(encoding, " ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _no_doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    try:
        for at in range(0, len(data), PIECE):
            parser.Parse(data[at : at + PIECE], False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        words = f"its XML is broken: {expat.ErrorString(error.code)}, line {error.lineno}"
        raise (_Encoding if error.code == _INVALID_TOKEN else Unreadable)(words) from None
    except Unreadable:
        raise
    except (LookupError, ValueError):
        raise Unreadable("it is written in an encoding that is not known") from None
    return builder.report()


def _no_doctype(*_: object) -> None:
    raise Unreadable("it declares a document type, which no report needs and a bomb would")


class _Builder:
    """Takes expat's events; holds the head of the report and the row under way."""

    def __init__(self) -> None:
        self.schema = ""
        self._root: _Node | None = None
        self._stack: list[_Node] = []
        self._skipping = 0  # depth inside an extension's element
        self._nodes = 0
        self._rows: dict[Row, int] = {}
        self._read_rows = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        uri, _, name = tag.rpartition(" ")
        if len(attributes) > ATTRIBUTES_MAX:
            raise Unreadable(f"an element has {len(attributes)} attributes")
        if self._root is None:
            self._begin(uri, name)
        if len(self._stack) + self._skipping >= DEPTH_MAX:
            raise Unreadable(f"its elements are nested deeper than {DEPTH_MAX}")
        if self._skipping or (self._stack and uri not in ("", self.schema)):
            self._skipping += 1
            return
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise Unreadable(f"a row has more than {NODES_MAX} elements")
        node = _Node(name)
        if self._root is None:
            self._root = node
        else:
            self._stack[-1].children.append(node)
        self._stack.append(node)

    def _begin(self, uri: str, name: str) -> None:
        if name != "feedback":
            words = f"it is XML, but its root is '{clean(name, 40)}', not 'feedback'"
            raise Unreadable(words)
        self.schema = clean(uri, 100)

    def text(self, data: str) -> None:
        if self._stack and not self._skipping:
            node = self._stack[-1]
            if len(node.text) < TEXT_MAX:
                node.text += data[: TEXT_MAX - len(node.text)]

    def end(self, tag: str) -> None:
        if self._skipping:
            self._skipping -= 1
            return
        node = self._stack.pop()
        if node.name == "record" and len(self._stack) == 1:
            self._stack[-1].children.pop()
            self._nodes = 0
            self._row(node)

    def _row(self, node: _Node) -> None:
        self._read_rows += 1
        if self._read_rows > ROWS_MAX:
            raise Unreadable(f"it has more than {ROWS_MAX} rows")
        row, count = _row(node, self._read_rows)
        self._rows[row] = self._rows.get(row, 0) + count

    def report(self) -> Report:
        root = self._root or _Node("")
        metadata = root.one("report_metadata")
        period = metadata.one("date_range")
        begin, end = _moment(period, "begin"), _moment(period, "end")
        if not 0 <= end - begin <= PERIOD_MAX:
            raise Unreadable(f"its period from {begin} to {end} cannot be")
        if not self._rows:
            raise Unreadable("it holds no rows")
        return Report(
            organization=metadata.said("org_name") or metadata.said("email") or "unknown",
            email=metadata.said("email"),
            id=metadata.said("report_id") or f"{begin}-{end}",
            begin=begin,
            end=end,
            published=_published(root.one("policy_published")),
            rows=tuple(Counted(row, count) for row, count in self._rows.items()),
            contact=metadata.said("extra_contact_info"),
            error=metadata.said("error"),
            generator=metadata.said("generator"),
            schema=self.schema,
        )


def _moment(period: _Node, name: str) -> int:
    text = period.said(name, 40)
    try:
        value = int(float(text)) if "." in text else int(text)
    except (ValueError, OverflowError):
        value = -1
    if not 0 <= value <= LATEST:
        raise Unreadable(f"its period's {name} is no time: '{text}'")
    return value


def _published(node: _Node) -> Published:
    domain = node.said("domain").lower().removesuffix(".")
    if not domain:
        raise Unreadable("it does not say whose policy it is about")
    percent = node.said("pct", 10)
    return Published(
        domain=domain,
        policy=_word(node.said("p"), DISPOSITIONS, "none"),
        subdomains=_word(node.said("sp"), DISPOSITIONS, ""),
        nonexistent=_word(node.said("np"), DISPOSITIONS, ""),
        adkim=_word(node.said("adkim"), ("r", "s"), ""),
        aspf=_word(node.said("aspf"), ("r", "s"), ""),
        testing=_word(node.said("testing"), ("y", "n"), ""),
        failure=node.said("fo", 40),
        discovery=_word(node.said("discovery_method"), ("psl", "treewalk"), ""),
        percent=min(int(percent), 100) if percent.isascii() and percent.isdigit() else -1,
    )


def _word(text: str, known: tuple[str, ...], otherwise: str) -> str:
    lowered = text.lower()
    lowered = _OLD_WORDS.get(lowered, lowered)
    return lowered if lowered in known else otherwise


def _row(record: _Node, at: int) -> tuple[Row, int]:
    row, results = record.one("row"), record.one("auth_results")
    evaluated = row.one("policy_evaluated")
    who = record.one("identifiers", "identities")
    made = Row(
        source_ip=_address(row.said("source_ip"), at),
        disposition=_word(evaluated.said("disposition"), DISPOSITIONS, "none"),  # type: ignore[arg-type]
        dkim="pass" if evaluated.said("dkim").lower() == "pass" else "fail",
        spf="pass" if evaluated.said("spf").lower() == "pass" else "fail",
        header_from=who.said("header_from").lower(),
        envelope_from=who.said("envelope_from").lower(),
        envelope_to=who.said("envelope_to").lower(),
        reasons=tuple(_reason(each) for each in _few(evaluated.all("reason"))),
        signed=tuple(_signed(each) for each in _few(results.all("dkim"))),
        sent=tuple(_sent(each) for each in _few(results.all("spf"))),
    )
    return made, _count(row.said("count", 40), at)


def _few(nodes: Iterator[_Node]) -> list[_Node]:
    return [node for node, _ in zip(nodes, range(RESULTS_MAX), strict=False)]


def _address(text: str, at: int) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise Unreadable(f"row {at}: '{clean(text, 40)}' is no IP address") from None


def _count(text: str, at: int) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > COUNT_MAX:
        raise Unreadable(f"row {at}: '{clean(text, 40)}' is no number of mails")
    return int(text)


def _reason(node: _Node) -> Reason:
    kind = _word(node.said("type"), OVERRIDES, "other")
    return Reason(kind, node.said("comment"))  # type: ignore[arg-type]


def _signed(node: _Node) -> Signed:
    domain = node.said("domain").lower()
    result = _word(node.said("result"), _DKIM, "neutral")
    return Signed(domain, node.said("selector"), result, node.said("human_result"))


def _sent(node: _Node) -> Sent:
    domain = node.said("domain").lower()
    result = _word(node.said("result"), _SPF, "neutral")
    scope = _word(node.said("scope"), ("mfrom", "helo"), "")
    return Sent(domain, scope, result, node.said("human_result"))
