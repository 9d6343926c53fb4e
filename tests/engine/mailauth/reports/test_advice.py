"""What reports say of a domain, and what may be published next."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from dmarc_reports import DAY, report

from millrace.engine.mailauth.reports.advice import Advice, advise
from millrace.engine.mailauth.reports.aggregate import (
    Counted,
    Published,
    Reason,
    Report,
    Row,
    Sent,
    Signed,
)

OWN = Row("192.0.2.1", "none", "pass", "pass", "b.example", "b.example", "", (),
          (Signed("b.example", "s", "pass"),), (Sent("b.example", "mfrom", "pass"),))  # fmt: skip
FAILING = Row("192.0.2.9", "none", "fail", "fail", "b.example")


def failing(**more: Any) -> Row:
    return dataclasses.replace(FAILING, **more)


def told(*rows: tuple[Row, int], days: int = 20, **published: Any) -> list[Report]:
    policy = Published("b.example", **published)
    return [
        report(
            id=f"r{n}",
            begin=DAY + n * 86_400,
            end=DAY + n * 86_400 + 86_399,
            published=policy,
            rows=tuple(Counted(row, count) for row, count in rows),
        )
        for n in range(days)
    ]


def judged(*rows: tuple[Row, int], **more: Any) -> Advice:
    return advise("b.example", told(*rows, **more))


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        (failing(), "unproved"),
        (failing(sent=(Sent("evil.example", "mfrom", "fail"),)), "unproved"),
        (failing(sent=(Sent("esp.example", "mfrom", "pass"),)), "unaligned"),
        (failing(signed=(Signed("esp.example", "s", "pass"),)), "unaligned"),
        (failing(signed=(Signed("b.example", "s", "fail"),)), "broken"),
        (failing(signed=(Signed("b.example", "s", "fail"),),
                 sent=(Sent("list.example", "mfrom", "pass"),)), "broken"),
        (failing(reasons=(Reason("mailing_list"),),
                 sent=(Sent("list.example", "mfrom", "pass"),)), "forwarder"),
        (failing(signed=(Signed("mail.b.example", "s", "pass"),)), "strict"),
        (failing(header_from="news.b.example",
                 sent=(Sent("b.example", "mfrom", "pass"),)), "strict"),
        (failing(source_ip="192.0.2.1"), "own"),
    ],
)  # fmt: skip
def test_failing_mail_has_its_most_likely_cause(row: Row, cause: str) -> None:
    found = judged((OWN, 100), (row, 1))
    source = next(each for each in found.sources if each.ip == row.source_ip)
    assert source.cause == cause


@pytest.mark.parametrize(
    ("policy", "ours", "forged", "days", "target", "safe"),
    [
        ("none", 100, 0, 7, "quarantine", True),
        ("none", 100, 0, 6, "quarantine", False),
        ("none", 10, 0, 7, "quarantine", False),
        ("none", 100, 9_000, 7, "quarantine", True),  # what the policy is against
        ("quarantine", 100, 0, 14, "reject", True),
        ("quarantine", 100, 0, 13, "reject", False),
        ("quarantine", 20, 0, 14, "reject", False),
        ("reject", 100, 0, 14, "reject", True),
    ],
)
def test_next_policy_is_safe_from_its_threshold_on(
    policy: str, ours: int, forged: int, days: int, target: str, safe: bool
) -> None:
    rows = [(OWN, ours), (FAILING, forged)] if forged else [(OWN, ours)]
    found = judged(*rows, days=days, policy=policy)
    assert (found.target, found.safe, not found.reasons) == (target, safe, safe)
    assert f"p={target if safe else policy}" in found.record


@pytest.mark.parametrize(("lost", "safe"), [(2, True), (3, False)])
def test_own_mail_that_fails_keeps_a_policy_back(lost: int, safe: bool) -> None:
    unaligned = failing(sent=(Sent("esp.example", "mfrom", "pass"),))
    found = judged((OWN, 98), (unaligned, lost))
    assert found.safe is safe
    assert found.own_failing == lost * 20


def test_domain_of_which_no_mail_passes_is_never_safe() -> None:
    found = judged((FAILING, 1_000))
    assert not found.safe
    assert "no mail passes at all" in found.reasons


def test_sources_are_added_up_over_reports() -> None:
    by_spf = dataclasses.replace(OWN, dkim="fail", signed=())
    found = judged((OWN, 10), (by_spf, 5), (FAILING, 2), days=2)
    own, other = found.sources
    assert (own.mails, own.by_dkim, own.by_spf, own.failing) == (30, 20, 30, 0)
    assert (other.ip, other.mails, other.failing) == ("192.0.2.9", 4, 4)
    assert (found.mails, found.passing, found.days, found.reports) == (34, 30, 2, 2)
    assert round(found.share, 3) == 0.882


def test_record_keeps_what_was_published() -> None:
    reports = told((OWN, 100), policy="none", subdomains="reject", aspf="s", adkim="r")
    wanted = "mailto:a@b.example,mailto:c@d.example"
    assert advise("b.example", reports, wanted).record == (
        '_dmarc.b.example. 3600 IN TXT "v=DMARC1; p=quarantine; sp=reject; aspf=s;'
        ' rua=mailto:a@b.example,mailto:c@d.example"'
    )


def test_policy_of_the_latest_report_counts() -> None:
    reports = told((OWN, 100), policy="none") + told((OWN, 1), days=21, policy="quarantine")[20:]
    assert advise("b.example", reports).policy == "quarantine"
    assert advise("b.example", reversed(reports)).policy == "quarantine"


def test_no_report_gives_an_advice_too() -> None:
    found = advise("b.example", [])
    assert (found.mails, found.share, found.safe, found.target) == (0, 0.0, False, "quarantine")
    assert len(found.reasons) == 2
