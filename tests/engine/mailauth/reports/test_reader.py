"""XML that is strange, and XML that wants to do harm."""

from __future__ import annotations

import time

import pytest
from dmarc_reports import REFUSED, ROW, report

from millrace.engine.mailauth.reports import reader
from millrace.engine.mailauth.reports.aggregate import Counted
from millrace.engine.mailauth.reports.reader import Unreadable, read_xml
from millrace.engine.mailauth.reports.writer import to_xml

XML = to_xml(report())


def changed(old: str, new: str) -> bytes:
    assert old in XML.decode()
    return XML.decode().replace(old, new, 1).encode()


def refusal(data: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        read_xml(data)
    return str(caught.value)


def test_what_is_written_is_read_back_the_same() -> None:
    read = read_xml(XML)
    assert read.schema == "urn:ietf:params:xml:ns:dmarc-2.0"
    assert set(read.rows) == {Counted(ROW, 3), Counted(REFUSED, 2)}
    assert (read.published.policy, read.published.subdomains) == ("reject", "none")
    assert (read.published.nonexistent, read.published.adkim) == ("none", "s")
    assert (read.organization, read.id, read.begin) == (
        "Receiver Inc.",
        "20251122abcdef",
        report().begin,
    )


def test_report_without_an_id_is_named_by_its_period() -> None:
    nameless = changed("<report_id>20251122abcdef</report_id>", "<report_id/>")
    assert read_xml(nameless).id == "1763769600-1763855999"


def test_rows_alike_are_counted_together() -> None:
    start, end = XML.index(b"  <record>"), XML.index(b"</feedback>")
    doubled = XML[:start] + XML[start:end] * 2 + XML[end:]
    assert {each.count for each in read_xml(doubled).rows} == {6, 4}


def test_extension_elements_are_skipped_whole() -> None:
    extension = '<x:row xmlns:x="urn:x"><x:count>9</x:count><count>9</count></x:row></record>'
    assert read_xml(changed("</record>", extension)).mails == 5


def test_older_words_and_elements_are_understood() -> None:
    old = XML.decode().replace(' xmlns="urn:ietf:params:xml:ns:dmarc-2.0"', "")
    old = old.replace("identifiers", "identities").replace("softfail", "HardFail")
    old = old.replace("<type>local_policy", "<type>sampled_out").replace(
        "<testing>n", "<pct>50</pct><testing>n"
    )
    read = read_xml(old.encode())
    assert (read.schema, read.published.percent) == ("", 50)
    row = next(each.row for each in read.rows if each.row.reasons)
    assert (row.sent[0].result, row.reasons[0].kind, row.header_from) == (
        "fail",
        "sampled_out",
        "b.example",
    )


def test_octets_that_are_no_utf8_are_replaced() -> None:
    assert (
        read_xml(XML.replace(b"Receiver Inc.", b"Receiver \xb6nc.")).organization
        == "Receiver \ufffdnc."
    )


def test_text_that_would_harm_a_terminal_is_cleaned() -> None:
    read = read_xml(changed("Receiver Inc.", "A\u202eB&#x9b;31mC\n\tD"))
    assert read.organization == "A B 31mC D"


def test_text_is_cut_at_its_bound() -> None:
    assert len(read_xml(changed("Receiver Inc.", "A" * 9_000)).organization) == 255


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("<count>3</count>", "<count>-3</count>", "row 1: '-3' is no number of mails"),
        ("<count>3</count>", "<count>3e9</count>", "row 1: '3e9' is no number of mails"),
        ("<count>3</count>", "<count>²</count>", "row 1: '²' is no number of mails"),
        ("<count>3</count>", f"<count>{'9' * 30}</count>", f"row 1: '{'9' * 30}' is no number"),
        ("<count>3</count>", "", "row 1: '' is no number of mails"),
        ("192.0.2.7", "192.0.2.700", "row 1: '192.0.2.700' is no IP address"),
        ("<begin>1763769600", "<begin>yesterday", "its period's begin is no time: 'yesterday'"),
        ("<begin>1763769600", "<begin>-1", "its period's begin is no time: '-1'"),
        ("<begin>1763769600", "<begin>1.0e999", "its period's begin is no time: '1.0e999'"),
        ("<begin>1763769600", "<begin>99999999999999", "its period's begin is no time"),
        ("<begin>1763769600", "<begin>1863769600", "its period from 1863769600 to 1763855999"),
        ("<begin>1763769600", "<begin>1", "its period from 1 to"),
        ("<domain>b.example</domain>", "", "it does not say whose policy it is about"),
        ("</feedback>", "", "its XML is broken: no element found"),
        ('encoding="UTF-8"', 'encoding="x-none"', "it is written in an encoding"),
        ('encoding="UTF-8"', 'encoding="big5"', "it is written in an encoding"),
        ("<row>", "<row " + " ".join(f'a{n}=""' for n in range(40)) + ">", "an element has 40"),
        ("<row>", "<row>" * 20, "its elements are nested deeper than 16"),
        ("<row>", "<row>" + "<a/>" * 3_000, "a row has more than 2000 elements"),
        ("<version>", "<a/>" * 3_000 + "<version>", "a row has more than 2000 elements"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_a_sentence(old: str, new: str, why: str) -> None:
    assert refusal(changed(old, new)).startswith(why)


def test_report_without_rows_is_refused() -> None:
    assert refusal(to_xml(report(rows=()))) == "it holds no rows"


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE feedback>",
        '<!DOCTYPE feedback SYSTEM "http://192.0.2.1/a.dtd">',
        '<!DOCTYPE feedback [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE f [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>',
        '<!DOCTYPE f [<!ENTITY % p SYSTEM "http://192.0.2.1/x"> %p;]>',
        "<!DOCTYPE f [<!ATTLIST feedback a CDATA 'x'>]>",
    ],
)
def test_document_type_is_refused_before_it_declares_anything(doctype: str) -> None:
    data = changed("<feedback", doctype + "<feedback")
    assert refusal(data).startswith("it declares a document type")


def test_flood_of_rows_is_refused_at_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "ROWS_MAX", 500)
    start, end = XML.index(b"  <record>"), XML.index(b"</record>") + 9
    assert refusal(XML[:start] + XML[start:end] * 9_000) == "it has more than 500 rows"


def test_flood_of_depth_is_refused_early() -> None:
    began = time.process_time()
    assert refusal(b"<feedback>" + b"<a>" * 1_000_000).startswith("its elements are nested")
    assert time.process_time() - began < 1
