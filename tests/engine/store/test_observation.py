"""What one decision adds to a report: the truth, in the report's words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from dmarc_reports import REPORTER, decision, fact

from millrace.engine.mail.envelope import Sender
from millrace.engine.mail.session import Login
from millrace.engine.mail.verdict import Action
from millrace.engine.mailauth.dkim import Signature
from millrace.engine.mailauth.dmarc import parse
from millrace.engine.mailauth.reports.aggregate import Observation
from millrace.engine.store.observation import observe
from millrace.filters.arc import Arc
from millrace.filters.dkim import Dkim
from millrace.filters.dmarc import Aligned, Dmarc


def seen(*args: Any, **more: Any) -> Observation:
    found = observe(decision(*args, **more), REPORTER)
    assert found is not None
    return found


def test_mail_is_told_as_it_came() -> None:
    found = seen(fact(passes=True), facts={"dkim": Dkim("pass", (
        Signature("fail", "b.example", "old", "rsa-sha256"),
        Signature("pass", "other.example", "o", "rsa-sha256"),
        Signature("pass", "mail.b.example", "m", "rsa-sha256"),
        Signature("pass", "b.example", "s1", "rsa-sha256"),
    ))})  # fmt: skip
    row = found.row
    assert (row.source_ip, row.header_from, row.envelope_from) == (
        "192.0.2.7", "b.example", "bounce.b.example",
    )  # fmt: skip
    assert (row.dkim, row.spf) == ("pass", "fail")
    assert [each.selector for each in row.signed] == ["s1", "m", "o", "old"]
    assert [(s.domain, s.scope, s.result) for s in row.sent] == [
        ("bounce.b.example", "mfrom", "softfail")
    ]
    assert (found.wanted, found.published.domain) == ("mailto:r@b.example", "b.example")


def test_policy_is_told_as_it_was_published() -> None:
    tags = "p=reject; sp=quarantine; np=none; adkim=s; t=y; fo=1"
    published = seen(fact("quarantine", tags=tags)).published
    assert (published.policy, published.subdomains, published.nonexistent) == (
        "reject", "quarantine", "none",
    )  # fmt: skip
    assert (published.adkim, published.aspf, published.testing) == ("s", "r", "y")
    assert (published.failure, published.discovery) == ("1", "treewalk")


TRUSTED = Arc("pass", ("l.example",), True)
TESTING = ["policy_test_mode"]
SUBDOMAIN = fact("none", tags="p=reject; sp=quarantine; t=y", domain="n.b.example")


@pytest.mark.parametrize(
    ("dmarc", "action", "arc", "disposition", "reasons"),
    [
        # what passes is "pass" under a policy that enforces, whatever else became of it
        (fact("reject", passes=True), Action.PASS, None, "pass", []),
        (fact("none", passes=True), Action.PASS, None, "none", []),
        (fact("none", passes=True, tags="p=quarantine; t=y"), Action.PASS, None, "pass", []),
        (fact("reject", passes=True), Action.REJECT, None, "pass", []),
        # what fails is told as it was done
        (fact("none"), Action.PASS, None, "none", []),
        (fact("reject"), Action.REJECT, None, "reject", []),
        (fact("quarantine"), Action.QUARANTINE, None, "quarantine", []),
        (fact("quarantine"), Action.TAG, None, "quarantine", []),
        # and why, where that is not what was asked for
        (fact("reject"), Action.PASS, None, "none", ["local_policy"]),
        (fact("reject"), Action.QUARANTINE, None, "quarantine", ["local_policy"]),
        (fact("none"), Action.REJECT, None, "reject", ["local_policy"]),
        (fact("reject"), Action.DISCARD, None, "reject", []),
        (fact("reject"), Action.PASS, TRUSTED, "none", ["trusted_forwarder"]),
        (fact("reject"), Action.PASS, Arc("pass", ("l.example",)), "none", ["local_policy"]),
        (fact("reject"), Action.REJECT, TRUSTED, "reject", []),
        (fact("quarantine", tags="p=reject; t=y"), Action.TAG, None, "quarantine", TESTING),
        (fact("none", tags="p=quarantine; t=y"), Action.PASS, None, "none", TESTING),
        (fact("none", tags="p=none; t=y"), Action.PASS, None, "none", []),
        (SUBDOMAIN, Action.PASS, None, "none", TESTING),
        (fact("reject", result="temperror"), Action.PASS, None, "none", ["other"]),
    ],
)  # fmt: skip
def test_disposition_is_what_was_done_and_says_why(
    dmarc: Dmarc, action: Action, arc: Arc | None, disposition: str, reasons: list[str]
) -> None:
    row = seen(dmarc, action, facts={"arc": arc} if arc else {}).row
    assert (row.disposition, [each.kind for each in row.reasons]) == (disposition, reasons)


def test_mail_that_nobody_asks_about_is_not_noted() -> None:
    unasked = dataclasses.replace(fact(), record=parse("v=DMARC1; p=reject"))
    none = Dmarc("none", "none", "b.example", "", "b.example", Aligned(False, False))
    for each in (unasked, none, None):
        assert observe(decision(each), REPORTER) is None


def test_mail_of_our_own_users_or_without_an_address_is_not_noted() -> None:
    assert observe(decision(fact(), login=Login("ann", "PLAIN")), REPORTER) is None
    assert observe(decision(fact(), ip=""), REPORTER) is None


def test_mail_that_will_come_again_is_counted_then() -> None:
    assert observe(decision(fact(), Action.DEFER), REPORTER) is None


def test_bounce_of_a_report_makes_no_report() -> None:
    assert observe(decision(fact(), to=[REPORTER.upper()]), REPORTER) is None
    assert observe(decision(fact(), to=[REPORTER, "ann@r.example"]), REPORTER) is not None
    assert observe(decision(fact(), to=["dmarc@receiver.example"]), "") is not None


def test_null_sender_is_told_as_empty() -> None:
    assert seen(fact(), sender=Sender(None)).row.envelope_from == ""


def test_words_of_strangers_are_bounded() -> None:
    many = tuple(Signature("fail", "d" * 9_000, "s\x00\n" * 900, "a") for _ in range(90))
    row = seen(fact(tags="p=reject; fo=" + "1:" * 900), facts={"dkim": Dkim("fail", many)})
    assert len(row.row.signed) == 20
    assert max(len(s.domain) for s in row.row.signed) == 255
    assert "\n" not in row.row.signed[0].selector
    assert len(row.published.failure) == 40
