"""The XML that we write: the schema's elements in its order, and nothing that breaks it."""

from __future__ import annotations

import dataclasses
import gzip
import xml.etree.ElementTree as ElementTree

from dmarc_reports import PUBLISHED, REFUSED, ROW, report

from millrace.engine.mailauth.reports.aggregate import Counted, Reason, Report, Sent, Signed
from millrace.engine.mailauth.reports.reader import read_xml
from millrace.engine.mailauth.reports.writer import NAMESPACE, file_name, to_gzip, to_xml

# RFC 9990 §3.1.1, its tables: each element's children in their order; ? optional, * many, + some
SCHEMA = {
    "feedback": "version? report_metadata policy_published extension? record+",
    "report_metadata": "org_name email extra_contact_info? report_id date_range error? generator?",
    "date_range": "begin end",
    "policy_published": "domain discovery_method? p sp? np? fo? adkim? aspf? testing?",
    "record": "row identifiers auth_results",
    "row": "source_ip count policy_evaluated",
    "policy_evaluated": "disposition dkim spf reason*",
    "reason": "type comment?",
    "identifiers": "header_from envelope_from? envelope_to?",
    "auth_results": "dkim* spf?",
    "auth_results/dkim": "domain selector result human_result?",
    "auth_results/spf": "domain scope? result human_result?",
}
WORDS = {
    "version": "1.0",
    "discovery_method": "psl treewalk",
    "p": "none quarantine reject",
    "sp": "none quarantine reject",
    "np": "none quarantine reject",
    "adkim": "r s",
    "aspf": "r s",
    "testing": "y n",
    "disposition": "none pass quarantine reject",
    "policy_evaluated/dkim": "pass fail",
    "policy_evaluated/spf": "pass fail",
    "type": "local_policy mailing_list other policy_test_mode trusted_forwarder",
    "scope": "mfrom",
    "dkim/result": "none pass fail policy neutral temperror permerror",
    "spf/result": "none neutral pass fail softfail temperror permerror",
}


def misfits(element: ElementTree.Element, parent: str = "") -> list[str]:
    """Where a document departs from the tables."""
    assert element.tag.startswith("{" + NAMESPACE + "}")
    name = element.tag.partition("}")[2]
    path = f"{parent}/{name}"
    children = [child.tag.partition("}")[2] for child in element]
    model = SCHEMA.get(path, SCHEMA.get(name if not path.endswith(("/dkim", "/spf")) else ""))
    if model is None:
        words = WORDS.get(path, WORDS.get(name))
        wrong = [f"{path} has children"] if children else []
        if words is not None and element.text not in words.split():
            wrong.append(f"{path} says {element.text!r}")
        return wrong
    wrong = [] if fits(children, model) else [f"{path} holds {children}"]
    return wrong + [line for child in element for line in misfits(child, name)]


def fits(children: list[str], model: str) -> bool:
    left = list(children)
    for entry in model.split():
        name, count = entry.rstrip("?*+"), 0
        while left and left[0] == name:
            left.pop(0)
            count += 1
        if count > 1 and entry[-1] not in "*+":
            return False
        if not count and entry[-1] not in "?*":
            return False
    return not left


def parsed(made: Report) -> ElementTree.Element:
    return ElementTree.fromstring(to_xml(made))


def test_report_has_the_elements_of_the_schema_in_its_order() -> None:
    full = report(contact="https://receiver.example/dmarc", error="two records", rows=(
        Counted(ROW, 3),
        Counted(REFUSED, 2),
        Counted(dataclasses.replace(ROW, signed=(), sent=(), envelope_to="c.example"), 1),
        Counted(dataclasses.replace(ROW, signed=(Signed("a", "b", "fail", "bad"),) * 3), 1),
    ))  # fmt: skip
    assert misfits(parsed(full)) == []
    assert misfits(parsed(report(published=type(PUBLISHED)("b.example")))) == []


def test_the_check_against_the_schema_can_fail() -> None:
    text = to_xml(report()).decode()
    for old, new in (
        ("<p>reject</p>", ""),
        ("<disposition>none", "<disposition>maybe"),
        ("<scope>mfrom</scope>", "<scope>helo</scope>"),
        ("<count>3</count>", "<count>3</count><count>3</count>"),
        ("<version>1.0</version>", "<extra/>"),
    ):
        assert misfits(ElementTree.fromstring(text.replace(old, new, 1))) != [], old


def test_tags_that_are_not_published_have_their_defaults() -> None:
    text = to_xml(report(published=type(PUBLISHED)("b.example", "quarantine"))).decode()
    for line in ("<sp>quarantine</sp>", "<np>quarantine</np>", "<adkim>r</adkim>"):
        assert line in text
    for line in ("<aspf>r</aspf>", "<testing>n</testing>"):
        assert line in text


def test_hostile_words_neither_break_the_xml_nor_swell_it() -> None:
    evil = "</domain><x>&\x00\x0b\ufffe\ud800]]><!--" + "A" * 5_000
    row = dataclasses.replace(
        ROW,
        header_from=evil,
        envelope_from=evil,
        signed=(Signed(evil, evil, "pass", evil),) * 200,
        sent=(Sent(evil, "mfrom", "pass", evil),) * 200,
        reasons=(Reason("other", evil),),
    )
    data = to_xml(report(rows=(Counted(row, 1),), error=evil, organization=evil))
    assert misfits(ElementTree.fromstring(data)) == []
    assert len(data) < 200_000
    (counted,) = read_xml(data).rows
    assert counted.row.header_from.startswith("</domain><x>& ]]><!--aaa")
    assert len(counted.row.signed) == 100


def test_same_report_gives_the_same_octets_whatever_the_order_of_rows() -> None:
    first, second = report(), report(rows=tuple(reversed(report().rows)))
    assert to_gzip(to_xml(first)) == to_gzip(to_xml(second))
    assert to_gzip(b"x")[4:8] == b"\0\0\0\0"
    assert gzip.decompress(to_gzip(to_xml(first))) == to_xml(first)


def test_file_name_says_who_about_whom_and_when() -> None:
    assert file_name("receiver.example", report()) == (
        "receiver.example!b.example!1763769600!1763855999!20251122abcdef.xml.gz"
    )
