"""What many reports say of one domain: who sends in its name, and what comes next.

RFC 9989 §5 (going from none to quarantine to reject), in plain words.

A source is one IP address.  Each kind of failing mail gets its most likely cause; a
policy may be raised when nearly all mail that seems to be the domain's own passes: mail
that nothing at all speaks for is what the policy is against, and does not count.

    to quarantine   100 mails of  7 days, at most 2.0 % of the domain's own mail failing
    to reject       500 mails of 14 days, at most 0.5 %, and quarantine is published

Fails: never; without a report the advice says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from millrace.engine.mailauth.domains import is_under
from millrace.engine.mailauth.reports.aggregate import DAY_S, Published, Report, Row

Cause = Literal["unaligned", "strict", "own", "forwarder", "broken", "unproved"]
NEXT = {"none": "quarantine", "quarantine": "reject", "reject": "reject"}
DAYS_LISTED_MAX = 400
NAMES_MAX = 5


@dataclass(frozen=True, slots=True)
class Threshold:
    """What must be seen before a policy is advised; `failing` is a share of own mail."""

    mails: int
    days: int
    failing: float


THRESHOLDS = {"quarantine": Threshold(100, 7, 0.02), "reject": Threshold(500, 14, 0.005)}
CAUSES: dict[Cause, str] = {
    "unaligned": "a service sends for you under its own name: let it sign with your domain",
    "strict": "only a sub- or parent domain speaks for it: adkim=s or aspf=s is too strict",
    "own": "mail from here mostly passes, this did not: look at that server's signing",
    "forwarder": "forwarded: it lost SPF on the way, and it has no signature to live on",
    "broken": "your signature broke on the way: a list or a forwarder changed the mail",
    "unproved": "nothing speaks for it: a forger, or a server of yours that you forgot",
}
OURS: frozenset[Cause] = frozenset({"unaligned", "strict", "own", "forwarder", "broken"})
FORWARDED = ("forwarded", "mailing_list", "trusted_forwarder")


@dataclass(slots=True)
class Source:
    """One address; `speaks` are the domains that it could prove, or else claimed."""

    ip: str
    mails: int = 0
    by_dkim: int = 0
    by_spf: int = 0
    failing: int = 0
    causes: Counter[Cause] = field(default_factory=Counter)
    speaks: Counter[str] = field(default_factory=Counter)
    authors: Counter[str] = field(default_factory=Counter)
    reporters: set[str] = field(default_factory=set)

    @property
    def cause(self) -> Cause | None:
        """The most common cause of its failures."""
        return self.causes.most_common(1)[0][0] if self.causes else None


@dataclass(frozen=True, slots=True)
class Advice:
    """The whole of it; `safe` says that `record` may be published now."""

    domain: str
    mails: int
    passing: int
    own_failing: int
    days: int
    reports: int
    reporters: tuple[str, ...]
    sources: tuple[Source, ...]
    policy: str
    target: str
    safe: bool
    reasons: tuple[str, ...]
    record: str

    @property
    def share(self) -> float:
        """The part of all mail that passes, 0 to 1."""
        return self.passing / self.mails if self.mails else 0.0


def advise(domain: str, reports: Iterable[Report], wanted: str = "") -> Advice:
    """Read the reports about a domain; `wanted` is its rua tag where that is known."""
    sources: dict[str, Source] = {}
    days: set[int] = set()
    reporters: Counter[str] = Counter()
    latest: tuple[int, Published] = (-1, Published(domain))
    failing: list[tuple[Source, Row, int, Published]] = []
    for report in reports:
        reporters[report.organization] += 1
        days.update(_days(report))
        policy = report.published
        if report.end >= latest[0] and policy.domain == domain:
            latest = report.end, policy
        for each in report.rows:
            source = sources.setdefault(each.row.source_ip, Source(each.row.source_ip))
            _add(source, each.row, each.count, report.organization)
            if not each.row.passes:
                failing.append((source, each.row, each.count, policy))
    for source, row, count, policy in failing:
        source.causes[_cause(source, row, policy)] += count
    listed = tuple(sorted(sources.values(), key=lambda s: (-s.mails, s.ip)))
    return _judged(domain, listed, days, reporters, latest[1], wanted)


def _days(report: Report) -> range:
    first = report.begin // DAY_S
    # a period that ends at midnight or a little after it has not seen the next day
    last = max((report.end - 3600) // DAY_S, first)
    return range(first, min(last + 1, first + DAYS_LISTED_MAX))


def _add(source: Source, row: Row, count: int, reporter: str) -> None:
    source.mails += count
    source.by_dkim += count if row.dkim == "pass" else 0
    source.by_spf += count if row.spf == "pass" else 0
    source.failing += 0 if row.passes else count
    source.authors[row.header_from] += count
    source.reporters.add(reporter)
    proved = {each.domain for each in row.signed if each.result == "pass"}
    proved |= {each.domain for each in row.sent if each.result == "pass"}
    for name in proved or {row.envelope_from}:
        if name:
            source.speaks[name] += count


def _cause(source: Source, row: Row, policy: Published) -> Cause:
    """The most likely reason why this mail failed."""
    signed_by = {each.domain for each in row.signed if each.result == "pass"}
    sent_by = {each.domain for each in row.sent if each.result == "pass"}
    if any(_akin(name, row.header_from, policy.domain) for name in signed_by | sent_by):
        return "strict"
    ours = [s for s in row.signed if s.domain and _akin(s.domain, row.header_from, policy.domain)]
    if any(each.result != "pass" for each in ours):
        return "broken"
    if any(reason.kind in FORWARDED for reason in row.reasons):
        return "forwarder"
    if source.mails > 2 * source.failing:
        return "own"
    return "unaligned" if signed_by or sent_by else "unproved"


def _akin(name: str, author: str, policy_domain: str) -> bool:
    return is_under(name, policy_domain) or is_under(author, name) or is_under(name, author)


def _judged(
    domain: str,
    sources: tuple[Source, ...],
    days: set[int],
    reporters: Counter[str],
    published: Published,
    wanted: str,
) -> Advice:
    mails = sum(source.mails for source in sources)
    passing = mails - sum(source.failing for source in sources)
    own_failing = sum(n for s in sources for cause, n in s.causes.items() if cause in OURS)
    current = published.policy if published.policy in NEXT else "none"
    target = NEXT[current]
    reasons = _reasons(mails, passing, own_failing, len(days), THRESHOLDS[target])
    return Advice(
        domain=domain,
        mails=mails,
        passing=passing,
        own_failing=own_failing,
        days=len(days),
        reports=sum(reporters.values()),
        reporters=tuple(name for name, _ in reporters.most_common(NAMES_MAX)),
        sources=sources,
        policy=current,
        target=target,
        safe=not reasons,
        reasons=reasons,
        record=_record(domain, published, current if reasons else target, wanted),
    )


def _reasons(
    mails: int, passing: int, own_failing: int, days: int, bound: Threshold
) -> tuple[str, ...]:
    """Why not yet."""
    found = []
    if mails < bound.mails:
        found.append(f"{mails:,} mails are too few to judge by: {bound.mails} are wanted")
    if days < bound.days:
        found.append(f"{counted(days, 'day')} of reports are too few: {bound.days} are wanted")
    own = passing + own_failing
    share = own_failing / own if own else 0.0
    if mails and share > bound.failing:
        words = f"{share:.1%} of what seems your own mail fails; {bound.failing:.1%} is the most"
        found.append(words)
    if mails and not passing:
        found.append("no mail passes at all")
    return tuple(found)


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 mail", "2,000 mails"."""
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def _record(domain: str, published: Published, policy: str, wanted: str) -> str:
    """The record in full, with what was published kept."""
    tags = ["v=DMARC1", f"p={policy}"]
    kept = {"sp": published.subdomains, "np": published.nonexistent}
    tags += [
        f"{name}={value}" for name, value in kept.items() if value and value != published.policy
    ]
    tags += [f"{name}=s" for name in ("adkim", "aspf") if getattr(published, name) == "s"]
    tags.append(f"rua={wanted or f'mailto:dmarc@{domain}'}")
    return f'_dmarc.{domain}. 3600 IN TXT "{"; ".join(tags)}"'
