"""Write an aggregate report: XML in the order of the schema, and gzip.

RFC 9990 §3.1.1 (elements, their order, their defaults), RFC 1952.

The same report gives the same octets: rows are sorted, and gzip bears no time.  Strangers
chose most of the words in it, so each is cleaned and bounded before it is escaped.

Fails: never.
"""

from __future__ import annotations

import gzip
import ipaddress
import re
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

from millrace.engine.mailauth.reports.aggregate import (
    Counted,
    Published,
    Report,
    Row,
    Sent,
    Signed,
    clean,
)

NAMESPACE = "urn:ietf:params:xml:ns:dmarc-2.0"
WORD_MAX = 255
NOTE_MAX = 500
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
SIGNATURES_MAX = 100  # of one row; RFC 9990 §3.1.3


def to_xml(report: Report) -> bytes:
    """The XML file."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<feedback xmlns="{NAMESPACE}">']
    lines.append("  <version>1.0</version>")
    lines += _metadata(report)
    lines += _published(report.published)
    for counted in sorted(report.rows, key=_order):
        lines += _record(counted)
    lines.append("</feedback>\n")
    return "\n".join(lines).encode()


def to_gzip(xml: bytes) -> bytes:
    """Compressed; without a time, so that it is the same tomorrow."""
    return gzip.compress(xml, 9, mtime=0)


def file_name(receiver: str, report: Report) -> str:
    """The attachment's name.  RFC 9990 §3.5.2."""
    parts = (receiver, report.published.domain, report.begin, report.end, report.id)
    return "!".join(name_of(str(part)) for part in parts) + ".xml.gz"


def name_of(text: str) -> str:
    """A domain or id as file names and header fields may bear it; strangers chose it."""
    return _UNSAFE.sub("_", text[:WORD_MAX])


def _element(indent: int, name: str, text: str, limit: int = WORD_MAX) -> str:
    return f"{' ' * indent}<{name}>{escape(clean(text, limit))}</{name}>"


def _given(indent: int, elements: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Those that say something."""
    return (_element(indent, name, text) for name, text in elements if text)


def _metadata(report: Report) -> Iterator[str]:
    yield "  <report_metadata>"
    yield _element(4, "org_name", report.organization)
    yield _element(4, "email", report.email)
    yield from _given(4, [("extra_contact_info", report.contact)])
    yield _element(4, "report_id", report.id)
    yield "    <date_range>"
    yield _element(6, "begin", str(report.begin))
    yield _element(6, "end", str(report.end))
    yield "    </date_range>"
    if report.error:
        yield _element(4, "error", report.error, NOTE_MAX)
    yield from _given(4, [("generator", report.generator)])
    yield "  </report_metadata>"


def _published(policy: Published) -> Iterator[str]:
    """Unspecified tags have their defaults."""
    yield "  <policy_published>"
    yield _element(4, "domain", policy.domain)
    yield from _given(4, [("discovery_method", policy.discovery)])
    yield _element(4, "p", policy.policy)
    yield _element(4, "sp", policy.subdomains or policy.policy)
    yield _element(4, "np", policy.nonexistent or policy.subdomains or policy.policy)
    yield from _given(4, [("fo", policy.failure)])
    yield _element(4, "adkim", policy.adkim or "r")
    yield _element(4, "aspf", policy.aspf or "r")
    yield _element(4, "testing", policy.testing or "n")
    yield "  </policy_published>"


def _record(counted: Counted) -> Iterator[str]:
    row = counted.row
    yield "  <record>"
    yield "    <row>"
    yield _element(6, "source_ip", row.source_ip)
    yield _element(6, "count", str(counted.count))
    yield from _evaluated(row)
    yield "    </row>"
    yield "    <identifiers>"
    yield _element(6, "header_from", row.header_from)
    yield _element(6, "envelope_from", row.envelope_from)  # empty: the null sender
    yield from _given(6, [("envelope_to", row.envelope_to)])
    yield "    </identifiers>"
    yield "    <auth_results>"
    for signed in row.signed[:SIGNATURES_MAX]:
        yield from _signed(signed)
    for sent in row.sent[:1]:
        yield from _sent(sent)
    yield "    </auth_results>"
    yield "  </record>"


def _evaluated(row: Row) -> Iterator[str]:
    yield "      <policy_evaluated>"
    yield _element(8, "disposition", row.disposition)
    yield _element(8, "dkim", row.dkim)
    yield _element(8, "spf", row.spf)
    for reason in row.reasons:
        yield "        <reason>"
        yield _element(10, "type", reason.kind)
        yield from _given(10, [("comment", reason.comment)])
        yield "        </reason>"
    yield "      </policy_evaluated>"


def _signed(signed: Signed) -> Iterator[str]:
    yield "      <dkim>"
    yield _element(8, "domain", signed.domain)
    yield _element(8, "selector", signed.selector)
    yield _element(8, "result", signed.result)
    yield from _given(8, [("human_result", signed.human)])
    yield "      </dkim>"


def _sent(sent: Sent) -> Iterator[str]:
    yield "      <spf>"
    yield _element(8, "domain", sent.domain)
    yield _element(8, "scope", "mfrom")  # the only one that DMARC uses
    yield _element(8, "result", sent.result)
    yield from _given(8, [("human_result", sent.human)])
    yield "      </spf>"


def _order(counted: Counted) -> tuple[object, ...]:
    row = counted.row
    return (*_number(row.source_ip), row.header_from, row.envelope_from, row.disposition, repr(row))


def _number(ip: str) -> tuple[int, int]:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return 0, 0
    return address.version, int(address)
