"""DMARC: does the author's domain stand behind this mail, and what if not?

RFC 9989: policy discovery and organizational domain by tree walk (§4.10), alignment
(§4.4), `sp`, `np`, `psd`, `t` (§4.7).  A walk asks at most eight names (§4.10), each
once: the answers serve author, SPF domain and signers.

With a public suffix list the organizational domain is found by RFC 7489 §3.2 instead;
the records mean the same by both ways.  `pct` changes nothing: RFC 9989 has removed it,
and a decision that depends on dice could not be made again from its record.

Gives:  one evaluation for one author domain; of several, the strictest counts.
Fails:  never.  DNS trouble is "temperror"; a record that cannot be used counts as none.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.mailauth.suffixes import Suffixes
from millrace.engine.ports import Answer, Dns

DmarcResult = Literal["none", "pass", "fail", "temperror", "permerror"]
DmarcPolicy = Literal["none", "quarantine", "reject"]
Discovery = Literal["treewalk", "psl"]
POLICIES: tuple[DmarcPolicy, ...] = ("none", "quarantine", "reject")
LABELS_WALKED = 8  # RFC 9989 §4.10: a name with eight or more labels is cut to seven at once
RECORD_MAX = 4096
RECORDS_KEPT = 1024  # as they were read: a few senders send most mail
_VERSION = re.compile(r"[vV][ \t]*=[ \t]*DMARC1[ \t]*(;|$)")  # the value's case counts, §4.7
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[^\s,!]+", re.I)


@dataclass(frozen=True, slots=True)
class Record:
    """A DMARC policy record as far as it is used here; None where a tag is absent."""

    policy: DmarcPolicy
    subdomains: DmarcPolicy | None
    nonexistent: DmarcPolicy | None
    strict_dkim: bool
    strict_spf: bool
    psd: Literal["y", "n", "u"]
    testing: bool
    reports: str = ""  # rua, as published
    failure: str = ""  # fo, as published


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What DMARC says of one author domain.

    `policy` is the one asked for after `t=y`; `record_domain` holds the record that was
    applied, `record` is what it says; `organization` is the organizational domain.
    """

    result: DmarcResult
    policy: DmarcPolicy
    domain: str
    record_domain: str = ""
    organization: str = ""
    spf_aligned: bool = False
    dkim_aligned: bool = False
    reason: str = ""
    record: Record | None = None
    discovery: Discovery = "treewalk"


def parse(text: str) -> Record | None:
    """Read a record; None when it is not one, or lacks what every record needs.

    A tag with a syntax error is ignored (RFC 9989 §4.8), though for policies there is a rule
    of its own: without a valid `p`, or with an invalid `sp` or `np`, a record counts as
    `p=none` if it asks for reports, else as no record (§4.10.1).
    """
    return _parsed(text) if len(text) <= RECORD_MAX else None


@functools.lru_cache(RECORDS_KEPT)
def _parsed(text: str) -> Record | None:
    tags = _tags(text)
    if tags is None:
        return None
    given = {name: _policy(tags[name]) for name in ("p", "sp", "np") if name in tags}
    if "p" not in given or None in given.values():
        if not _asks_for_reports(tags):
            return None
        given = {}
    psd = tags.get("psd", "u").lower()
    return Record(
        policy=given.get("p") or "none",
        subdomains=given.get("sp"),
        nonexistent=given.get("np"),
        strict_dkim=tags.get("adkim", "r").lower() == "s",
        strict_spf=tags.get("aspf", "r").lower() == "s",
        psd=cast("Literal['y', 'n', 'u']", psd if psd in ("y", "n") else "u"),
        testing=tags.get("t", "n").lower() == "y",
        reports=tags.get("rua", ""),
        failure=tags.get("fo", ""),
    )


def _tags(text: str) -> dict[str, str] | None:
    """The tags in lower case; None for what is no record at all."""
    if not _VERSION.match(text):
        return None
    tags: dict[str, str] = {}
    for part in text.split(";")[1:]:
        name, equals, value = part.partition("=")
        name = name.strip(" \t").lower()
        if name in tags or (equals and name == "v"):
            return None  # RFC 6376 §3.2: a tag that stands twice makes the whole list invalid
        if equals:
            tags[name] = value.strip(" \t")
    return tags


def _asks_for_reports(tags: Mapping[str, str]) -> bool:
    return any(_URI.match(uri.strip(" \t")) for uri in tags.get("rua", "").split(","))


def _policy(value: str) -> DmarcPolicy | None:
    lowered = value.lower()
    return next((policy for policy in POLICIES if policy == lowered), None)


class Trouble(Exception):
    """The DNS did not answer a question that decides."""


class Walker:
    """Walks trees for one mail, or looks suffixes up; each name is asked once."""

    def __init__(self, dns: Dns, suffixes: Suffixes | None = None) -> None:
        self._dns = dns
        self._suffixes = suffixes
        self._records: dict[str, Record | None] = {}
        self.asked: list[str] = []

    async def record(self, domain: str) -> Record | None:
        """The one usable record of a domain, or None."""
        if domain not in self._records:
            self.asked.append(domain)
            self._records[domain] = _usable(await self._dns.ask(f"_dmarc.{domain}", "TXT"))
        return self._records[domain]

    async def walk(self, domain: str) -> list[tuple[str, Record]]:
        """The records on the way up, the start first.  RFC 9989 §4.10."""
        found: list[tuple[str, Record]] = []
        for name in steps(domain):
            record = await self.record(name)
            if record is not None:
                found.append((name, record))
                if record.psd != "u":
                    break
        return found

    async def organization(self, domain: str) -> str:
        """The organizational domain.  RFC 9989 §4.10.2, or RFC 7489 §3.2 by the list."""
        if self._suffixes is not None:
            return self._suffixes.organization(domain)
        return organization(domain, await self.walk(domain))

    async def discovered(self, domain: str) -> list[tuple[str, Record]]:
        """The records that may apply.  RFC 9989 §4.10.1, or RFC 7489 §6.6.3 by the list."""
        if self._suffixes is None:
            return await self.walk(domain)
        for name in (domain, self._suffixes.organization(domain)):
            record = await self.record(name)
            if record is not None:
                return [(name, record)]
        return []

    @property
    def discovery(self) -> Discovery:
        """How the organizational domain is found, in RFC 9990's word."""
        return "treewalk" if self._suffixes is None else "psl"


def steps(domain: str) -> Iterable[str]:
    """The names that a walk asks, `_dmarc.` left out."""
    labels = domain.split(".")
    yield domain
    left = labels[-(LABELS_WALKED - 1) :] if len(labels) >= LABELS_WALKED else labels[1:]
    while left:
        yield ".".join(left)
        left = left[1:]


def organization(domain: str, found: list[tuple[str, Record]]) -> str:
    """Choose the organizational domain from what a walk found."""
    for name, record in found:
        if record.psd == "n":
            return name
        if record.psd == "y" and name != domain:
            above = len(name.split("."))
            return ".".join(domain.split(".")[-(above + 1) :])
    return min(found, key=lambda each: each[0].count("."))[0] if found else domain


def _usable(answer: Answer) -> Record | None:
    if answer.failed:
        raise Trouble(f"DNS {answer.status} for the policy")
    texts = [text.decode("utf-8", "replace") for text in answer.texts]
    ours = [text for text in texts if _VERSION.match(text)]
    # RFC 9989 §4.10 step 2: several records are all discarded
    return parse(ours[0]) if len(ours) == 1 else None


@dataclass(frozen=True, slots=True)
class Proofs:
    """Who is proved: the domain that passed SPF ("" if none), and the signers that passed.

    `unsure` says that SPF or DKIM ended in a temporary error, so that a failure may not be one.
    """

    spf: str = ""
    dkim: tuple[str, ...] = ()
    unsure: bool = False


async def evaluate(
    author: str, proofs: Proofs, dns: Dns, walker: Walker | None = None
) -> Evaluation:
    """Evaluate one author domain."""
    domain = ascii_domain(author)
    if not domain:
        return Evaluation("permerror", "none", author, reason="the From domain is none")
    walker = walker or Walker(dns)
    try:
        return await _evaluated(domain, proofs, dns, walker)
    except Trouble as trouble:
        how = walker.discovery
        return Evaluation("temperror", "none", domain, reason=str(trouble), discovery=how)


async def _evaluated(domain: str, proofs: Proofs, dns: Dns, walker: Walker) -> Evaluation:
    found = await walker.discovered(domain)
    home = await walker.organization(domain)
    applied = _applied(domain, home, found)
    if applied is None:
        reason, how = f"{domain} publishes no policy", walker.discovery
        return Evaluation("none", "none", domain, "", home, reason=reason, discovery=how)
    record_domain, record = applied
    spf = await _aligned(domain, home, (proofs.spf,), record.strict_spf, walker)
    dkim = await _aligned(domain, home, proofs.dkim, record.strict_dkim, walker)
    asked = await _asked_for(domain, record_domain, record, dns)
    if record.testing:  # RFC 9989 §4.7: "t=y" asks for one step less
        asked = POLICIES[max(POLICIES.index(asked) - 1, 0)]
    result: DmarcResult = "pass" if spf or dkim else "fail"
    reason = "" if result == "pass" else _failing(proofs)
    if result == "fail" and proofs.unsure:
        result, reason = "temperror", "SPF or DKIM could not be decided for now"
    how = walker.discovery
    return Evaluation(result, asked, domain, record_domain, home, spf, dkim, reason, record, how)


def _failing(proofs: Proofs) -> str:
    if not proofs.spf and not proofs.dkim:
        return "neither SPF nor DKIM speaks for it"
    others = sorted({proofs.spf, *proofs.dkim} - {""})
    return "only other domains speak for it: " + ", ".join(others[:4])


def _applied(domain: str, home: str, found: list[tuple[str, Record]]) -> tuple[str, Record] | None:
    """RFC 9989 §4.10.1: the author domain's, else the organizational domain's, else the PSD's."""
    records = dict(found)
    for name in (domain, home):
        if name in records:
            return name, records[name]
    for name, record in found:
        if record.psd == "y":
            return name, record
    return None


async def _asked_for(domain: str, record_domain: str, record: Record, dns: Dns) -> DmarcPolicy:
    if record_domain == domain:
        return record.policy
    if record.nonexistent is not None and not await _exists(domain, dns):
        return record.nonexistent
    return record.subdomains or record.policy


async def _exists(domain: str, dns: Dns) -> bool:
    """RFC 9989 §3.2.13: a domain without any A, AAAA and MX exists too; NXDOMAIN alone denies."""
    answers = await dns.ask_all([(domain, "A"), (domain, "AAAA"), (domain, "MX")])
    if any(answer.status in ("found", "nodata") for answer in answers):
        return True
    if any(answer.failed for answer in answers):
        raise Trouble("DNS gave no answer whether the domain exists")
    return False


async def _aligned(
    domain: str, home: str, proved: Iterable[str], strict: bool, walker: Walker
) -> bool:
    names = [ascii_domain(name) for name in proved if name]
    if domain in names:
        return True
    if strict:
        return False
    for name in names:
        # names that share no more than a top label cannot share an organization
        if name.split(".")[-1] != home.split(".")[-1]:
            continue
        if await walker.organization(name) == home:
            return True
    return False


def strictest(evaluations: Iterable[Evaluation]) -> Evaluation:
    """Of several author domains, the one that asks for the hardest treatment."""
    weight: Mapping[DmarcResult, int] = {
        "fail": 4, "temperror": 3, "permerror": 2, "none": 1, "pass": 0,
    }  # fmt: skip
    return max(evaluations, key=lambda e: (weight[e.result], POLICIES.index(e.policy)))
