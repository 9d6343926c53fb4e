"""Aggregate reports, and decisions that lead to them, which several tests share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from millrace.engine.mail.address import Address
from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.session import Peer, Session
from millrace.engine.mail.verdict import PASS, Action, Verdict
from millrace.engine.mailauth.dmarc import Record, parse
from millrace.engine.mailauth.reports.aggregate import (
    Counted,
    Observation,
    Published,
    Reason,
    Report,
    Row,
    Sent,
    Signed,
)
from millrace.engine.policy.decision import Decision, RecipientDecision
from millrace.engine.store.reports import ReportStore, key_of
from millrace.filters.dmarc import Aligned, Dmarc
from millrace.filters.spf import Spf

DAY = 20_414 * 86_400  # 2025-11-22
ROW = Row(
    "192.0.2.7",
    "none",
    "pass",
    "fail",
    "b.example",
    "bounce.b.example",
    "",
    (),
    (Signed("b.example", "s1", "pass"),),
    (Sent("bounce.b.example", "mfrom", "softfail"),),
)
REFUSED = dataclasses.replace(
    ROW,
    source_ip="2001:db8::7",
    disposition="reject",
    dkim="fail",
    reasons=(Reason("local_policy", "known spoofer"),),
    signed=(),
)
PUBLISHED = Published("b.example", "reject", "none", "", "s", "r", "n", "1:d", "treewalk")


def report(**more: Any) -> Report:
    given = {
        "organization": "Receiver Inc.",
        "email": "dmarc@receiver.example",
        "id": "20251122abcdef",
        "begin": DAY,
        "end": DAY + 86_399,
        "published": PUBLISHED,
        "rows": (Counted(ROW, 3), Counted(REFUSED, 2)),
        "generator": "Millrace 0.1.0",
    }
    return Report(**{**given, **more})


TODAY = DAY // 86_400
SEEN = Observation(PUBLISHED, "mailto:r@b.example", ROW)


def other(n: int, domain: str = "b.example") -> Observation:
    """Another source's mail."""
    published = dataclasses.replace(PUBLISHED, domain=domain)
    return Observation(published, SEEN.wanted, dataclasses.replace(ROW, source_ip=f"10.0.0.{n}"))


def count_rows(path: Path, times: int) -> None:
    """One process of several that note mails."""
    store = ReportStore(path)
    for n in range(times):
        store.note({key_of(TODAY, SEEN): 1, key_of(TODAY, other(n % 7)): 1}, DAY)
    store.close()


# --- decisions

REPORTER = "dmarc@receiver.example"


def record(tags: str = "p=reject") -> Record:
    found = parse(f"v=DMARC1; {tags}; rua=mailto:r@b.example")
    assert found is not None
    return found


def fact(policy: Any = "reject", *, tags: str = "", **more: Any) -> Dmarc:
    passes = more.pop("passes", False)
    return Dmarc(
        more.pop("result", "pass" if passes else "fail"),
        policy,
        more.pop("domain", "b.example"),
        "b.example",
        "b.example",
        Aligned(False, passes),
        "",
        record(tags or f"p={policy}"),
    )


def decision(dmarc: Dmarc | None, action: Action = Action.PASS, **more: Any) -> Decision:
    facts: dict[str, Any] = {"spf": Spf("softfail", "mfrom", "bounce.b.example")}
    facts |= more.pop("facts", {})
    if dmarc is not None:
        facts["author"] = dmarc  # whatever the operator calls it
    to = [Recipient(Address(*each.split("@"))) for each in more.pop("to", ["ann@r.example"])]
    session = Session(
        "S", "line", Peer(more.pop("ip", "192.0.2.7")), None, None, more.pop("login", None)
    )
    return Decision(
        "A1", 1_763_800_000.0, "r", "inbound", session,
        more.pop("sender", Sender(Address("a", "bounce.b.example"))),
        tuple(RecipientDecision(each, PASS, {}) for each in to),
        Verdict(action), 0.0, (), facts, (), (), 100, 1.0,
    )  # fmt: skip
