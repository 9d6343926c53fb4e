"""The mail that carries a report."""

from __future__ import annotations

import email
import email.policy

from dmarc_reports import report

from millrace.engine.mailauth.reports.letter import Packed, Submitter, compose
from millrace.engine.mailauth.reports.unpack import read
from millrace.engine.mailauth.reports.writer import to_gzip, to_xml

PACKED = Packed(report(), to_gzip(to_xml(report())))
WHO = Submitter("Receiver Inc.", "dmarc@receiver.example")


def made(submitter: Submitter = WHO) -> email.message.EmailMessage:
    raw = compose(PACKED, submitter, "rua@b.example", 1_763_900_000.0)
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert b"\n" not in raw.replace(b"\r\n", b"")
    return email.message_from_bytes(raw, policy=email.policy.default)  # type: ignore[return-value]


def test_mail_says_what_it_carries_as_the_rfc_writes_it() -> None:
    mail = made()
    assert mail["Subject"] == (
        "Report Domain: b.example Submitter: receiver.example Report-ID: <20251122abcdef>"
    )
    assert (mail["From"], mail["To"]) == (
        '"Receiver Inc." <dmarc@receiver.example>',
        "rua@b.example",
    )
    assert mail["Message-ID"] == "<20251122abcdef@receiver.example>"
    assert (mail["Auto-Submitted"], mail["MIME-Version"]) == ("auto-generated", "1.0")
    assert mail["Date"].datetime.timestamp() == 1_763_900_000
    text, attached = mail.iter_parts()
    assert "5 mails" in text.get_content()
    assert attached.get_content_type() == "application/gzip"
    assert attached.get_filename() == (
        "receiver.example!b.example!1763769600!1763855999!20251122abcdef.xml.gz"
    )
    assert attached.get_content() == PACKED.content


def test_our_own_reader_reads_the_mail_back() -> None:
    found = read(compose(PACKED, WHO, "rua@b.example", 0.0))
    assert [each.mails for each in found.reports] == [5]


def test_name_of_the_organization_cannot_add_a_field() -> None:
    mail = made(Submitter("Bös\r\nBcc: all@b.example", "dmarc@receiver.example"))
    assert mail["Bcc"] is None
    assert mail["From"].addresses[0].display_name == "Bös Bcc: all@b.example"


def test_size_on_the_way_counts_the_encoding() -> None:
    raw = compose(PACKED, WHO, "rua@b.example", 0.0)
    start = raw.index(b"H4sI")
    assert 0 <= PACKED.encoded_size - (raw.index(b"\r\n--", start) - start) <= 78
