"""The mail that carries an aggregate report.

RFC 9990 §3.5.2 (subject, attachment), RFC 5322, RFC 2045, RFC 3834 (nobody's machine
answers it).  The same report, date and destination give the same octets; a report that is
sent again bears the same Report-ID, file name and Message-ID, so that it is known again.

Fails: never; what would break a header field is taken out.
"""

from __future__ import annotations

import base64
import email.utils
from dataclasses import dataclass

from millrace.engine.mailauth.reports.aggregate import Report, clean
from millrace.engine.mailauth.reports.writer import file_name, name_of

GENERATOR = "Millrace"
_TEXT = """This is a DMARC aggregate report about {domain},
for {begin} to {end} (UTC): {mails} mails.
The attached file is meant for a program; it is described in RFC 9990.
{organization} sends it because {domain} asks for it (the tag rua of _dmarc.{domain}).
"""


@dataclass(frozen=True, slots=True)
class Packed:
    """A report, and its file as it is attached: gzip of the XML."""

    report: Report
    content: bytes

    @property
    def encoded_size(self) -> int:
        """Octets of the attachment on its way, base64 and line ends included."""
        return -(-len(self.content) // 57) * 78


@dataclass(frozen=True, slots=True)
class Submitter:
    """Who sends: name and address of the From field; the address's domain is the receiver."""

    organization: str
    address: str

    @property
    def domain(self) -> str:
        """The domain that stands for the receiver."""
        return self.address.rpartition("@")[2]


def compose(packed: Packed, submitter: Submitter, to: str, now: float) -> bytes:
    """The whole mail; `now` in Unix seconds."""
    report = packed.report
    boundary = f"=_{report.id}"
    sender = email.utils.formataddr((clean(submitter.organization, 100), submitter.address))
    name = file_name(submitter.domain, report)
    lines = [
        f"From: {sender}",
        f"To: {to}",
        f"Date: {email.utils.formatdate(now)}",
        f"Message-ID: <{report.id}@{submitter.domain}>",
        f"Subject: Report Domain: {name_of(report.published.domain)}",
        f" Submitter: {submitter.domain}",
        f" Report-ID: <{report.id}>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed;",
        f' boundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: base64",
        "",
        *_base64(_words(report).encode()),
        f"--{boundary}",
        "Content-Type: application/gzip",
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment;",
        f' filename="{name}"',
        "",
        *_base64(packed.content),
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode("ascii", "replace")


def _words(report: Report) -> str:
    return _TEXT.format(
        domain=report.published.domain,
        begin=_moment(report.begin),
        end=_moment(report.end),
        mails=report.mails,
        organization=clean(report.organization, 100),
    )


def _moment(seconds: int) -> str:
    return email.utils.formatdate(seconds, usegmt=True)


def _base64(data: bytes) -> list[str]:
    return [base64.b64encode(data[at : at + 57]).decode("ascii") for at in range(0, len(data), 57)]
