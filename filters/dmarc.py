"""DMARC: does the author's domain stand behind this mail, and what if not?

RFC 9989 (tree walk).  Runs after SPF and DKIM, whose facts it asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

from millrace.engine.mail.author import Author
from millrace.engine.mail.finding import Fact
from millrace.engine.mailauth.dmarc import (
    Discovery,
    DmarcPolicy,
    DmarcResult,
    Evaluation,
    Proofs,
    Record,
    Walker,
    evaluate,
    strictest,
)
from millrace.engine.ports import Dns
from millrace.filters.dkim import Dkim
from millrace.filters.spf import Spf

AUTHORS_MAX = 4  # domains of one From that are evaluated


@dataclass(frozen=True, slots=True)
class Aligned:
    """Whether SPF's and DKIM's domain belong to the author's."""

    spf: bool
    dkim: bool


@dataclass(frozen=True, slots=True)
class Dmarc(Fact):
    """What DMARC says; `policy` is the treatment that the author's domain asks for.

    `record` is the published record that was applied, found by `discovery`.
    """

    result: DmarcResult
    policy: DmarcPolicy
    domain: str
    record_domain: str
    organization: str
    aligned: Aligned
    reason: str = ""
    record: Record | None = None
    discovery: Discovery = "treewalk"


@dataclass(frozen=True, slots=True)
class AlignDmarc:
    """Evaluate the author's domain; of several, the strictest counts."""

    async def run(self, author: Author, spf: Spf, dkim: Dkim, dns: Dns) -> Dmarc:
        domains = list(dict.fromkeys(address.domain for address in author.addresses))
        if not domains:
            words = f"From is {author.oddity}"
            return _fact(Evaluation("permerror", "none", "", reason=words))
        if len(domains) > AUTHORS_MAX:
            words = f"From names {len(domains)} domains"
            return _fact(Evaluation("permerror", "none", domains[0], reason=words))
        unsure = spf.result == "temperror" or dkim.result == "temperror"
        passed = spf.domain if spf.result == "pass" else ""
        proofs = Proofs(passed, dkim.domains, unsure)
        walker = Walker(dns)
        return _fact(strictest([await evaluate(d, proofs, dns, walker) for d in domains]))


def _fact(found: Evaluation) -> Dmarc:
    return Dmarc(
        found.result,
        found.policy,
        found.domain,
        found.record_domain,
        found.organization,
        Aligned(found.spf_aligned, found.dkim_aligned),
        found.reason,
        found.record,
        found.discovery,
    )
