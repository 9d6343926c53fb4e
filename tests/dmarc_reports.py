"""Aggregate reports that several tests share."""

from __future__ import annotations

import dataclasses
from typing import Any

from millrace.engine.mailauth.reports.aggregate import (
    Counted,
    Published,
    Reason,
    Report,
    Row,
    Sent,
    Signed,
)

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
