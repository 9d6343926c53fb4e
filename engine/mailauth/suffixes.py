"""The public suffix list: under which names does anybody register domains?

RFC 7489 §3.2 finds the organizational domain with it: the public suffix and one label
more.  Format by publicsuffix.org: a rule a line, `*.` for every name below, `!` for an
exception; the longest rule wins, and a top label that no rule names is a suffix.
Both parts of the list count, ICANN's and the private one, as verifiers have always done.

Fails: `read` raises ValueError with a sentence for what is no such list.
"""

from __future__ import annotations

from dataclasses import dataclass

from millrace.engine.mailauth.domains import ascii_domain

OCTETS_MAX = 4 << 20  # the list of today has 330 KB
RULES_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Suffixes:
    """The rules as A-labels, in lower case, their marks kept."""

    rules: frozenset[str]

    def suffix(self, domain: str) -> str:
        """The public suffix of a name in A-labels; the name itself may be one."""
        labels = domain.split(".")
        for at in range(len(labels)):
            name, above = ".".join(labels[at:]), ".".join(labels[at + 1 :])
            if f"!{name}" in self.rules:
                return above
            if name in self.rules or f"*.{above}" in self.rules:
                return name
        return labels[-1]

    def organization(self, domain: str) -> str:
        """The suffix and one label more; a name that is a suffix stands for itself."""
        suffix = self.suffix(domain)
        if suffix == domain:
            return domain
        depth = len(suffix.split(".")) + 1
        return ".".join(domain.split(".")[-depth:])


def read(octets: bytes) -> Suffixes:
    """Read the list as it is published (UTF-8)."""
    if len(octets) > OCTETS_MAX:
        raise ValueError(f"is larger than {OCTETS_MAX >> 20} MiB")
    try:
        lines = octets.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError("is no text in UTF-8") from None
    # "each rule ends at the first white space"
    words = [line.split()[0] for line in lines if line.strip() and not line.startswith("//")]
    rules = frozenset(filter(None, map(_rule, words[:RULES_MAX])))
    if "com" not in rules:
        raise ValueError("has no rule for 'com'")
    return Suffixes(rules)


def _rule(word: str) -> str:
    for mark in ("!", "*."):
        if word.startswith(mark):
            name = ascii_domain(word.removeprefix(mark))
            return mark + name if name else ""
    return ascii_domain(word)
