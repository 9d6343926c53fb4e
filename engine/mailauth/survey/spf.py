"""SPF: who may send for a domain, and what must be asked to know it?

RFC 7208 §4.6.4 (ten terms that look up, two void look-ups), §3.1 to §3.4 (the record).
The whole tree is walked, whether a peer would match early or not: the worst case counts.

Gives:  the record, its cost, its end, and advice for flattening.
Fails:  never; the walk is bounded in records and depth.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.mailauth.spf import check
from millrace.engine.mailauth.spfrecord import Mechanism, Record, parse
from millrace.engine.mailauth.survey.line import Line, State, quoted, unknown
from millrace.engine.ports import Answer, Dns, RecordType

SUBJECT = "SPF"
LOOKUPS_MAX = 10  # RFC 7208 §4.6.4
ROOM = 3  # look-ups that should be left, since those who are included grow
RECORDS_MAX = 40  # that are walked
UDP_SAFE = 450  # RFC 7208 §3.4
_ASKING = frozenset({"include", "a", "mx", "ptr", "exists"})
_SOMEBODY = "203.0.113.255"  # in no network that anybody sends from (RFC 5737)


@dataclass(slots=True)
class Branch:
    """One record of the tree; `lookups` counts the terms below and in it."""

    domain: str
    record: Record = field(default_factory=lambda: Record(()))
    lookups: int = 0
    branches: list[Branch] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    broken: str = ""

    def has(self, name: str, result: str = "") -> bool:
        """Whether a mechanism stands in this record."""
        found = [each for each in self.record.mechanisms if each.name == name]
        return any(not result or each.result == result for each in found)


async def look(domain: str, dns: Dns) -> list[Line]:
    """Lines about a domain's SPF."""
    answer = await dns.ask(domain, "TXT")
    if answer.failed:
        return [unknown(SUBJECT, domain, answer)]
    records = _records(answer)
    if not records:
        mend = f'Publish, for instance:  {domain}. TXT "v=spf1 mx -all"'
        return [Line(SUBJECT, "none", "no record: nobody can tell who may send", mend)]
    if len(records) > 1:
        told = f"{len(records)} records: every receiver says permerror (RFC 7208 §4.5)"
        return [Line(SUBJECT, "wrong", told, "Merge them into one record.")]
    tree = await _Walk(dns).branch(domain, records[0])
    lines = [Line(SUBJECT, "ok", quoted(records[0]))]
    lines += await _evaluated(domain, dns)
    lines += [*_size(records[0]), *_ending(tree), *_cost(tree), *_oddities(tree)]
    return lines


def _records(answer: Answer) -> list[str]:
    texts = [text.decode("utf-8", "replace") for text in answer.texts]
    return [text for text in texts if re.match(r"v=spf1( |$)", text, re.I)]


async def _evaluated(domain: str, dns: Dns) -> list[Line]:
    """What a receiver's evaluation says to a peer that nothing can match."""
    sender = f"postmaster@{domain}"
    found = await check(_SOMEBODY, sender, domain, domain, dns)
    if found.result == "temperror":
        return [Line(SUBJECT, "unknown", quoted(found.reason), "Ask again later.")]
    if found.result == "permerror":
        mend = "Mend the record: receivers treat it as none, or refuse."
        return [Line(SUBJECT, "wrong", f"permerror: {quoted(found.reason)}", mend)]
    return []


class _Walk:
    """One walk over a tree of records."""

    def __init__(self, dns: Dns) -> None:
        self._dns = dns
        self._left = RECORDS_MAX
        self._path: list[str] = []

    async def branch(self, domain: str, text: str) -> Branch:
        """A record, and all that it includes."""
        try:
            made = Branch(domain, parse(text))
        except ValueError as error:
            return Branch(domain, broken=f"cannot be read: {quoted(str(error))}")
        self._path.append(domain)
        for mechanism in made.record.mechanisms:
            made.lookups += mechanism.name in _ASKING
            await self._follow(mechanism, made)
        if made.record.redirect and not made.has("all"):
            made.lookups += 1
            await self._descend(made.record.redirect, made)
        self._path.pop()
        return made

    async def _follow(self, mechanism: Mechanism, made: Branch) -> None:
        if mechanism.network:
            bits = 32 if mechanism.name == "ip4" else 128
            length = "" if mechanism.prefix4 == bits else f"/{mechanism.prefix4}"
            made.networks.append(f"{mechanism.name}:{mechanism.network}{length}")
        elif "%" in mechanism.domain:
            return  # nobody knows the name before there is a mail
        elif mechanism.name in ("a", "mx"):
            name = ascii_domain(mechanism.domain) or made.domain
            made.networks += await self._addresses(mechanism, name)
        elif mechanism.name == "include":
            await self._descend(mechanism.domain, made)

    async def _descend(self, spec: str, made: Branch) -> None:
        if "%" in spec:
            return
        below = await self._below(ascii_domain(spec) or spec)
        made.branches.append(below)
        made.lookups += below.lookups
        made.networks += below.networks

    async def _below(self, name: str) -> Branch:
        self._left -= 1
        if self._left < 0:
            return Branch(name, broken="is one record too many to follow")
        if name in self._path:
            return Branch(name, broken="includes itself")
        answer = await self._dns.ask(name, "TXT")
        if answer.failed:
            return Branch(name, broken=f"has no answer in the DNS ({answer.status})")
        records = _records(answer)
        if len(records) != 1:
            return Branch(name, broken=f"has {len(records) or 'no'} SPF record(s)")
        return await self.branch(name, records[0])

    async def _addresses(self, mechanism: Mechanism, name: str) -> list[str]:
        hosts = [name]
        if mechanism.name == "mx":
            answer = await self._dns.ask(name, "MX")
            hosts = [str(r[1]) for r in answer.records[:10] if isinstance(r, tuple)]
        kinds: tuple[RecordType, RecordType] = ("A", "AAAA")
        answers = await self._dns.ask_all([(host, kind) for host in hosts for kind in kinds])
        found = [str(record) for answer in answers for record in answer.records[:10]]
        return [network for text in found if (network := _network(text, mechanism))]


def _network(address: str, mechanism: Mechanism) -> str:
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return ""
    length, bits = (mechanism.prefix4, 32) if version == 4 else (mechanism.prefix6, 128)
    return f"ip{version}:{address}" + ("" if length == bits else f"/{length}")


# --- what is said about the tree


def _size(record: str) -> list[Line]:
    if len(record) <= UDP_SAFE:
        return []
    told = f"{len(record)} octets: with other TXT records it may not fit a UDP answer"
    return [Line(SUBJECT, "note", told, f"Keep it below {UDP_SAFE} octets (RFC 7208 §3.4).")]


def _ending(tree: Branch) -> list[Line]:
    names = [mechanism.name for mechanism in tree.record.mechanisms]
    if "all" not in names:
        if tree.record.redirect or tree.broken:
            return []
        mend = "End the record with -all, or ~all while you watch reports."
        return [Line(SUBJECT, "note", "has no end: others are neutral", mend)]
    lines = []
    if tree.has("all", "pass"):
        mend = "End it with -all or ~all instead of +all."
        lines.append(Line(SUBJECT, "wrong", "says that everybody may send", mend))
    if tree.has("all", "neutral"):
        mend = "End it with ~all, then -all, instead of ?all."
        lines.append(Line(SUBJECT, "note", "says nothing about others", mend))
    if names.index("all") < len(names) - 1:
        mend = "Move all to the end."
        lines.append(Line(SUBJECT, "wrong", "has terms after all, which nobody reads", mend))
    return lines


def _cost(tree: Branch) -> list[Line]:
    told = f"{tree.lookups} of {LOOKUPS_MAX} look-ups, {len(tree.networks)} networks"
    if tree.lookups <= LOOKUPS_MAX - ROOM:
        return [Line(SUBJECT, "ok", told)]
    state: State = "wrong" if tree.lookups > LOOKUPS_MAX else "note"
    return [Line(SUBJECT, state, told, _flattening(tree))]


def _flattening(tree: Branch) -> str:
    """Which include to write out, dearest first, until the rest fits with room to spare."""
    costs = sorted(tree.branches, key=lambda branch: -(branch.lookups + 1))
    chosen: list[Branch] = []
    left = tree.lookups
    for branch in costs:
        if left <= LOOKUPS_MAX - ROOM:
            break
        chosen.append(branch)
        left -= branch.lookups + 1
    if not chosen:
        return "Write addresses (ip4:, ip6:) in place of a and mx."
    parts = [
        f"{b.domain} ({b.lookups + 1} look-ups, {len(b.networks)} networks{_few(b)})"
        for b in chosen
    ]
    words = "Write out, and keep up to date by a script: " + "; ".join(parts)
    return f"{words}. That leaves {left} look-ups."


def _few(branch: Branch) -> str:
    return ": " + " ".join(branch.networks) if 0 < len(branch.networks) <= 6 else ""


def _oddities(tree: Branch) -> Iterator[Line]:
    for branch in _all(tree):
        if branch.broken:
            told = f"{quoted(branch.domain)} {branch.broken}"
            yield Line(SUBJECT, "wrong", told, f"Remove it, or mend {quoted(branch.domain)}.")
        if branch.has("ptr"):
            told = f"{branch.domain} uses ptr, which receivers may ignore (RFC 7208 §5.5)"
            yield Line(SUBJECT, "note", told, "Name networks or hosts instead.")
        if branch is not tree and branch.has("all", "pass"):
            told = f"{branch.domain} lets everybody send, and so does whoever includes it"
            yield Line(SUBJECT, "wrong", told, f"Do not include {branch.domain}.")


def _all(tree: Branch) -> Iterator[Branch]:
    yield tree
    for branch in tree.branches:
        yield from _all(branch)
