"""A survey of a domain: each fault is named once, with what to do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.engine.mailauth.survey import Subject, survey, worst
from millrace.engine.mailauth.survey.line import QUOTED_MAX, Line
from millrace.engine.net.dns import BudgetedDns, CachedDns
from millrace.engine.net.zone import ZoneDns

KEY = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8463's own
GOOD: dict[str, Any] = {
    "a.example": {
        "TXT": ["v=spf1 mx ip4:192.0.2.64/26 -all"],
        "MX": ["10 mail.a.example"],
        "secure": True,
    },
    "mta-sts.a.example": {"A": ["192.0.2.8"]},
    "mail.a.example": {"A": ["192.0.2.7"]},
    "7.2.0.192.in-addr.arpa": {"PTR": ["mail.a.example"]},
    "s1._domainkey.a.example": {"TXT": [KEY]},
    "_dmarc.a.example": {"TXT": ["v=DMARC1; p=reject; rua=mailto:dmarc@a.example"]},
    "_mta-sts.a.example": {"TXT": ["v=STSv1; id=20260101T000000;"]},
    "_smtp._tls.a.example": {"TXT": ["v=TLSRPTv1; rua=mailto:tls@a.example"]},
    "_25._tcp.mail.a.example": {"TLSA": ["3 1 1 " + "ab" * 32], "secure": True},
}


def looked(zone: dict[str, Any], name: str = "a.example", **more: Any) -> list[Line]:
    dns = BudgetedDns(CachedDns(ZoneDns.of(zone), lambda: 0.0), 1_000)
    return asyncio.run(survey(Subject(name, **more), dns))


def changed(**records: Any) -> dict[str, Any]:
    """The good zone with some names replaced; None takes one away."""
    return {k: v for k, v in (GOOD | records).items() if v is not None}


def told(lines: list[Line], subject: str) -> list[tuple[str, str]]:
    return [(line.state, line.finding) for line in lines if line.subject == subject]


def spf(record: str, **others: str) -> list[Line]:
    zone = changed(**{"a.example": {"TXT": [record], "MX": ["10 mail.a.example"]}})
    zone |= {name.replace("_", "-") + ".example": {"TXT": [text]} for name, text in others.items()}
    return [line for line in looked(zone) if line.subject == "SPF"]


def test_a_domain_in_order_needs_no_mending() -> None:
    lines = looked(GOOD, selectors=("s1",))
    assert {line.state for line in lines} == {"ok"}, lines
    assert [line.mend for line in lines if line.mend] == []
    assert worst(lines) == "ok"


def test_a_domain_that_is_not_there_is_said_to_be_none() -> None:
    assert told(looked(GOOD, "b.example"), "DNS") == [("wrong", "there is no such domain")]


def test_ten_look_ups_are_counted_over_the_whole_tree_and_the_dearest_is_to_be_written_out() -> (
    None
):
    big = " ".join(f"include:n{at}.example" for at in range(9))
    networks = {f"n{at}": f"v=spf1 ip4:192.0.2.{at} -all" for at in range(9)}
    lines = spf(
        "v=spf1 mx include:big.example include:n0.example -all",
        big=f"v=spf1 {big} -all",
        **networks,
    )
    costs = [line for line in lines if "look-ups" in line.finding and "networks" in line.finding]
    (cost,) = costs
    assert (cost.state, cost.finding) == ("wrong", "12 of 10 look-ups, 11 networks")
    assert "big.example (10 look-ups, 9 networks)" in cost.mend
    assert cost.mend.endswith("That leaves 2 look-ups.")
    assert any("permerror" in line.finding for line in lines)


@pytest.mark.parametrize(
    ("record", "state", "words"),
    [
        ("v=spf1 +all", "wrong", "everybody may send"),
        ("v=spf1 all", "wrong", "everybody may send"),
        ("v=spf1 mx ?all", "note", "says nothing about others"),
        ("v=spf1 mx", "note", "has no end"),
        ("v=spf1 -all mx", "wrong", "after all"),
        ("v=spf1 ptr -all", "note", "ptr"),
        ("v=spf1 ipv4:192.0.2.1 -all", "wrong", "permerror"),
        ("v=spf1 include:absent.example -all", "wrong", "absent.example has no SPF record"),
        ("v=spf1 include:a.example -all", "wrong", "includes itself"),
        ("v=spf1 ip4:192.0.2.1 " + "ip4:192.0.2.2 " * 40 + "-all", "note", "octets"),
    ],
)
def test_each_fault_of_an_spf_record_is_named_with_its_mending(
    record: str, state: str, words: str
) -> None:
    found = [line for line in spf(record) if words in line.finding and line.state != "ok"]
    assert found, spf(record)
    assert found[0].state == state
    assert found[0].mend


def test_two_spf_records_are_wrong_and_none_is_told() -> None:
    two = changed(**{"a.example": {"TXT": ["v=spf1 -all", "v=spf1 ~all"]}})
    assert told(looked(two), "SPF")[0][0] == "wrong"
    none = changed(**{"a.example": {"TXT": ["words"]}})
    assert told(looked(none), "SPF")[0][0] == "none"


@pytest.mark.parametrize(
    ("record", "state", "words"),
    [
        ("v=DKIM1; p=", "note", "revoked"),
        (KEY.replace("; k", "; t=y; k"), "note", "test mode"),
        ("v=DKIM1; k=dsa; p=AAAA", "wrong", "unknown key type"),
        ("\x00;;;" * 30, "wrong", "s1:"),
        (None, "wrong", "no key is published"),
    ],
)
def test_each_fault_of_a_key_is_named(record: str | None, state: str, words: str) -> None:
    zone = changed(**{"s1._domainkey.a.example": {"TXT": [record]} if record else None})
    ((found, finding),) = told(looked(zone, selectors=("s1",)), "DKIM")
    assert (found, words in finding) == (state, True), finding


def test_keys_under_common_names_are_found_without_being_named() -> None:
    zone = changed(**{"google._domainkey.a.example": {"TXT": [KEY]}})
    assert ("ok", "google: ed25519 256 bits") in told(looked(zone), "DKIM")


def test_reports_that_go_elsewhere_need_the_consent_of_the_other_side() -> None:
    asks = {"TXT": ["v=DMARC1; p=none; pct=9; rua=mailto:x@b.example"]}
    zone = changed(**{"_dmarc.a.example": asks})
    lines = [line for line in looked(zone) if line.subject == "DMARC"]
    assert [line.state for line in lines] == ["ok", "note", "note", "wrong"]
    assert "a.example._report._dmarc.b.example. TXT" in lines[-1].mend
    agreed = zone | {"a.example._report._dmarc.b.example": {"TXT": ["v=DMARC1"]}}
    assert ("ok", "reports go to x@b.example") in told(looked(agreed), "DMARC")


def test_a_policy_from_above_is_told_with_its_domain() -> None:
    zone = GOOD | {"sub.a.example": {"TXT": ["v=spf1 -all"]}}
    finding = told(looked(zone, "sub.a.example"), "DMARC")[0]
    assert finding == ("ok", "p=reject, by a.example; organizational domain a.example")


def test_hosts_are_followed_to_their_addresses_and_back() -> None:
    zone = changed(
        **{
            "a.example": {
                "TXT": ["v=spf1 -all"],
                "MX": ["10 alias.a.example", "20 gone.a.example"],
            },
            "alias.a.example": {"CNAME": ["mail.a.example"]},
        }
    )
    lines = looked(zone, addresses=("2001:db8::7",))
    assert [state for state, _ in told(lines, "MX")] == ["wrong", "wrong"]
    assert ("note", "2001:db8::7  has no name") in told(lines, "PTR")
    null = changed(**{"a.example": {"TXT": ["v=spf1 -all"], "MX": ["0 ."]}})
    assert told(looked(null), "MX")[0][1].startswith("takes no mail")


def test_tlsa_counts_from_a_signed_zone_only() -> None:
    plain = changed(**{"_25._tcp.mail.a.example": {"TLSA": ["3 1 1 " + "ab" * 32]}})
    assert told(looked(plain), "TLSA")[0][0] == "note"


@pytest.mark.parametrize("name", ["a.example", "_dmarc.a.example", "_mta-sts.a.example"])
def test_what_the_dns_does_not_answer_is_unknown_and_no_fault(name: str) -> None:
    lines = looked(changed(**{name: {"error": "timeout"}}), selectors=("s1",))
    assert worst(lines) == "unknown"
    assert "wrong" not in {line.state for line in lines}


@given(st.lists(st.text(max_size=80), min_size=1, max_size=3), st.sampled_from(sorted(GOOD)))
@settings(max_examples=150, deadline=None)
def test_whatever_stands_in_the_dns_gives_lines(texts: list[str], name: str) -> None:
    lines = looked(changed(**{name: {"TXT": texts}}), selectors=("s1",))
    assert lines
    assert all(line.finding.isprintable() for line in lines)
    assert all(len(line.finding) < QUOTED_MAX * 3 for line in lines)


@given(st.text(alphabet="v=spf1 include:redirect=a mx%{i}/.~-?+0:", max_size=120))
@settings(max_examples=150, deadline=None)
def test_whatever_an_spf_record_says_gives_lines(rest: str) -> None:
    assert spf("v=spf1 " + rest)


@pytest.mark.parametrize(
    ("records", "subject", "state", "words"),
    [
        ({"a.example": {"MX": ["0 .", "5 mail.a.example"]}}, "MX", "wrong", "a null MX stands"),
        ({"a.example": {"MX": ["5 192.0.2.7"]}}, "MX", "wrong", "192.0.2.7 is an address"),
        ({"mta-sts.a.example": None}, "MTA-STS", "wrong", "mta-sts.a.example has no address"),
        ({"mta-sts.a.example": {"error": "servfail"}}, "MTA-STS", "unknown", "mta-sts.a.example"),
        ({"_dmarc.a.example": {"TXT": "v=DMARC1; p=banana"}}, "DMARC", "wrong", "cannot be used"),
        ({"s1._domainkey.a.example": {"error": "timeout"}}, "DKIM", "unknown", "s1._domainkey"),
        (
            {"_25._tcp.mail.a.example": {"TLSA": "1 1 1 " + "ab" * 32, "secure": True}},
            "TLSA", "wrong", "no record that SMTP can use",
        ),
        (
            {"_25._tcp.mail.a.example": {"TLSA": "3 1 1 ab", "secure": True}},
            "TLSA", "wrong", "no record that SMTP can use",
        ),
        (
            {"a.example": {"TXT": "v=spf1 -all", "MX": "10 mail.a.example"}},
            "TLSA", "note", "the MX is not from a signed zone",
        ),
        (
            {"a.example": {"TXT": "v=spf1 a:x.example a:y.example a:z.example -all"}},
            "SPF", "wrong", "more than 2 void look-ups",
        ),
    ],
)  # fmt: skip
def test_each_fault_has_its_state(records: Any, subject: str, state: str, words: str) -> None:
    found = told(looked(changed(**records), selectors=("s1",)), subject)
    assert [each for each in found if each[0] == state and words in each[1]], found


def test_text_of_a_wildcard_is_no_key_and_a_silent_dns_is_told() -> None:
    wild = changed(**{"k1._domainkey.a.example": {"TXT": "hello"}})
    assert [state for state, _ in told(looked(wild), "DKIM")] == ["ok"]  # s1, in common use
    away = changed(**{"s1._domainkey.a.example": {"error": "timeout"}})
    assert [state for state, _ in told(looked(away), "DKIM")] == ["unknown"]


def test_key_that_signs_here_must_be_the_one_that_is_published() -> None:
    assert told(looked(GOOD, own={"s1": KEY}), "DKIM")[0][0] == "ok"
    other = KEY.replace("11qY", "22qY")
    ((state, finding),) = told(looked(GOOD, own={"s1": other}), "DKIM")
    assert (state, "another key is published" in finding) == ("wrong", True)
    (missing,) = told(looked(changed(**{"s1._domainkey.a.example": None}), own={"s1": KEY}), "DKIM")
    assert missing == ("wrong", "s1: no key is published")


def test_domain_that_takes_no_mail_is_still_looked_at_for_what_it_sends() -> None:
    zone = changed(**{"a.example": {"TXT": "v=spf1 ip4:192.0.2.7 -all", "MX": "0 ."}})
    lines = looked(zone, addresses=("192.0.2.7",))
    assert told(lines, "MX") == [("note", "takes no mail (null MX, RFC 7505)")]
    assert told(lines, "PTR") == [("ok", "192.0.2.7  mail.a.example, confirmed")]
    assert {"MTA-STS", "TLS-RPT"} <= {line.subject for line in lines}


def test_names_of_others_are_printable_in_the_mending_too() -> None:
    zone = changed(**{"mail.a.example": {"CNAME": "\x1b[31m.example"}})
    assert all((line.finding + line.mend).isprintable() for line in looked(zone))
