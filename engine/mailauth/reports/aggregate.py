"""An aggregate report: what one receiver saw of one domain's mail in one period.

RFC 9990 §3.1.1.  Words are those of the XML schema: `policy` is its p, `subdomains` sp,
`nonexistent` np, `failure` fo; "" stands for an element that is not there.

All text is bounded by who makes these values: the reader, and whoever notes mails.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Disposition = Literal["none", "pass", "quarantine", "reject"]
Aligned = Literal["pass", "fail"]
Override = Literal[
    "local_policy",
    "mailing_list",
    "other",
    "policy_test_mode",
    "trusted_forwarder",
    "forwarded",  # RFC 7489 only, like the next
    "sampled_out",
]
DISPOSITIONS: tuple[Disposition, ...] = get_args(Disposition)
OVERRIDES: tuple[Override, ...] = get_args(Override)
DAY_S = 86_400
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u2028\u2029\u202a-\u202e]+"
)


@dataclass(frozen=True, slots=True)
class Published:
    """The policy as it was found; `percent` is RFC 7489's pct, -1 where absent."""

    domain: str
    policy: str = "none"
    subdomains: str = ""
    nonexistent: str = ""
    adkim: str = ""
    aspf: str = ""
    testing: str = ""
    failure: str = ""
    discovery: str = ""
    percent: int = -1


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the disposition is not the one asked for."""

    kind: Override
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Signed:
    """One DKIM result; `result` in the words of RFC 8601."""

    domain: str
    selector: str
    result: str
    human: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """One SPF result; `scope` is mfrom, helo or ""."""

    domain: str
    scope: str
    result: str
    human: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """All that is said of mails alike; how many there were is not part of it."""

    source_ip: str
    disposition: Disposition
    dkim: Aligned
    spf: Aligned
    header_from: str
    envelope_from: str = ""
    envelope_to: str = ""
    reasons: tuple[Reason, ...] = ()
    signed: tuple[Signed, ...] = ()
    sent: tuple[Sent, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether DMARC passes: one aligned proof is enough."""
        return "pass" in (self.dkim, self.spf)


@dataclass(frozen=True, slots=True)
class Counted:
    """A row and its number of mails."""

    row: Row
    count: int


@dataclass(frozen=True, slots=True)
class Report:
    """One report; `begin` and `end` are Unix seconds, both within the period.

    `schema` is the XML namespace, "" for the older form without one.
    """

    organization: str
    email: str
    id: str
    begin: int
    end: int
    published: Published
    rows: tuple[Counted, ...]
    contact: str = ""
    error: str = ""
    generator: str = ""
    schema: str = ""

    @property
    def mails(self) -> int:
        """How many mails it tells of."""
        return sum(each.count for each in self.rows)


@dataclass(frozen=True, slots=True)
class Observation:
    """One mail as a report will count it; `wanted` is the rua tag of its policy."""

    published: Published
    wanted: str
    row: Row


def clean(text: str, limit: int) -> str:
    """Text that can harm neither a terminal nor an XML file, at most `limit` characters."""
    if len(text) <= limit and text.isprintable() and text[:1] != " " != text[-1:]:
        return text  # nearly all: a mail has seven of them
    return _UNPRINTABLE.sub(" ", text[: limit * 2]).strip()[:limit]
