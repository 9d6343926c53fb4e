"""DMARC: does the author's domain stand behind this mail, and what if not?

RFC 9989 (tree walk), or RFC 7489 §3.2 (public suffix list) by option.  Runs after SPF and
DKIM, whose facts it asks for.

Fails: a list that cannot be read is `Misconfigured` at load.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.mail.address import DomainName
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
from millrace.engine.mailauth.suffixes import Suffixes, read
from millrace.engine.ports import Dns
from millrace.filters.dkim import Dkim
from millrace.filters.spf import Spf
from millrace.filters.upstream import Upstream

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
    domain: DomainName
    record_domain: DomainName
    organization: DomainName
    aligned: Aligned
    reason: str = ""
    record: Record | None = None
    discovery: Discovery = "treewalk"


@dataclass(frozen=True, slots=True)
class AlignDmarc:
    """Evaluate the author's domain; of several, the strictest counts."""

    method: Annotated[
        Literal["tree-walk", "public-suffix-list"], "how the organizational domain is found"
    ] = "tree-walk"
    suffixes: Annotated[Path, "the list of that method; Debian's package publicsuffix has it"] = (
        Path("/usr/share/publicsuffix/public_suffix_list.dat")
    )
    _list: Suffixes | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.method == "public-suffix-list":
            object.__setattr__(self, "_list", _listed(self.suffixes))

    async def run(
        self, author: Author, spf: Spf, dkim: Dkim, dns: Dns, upstream: Upstream | None = None
    ) -> Dmarc:
        domains = list(dict.fromkeys(address.domain for address in author.addresses))
        if not domains:
            words = f"From is {author.oddity}"
            return _fact(Evaluation("permerror", "none", "", reason=words))
        if len(domains) > AUTHORS_MAX:
            words = f"From names {len(domains)} domains"
            return _fact(Evaluation("permerror", "none", domains[0], reason=words))
        word: str = spf.result
        domain = spf.domain
        if upstream is not None and upstream.spf:  # our peer is a relay that is believed
            word, domain = upstream.spf, upstream.spf_domain
        unsure = word == "temperror" or dkim.result == "temperror"
        passed = domain if word == "pass" else ""
        proofs = Proofs(passed, dkim.domains, unsure)
        walker = Walker(dns, self._list)
        return _fact(strictest([await evaluate(d, proofs, dns, walker) for d in domains]))


def _listed(path: Path) -> Suffixes:
    hint = 'install the package publicsuffix, or name the list: suffixes = "/path/to/it"'
    try:
        return read(path.read_bytes())
    except OSError as error:
        words = f"the public suffix list cannot be read: {error.strerror}"
    except ValueError as error:
        words = f"this is no public suffix list: it {error}"
    raise Misconfigured(Fault(words, hint, Place(str(path))))


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
