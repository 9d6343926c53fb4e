"""DMARC against a published table of RFC 9989 cases, and records."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeDns
from suites import Suites, departures

from millrace.engine.mailauth.dmarc import Evaluation, Proofs, Walker, evaluate, parse, strictest
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
