"""DMARC against a published table of RFC 9989 cases, and records."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeDns
from suites import Suites, departures

from millrace.engine.mailauth.dmarc import (
    Evaluation,
    Proofs,
    Walker,
    evaluate,
    parse,
    steps,
    strictest,
)
from millrace.engine.ports import Answer

DEPARTURES = Path(__file__).with_name("departures.toml")


def zone(data: dict[str, Any]) -> FakeDns:
    table: dict[Any, Any] = {}
    for name, record in data.items():
        for kind, values in record.items():
            read = [v.encode() for v in values] if kind == "txt" else values
            table[name, kind.upper()] = read
    return FakeDns(table)


def run(case: dict[str, Any]) -> tuple[Evaluation, list[str]]:
    proofs = Proofs("".join(case["spf_pass"][:1]), tuple(case["dkim_pass"]))
    dns = zone(case["dns"])
    walker = Walker(dns)
    found = asyncio.run(evaluate(case["header_from"], proofs, dns, walker))
    return found, walker.asked


def differences(case: dict[str, Any]) -> str:
    found, asked = run(case)
    said = {
        "result": found.result,
        "policy": found.policy,
        "policy_domain": found.record_domain,
        "org": found.organization,
        "spf_aligned": found.spf_aligned,
        "dkim_aligned": found.dkim_aligned,
        "queries": asked[: len(case["expect"].get("queries", []))],
    }
    return "; ".join(
        f"{key} wants {wanted}, got {said[key]} ({found.reason})"
        for key, wanted in case["expect"].items()
        if said[key] not in (wanted if key == "result" and isinstance(wanted, list) else [wanted])
    )


@pytest.mark.data
def test_the_table_of_rfc_9989_cases_passes_whole(shared_data: Path, suites: Suites) -> None:
    cases = json.loads((shared_data / "dmarc" / "rfc9989-cases.json").read_text())
    wrong = {case["name"]: said for case in cases if (said := differences(case))}
    assert len({case["name"] for case in cases}) == 25
    name = "DMARC RFC 9989 table"
    suites.hold(name, len(cases), wrong, departures(DEPARTURES, name))


@pytest.mark.data
def test_records_are_read_or_refused_as_another_reader_does(
    shared_data: Path, suites: Suites
) -> None:
    rows = (shared_data / "dmarc" / "records.tsv").read_text().splitlines()[1:]
    cases = [row.split("\t")[:2] for row in rows]
    wrong = {
        text: f"{kind}, read as {parse(text)}"
        for kind, text in cases
        if (parse(text) is not None) != (kind == "good")
    }
    name = "DMARC records"
    suites.hold(name, len(cases), wrong, departures(DEPARTURES, name))


@pytest.mark.parametrize(
    "text", ["", "v=", "v=DMARC12; p=none", "v=dmarc1; p=none", "v=DMARC1;", "v=DMARC1; sp=none"]
)
def test_what_is_no_record_is_none(text: str) -> None:
    assert parse(text) is None


def test_a_dns_failure_is_a_temporary_error() -> None:
    dns = FakeDns({("_dmarc.example.org", "TXT"): Answer("timeout")})
    assert asyncio.run(evaluate("example.org", Proofs(), dns)).result == "temperror"


def test_a_failure_while_dkim_is_unsure_is_a_temporary_error() -> None:
    dns = FakeDns({("_dmarc.example.org", "TXT"): [b"v=DMARC1; p=reject"]})
    found = asyncio.run(evaluate("example.org", Proofs(unsure=True), dns))
    assert found.result == "temperror"


def test_of_several_authors_the_hardest_treatment_counts() -> None:
    mild = Evaluation("pass", "reject", "a.example")
    hard = Evaluation("fail", "quarantine", "b.example")
    assert strictest([mild, hard]) is hard


def judged(author: str, zone: dict[str, Any], spf: str = "", *dkim: str) -> Evaluation:
    """One author domain; the zone gives TXT records, or `Answer`s by (name, type)."""
    table = {
        key if isinstance(key, tuple) else (f"_dmarc.{key}", "TXT"): value
        if isinstance(value, Answer)
        else [value]
        for key, value in zone.items()
    }
    return asyncio.run(evaluate(author, Proofs(spf, dkim), FakeDns(table)))


@pytest.mark.parametrize(
    ("author", "spf", "dkim", "strict", "aligned"),
    [  # RFC 9989 Appendix B.1: identifier alignment by SPF, then by DKIM
        ("example.com", "example.com", "", b"aspf=s", True),
        ("example.com", "child.example.com", "", b"", True),
        ("example.com", "child.example.com", "", b"aspf=s", False),
        ("child.example.com", "example.net", "", b"", False),
        ("example.com", "", "example.com", b"adkim=s", True),
        ("child.example.com", "", "example.com", b"", True),
        ("child.example.com", "", "example.com", b"adkim=s", False),
        ("child.example.com", "", "example.net", b"", False),
    ],
)
def test_identifiers_align_as_in_the_examples_of_the_standard(
    author: str, spf: str, dkim: str, strict: bytes, aligned: bool
) -> None:
    found = judged(author, {"example.com": b"v=DMARC1; p=reject; " + strict}, spf, dkim)
    assert found.result == ("pass" if aligned else "fail")


@pytest.mark.parametrize(
    ("zone", "organization"),
    [  # RFC 9989 §4.10.2: the three examples, all from a.mail.example.com on
        ({"mail.example.com": b"v=DMARC1; p=none", "example.com": b"v=DMARC1; p=none"},
         "example.com"),
        ({"mail.example.com": b"v=DMARC1; p=none; psd=n", "example.com": b"v=DMARC1; p=none"},
         "mail.example.com"),
        ({"com": b"v=DMARC1; p=none; psd=y"}, "example.com"),
    ],
)  # fmt: skip
def test_organizational_domain_is_found_as_in_the_examples_of_the_standard(
    zone: dict[str, bytes], organization: str
) -> None:
    assert judged("a.mail.example.com", zone).organization == organization


def test_walk_asks_the_eight_names_that_the_standard_lists() -> None:
    left = ["g.h.i.j.mail", "h.i.j.mail", "i.j.mail", "j.mail", "mail"]
    names = ["a.b.c.d.e.f.g.h.i.j.mail.example.com", *(f"{n}.example.com" for n in left)]
    assert list(steps(names[0])) == [*names, "example.com", "com"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("V = DMARC1 ;P = Reject", ("reject", None, None)),
        ("v=DMARC1;p=reject;sp=QUARANTINE;np=none;", ("reject", "quarantine", "none")),
        ("v=DMARC1; future=x; p=reject; adkim=x", ("reject", None, None)),
        ("v=DMARC1; p=reject; sp=oops; rua=mailto:a@b.example", ("none", None, None)),
        ("v=DMARC1; p=oops; np=reject; rua=ftp:x, mailto:a@b.example", ("none", None, None)),
        ("v=DMARC1; p=reject; sp=oops", None),
        ("v=DMARC1; p=reject; np=", None),
        ("v=DMARC1; p=reject; rua=mailto:a@b.example; rua=mailto:c@d.example", None),
        ("v=DMARC1; p=reject; v=DMARC1", None),
        (" v=DMARC1; p=reject", None),
        ("v=DMARC1\n; p=reject", None),
        ("p=reject; v=DMARC1", None),
    ],
)
def test_record_is_read_as_its_standard_says(text: str, wanted: tuple[Any, ...] | None) -> None:
    found = parse(text)
    said = found and (found.policy, found.subdomains, found.nonexistent)
    assert said == wanted


@pytest.mark.parametrize(
    ("answer", "policy"),
    [
        (Answer("nxdomain"), "reject"),
        (Answer("nodata"), "quarantine"),  # a CNAME to nowhere, or TXT alone: the name exists
        (Answer("found", ("192.0.2.1",)), "quarantine"),
    ],
)
def test_policy_for_names_that_do_not_exist_asks_for_nxdomain(answer: Answer, policy: str) -> None:
    zone: dict[Any, Any] = {"example.com": b"v=DMARC1; p=none; sp=quarantine; np=reject"}
    zone |= {("x.example.com", kind): answer for kind in ("A", "AAAA", "MX")}
    assert judged("x.example.com", zone).policy == policy


def test_test_mode_lowers_each_policy_by_one_step() -> None:
    zone = {"example.com": b"v=DMARC1; p=reject; sp=quarantine; np=reject; t=y"}
    assert judged("example.com", zone).policy == "quarantine"
    exists: dict[Any, Any] = {("x.example.com", "A"): Answer("nodata")}
    assert judged("x.example.com", {**zone, **exists}).policy == "none"
    assert judged("y.example.com", zone).policy == "quarantine"


def test_public_suffix_as_author_is_its_own_organization() -> None:
    zone = {"bank": b"v=DMARC1; p=reject; psd=y"}
    assert judged("bank", zone).organization == "bank"
    found = judged("a.bank", zone, "b.bank")
    assert (found.organization, found.record_domain, found.result) == ("a.bank", "bank", "fail")


def test_walk_that_the_dns_breaks_off_is_a_temporary_error() -> None:
    zone = {"a.example.com": b"v=DMARC1; p=reject", "example.com": Answer("servfail")}
    assert judged("a.example.com", zone).result == "temperror"


def test_two_records_at_one_name_count_as_none() -> None:
    two = Answer("found", (b"v=DMARC1; p=reject", b"v=DMARC1; p=none"))
    zone = {"a.example.com": two, "example.com": b"v=DMARC1; p=none; sp=quarantine"}
    found = judged("a.example.com", zone)
    assert (found.record_domain, found.policy) == ("example.com", "quarantine")


def test_texts_that_are_no_records_do_not_disturb_the_one() -> None:
    texts = Answer(
        "found", (b"v=spf1 -all", b"\xff\xfe", b"v=DMARC2; p=none", b"v=DMARC1;p=reject")
    )
    assert judged("example.com", {"example.com": texts}).policy == "reject"


@pytest.mark.parametrize(
    ("author", "asked"),
    [("münchen.example", "xn--mnchen-3ya.example"), ("MÜNCHEN.example.", "xn--mnchen-3ya.example")],
)
def test_domain_in_other_letters_is_asked_in_its_ascii_form(author: str, asked: str) -> None:
    found = judged(author, {asked: b"v=DMARC1; p=reject"}, "mail." + asked)
    assert (found.result, found.domain) == ("pass", asked)
