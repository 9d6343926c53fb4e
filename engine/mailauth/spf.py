"""SPF: may this peer send for this domain?

RFC 7208, RFC 8616 §4.  pyspf is the evaluator; its look-ups come through our DNS port.
It is run again and again, each time with more answers at hand: what it misses is noted,
asked for together, and the next round goes further.  Names that the answers point to
(`include:`, `redirect=`) are asked ahead, so that two rounds are usual.

Where pyspf departs from them, its walk through the terms is replaced here:
  - modifier names are compared case aside; unknown ones may repeat, and ask nothing (§6);
  - `redirect=` counts as a look-up when it is followed, not when it stands there (§4.6.4);
  - the explanation is asked for after a fail only, and its macros count nothing (§6.2);
  - DNS trouble makes `ptr` skip a name and `%{p}` "unknown"; it is no temperror (§5.5, §7.3);
  - `%{p}` prefers the domain that is under check, also inside an include (§7.3);
  - macros: `R`, `%{d0}`, strange delimiters, and rest behind them are judged; parts are
    joined by dots whatever they were split at; long names lose as many labels as must go,
    and explanations none (§7.1, §7.3);
  - octets that are not visible ASCII are a syntax error in every term (§4.6.1, §7.1);
  - a record that includes itself is wrong when that term is reached, not before (§4.6);
  - a quoted local part may hold "@"; one that is not ASCII matches no macro (RFC 8616 §4).

At most ten terms that look up and two void look-ups (§4.6.4) are pyspf's own count;
rounds and record sizes are bounded here, since a record is its owner's choice.

A check that looked at nothing but the peer, the domain and the DNS is not done again while
they are the same (`recollection`).

Gives:  the result, the identity that was checked, and the term that matched.
Fails:  never.  DNS trouble is "temperror" (§2.6.6), a hostile record "permerror".
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import spf as pyspf

from millrace.engine.mailauth import spfrecord
from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.mailauth.recollection import Recollections
from millrace.engine.ports import Answer, Dns, Question, RecordType

SpfResult = Literal["none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"]
ROUNDS_MAX = 24
QUESTIONS_MAX = 64  # more than RFC 7208 lets one check ask, counting MX and PTR hosts
RECORD_MAX = 4096  # octets; 60 KB of unknown modifiers would cost 300 ms
_AHEAD = re.compile(rb"(?:^|\s)[+?~-]?(?:include:|redirect=)([A-Za-z0-9._-]+)(?=\s|$)", re.I)
_AHEAD_MAX = 11
NAMES_MAX = 10  # of a PTR answer, RFC 7208 §4.6.4
EXPLANATION_MAX = 512


@dataclass(frozen=True, slots=True)
class Outcome:
    """What SPF says; `scope` is the identity, `term` what matched, `reason` is for people."""

    result: SpfResult
    scope: Literal["mfrom", "helo"]
    domain: str
    term: str = ""
    reason: str = ""
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One check: who asks for whom, names in A-labels."""

    ip: str
    local: str
    domain: str
    helo: str
    receiver: str
    scope: Literal["mfrom", "helo"]
    now: float


class _Missing(Exception):
    """An answer is not at hand yet."""


class _Query(pyspf.query):  # type: ignore[misc]
    """pyspf over answers that are at hand; what is not, is noted in `missing`."""

    def __init__(self, asked: _Asked, answers: dict[Question, Answer]) -> None:
        super().__init__(i=asked.ip, s="x@x", h=asked.helo, receiver=asked.receiver or None)
        self.l, self.o, self.d = asked.local, asked.domain, asked.domain
        self.s, self.t = f"{self.l}@{self.o}", str(int(asked.now))
        self.answers = answers
        self.missing: list[Question] = []
        self.personal = False  # whether more than the peer and the domain was looked at
        self.explain, self.explainer = "", ""

    def check0(self, spf: str | None, recursion: int) -> tuple[str, int, str]:
        """Walk through one record; the explanation waits for the end."""
        if spf is None:
            return "none", 250, ""
        try:
            record = spfrecord.parse(spf)
        except ValueError as error:
            raise pyspf.PermError(str(error)) from None
        if not recursion:
            self.explain, self.explainer = record.explain, self.d
        for mechanism in record.mechanisms:
            if self._matches(mechanism, recursion):
                if not recursion:
                    self.mechanism = mechanism.text
                return mechanism.result, 250, ""
        target = self._name(record.redirect) if record.redirect else None
        if target is None:
            return "neutral", 250, ""
        self.check_lookups()
        found = self.dns_spf(target)
        if not found:
            raise pyspf.PermError(f"redirect={target}, which has no SPF record")
        answer: tuple[str, int, str] = self.check1(found, target, recursion)
        return answer

    def _matches(self, mechanism: spfrecord.Mechanism, recursion: int) -> bool:
        name, prefix = mechanism.name, mechanism.prefix6 if self.v == "ip6" else mechanism.prefix4
        if name in ("all", "ip4", "ip6"):
            ours = name == ("ip6" if self.v == "ip6" else "ip4")
            return name == "all" or (ours and self.cidrmatch([mechanism.network], prefix))
        self.check_lookups()
        domain = self._name(mechanism.domain or "%{d}")
        if domain is None:
            return False
        if name == "include":
            return self._includes(domain, recursion)
        if name == "exists":
            return bool(self.dns(domain, "A"))
        if name == "ptr":
            suffix = domain.lower()
            return any(n == suffix or n.endswith("." + suffix) for n in self.validated_ptrs())
        hosts = [domain] if name == "a" else self._exchanges(domain)
        self._need(*((host, self.A) for host in hosts))
        return any(self.cidrmatch(self.dns(host, self.A), prefix) for host in hosts)

    def _includes(self, domain: str, recursion: int) -> bool:
        found = self.dns_spf(domain)
        if not found:
            raise pyspf.PermError(f"include:{domain}, which has no SPF record")
        return bool(self.check1(found, domain, recursion + 1)[0] == "pass")

    def _exchanges(self, domain: str) -> list[str]:
        found = sorted(self.dns(domain, "MX"))
        if len(found) > pyspf.MAX_MX:
            raise pyspf.PermError(f"{domain} has more than {pyspf.MAX_MX} MX records")
        return [host for _, host in found if host.rstrip(".")]

    def validated_ptrs(self) -> list[str]:
        """The peer's names that lead back to it; trouble leaves a name out (RFC 7208 §5.5)."""
        pointer = self.ipaddr.reverse_pointer
        names = self._or_nothing(pointer, "PTR")[:NAMES_MAX]
        names = [str(name).rstrip(".").lower() for name in names]
        self._need(*((name, self.A) for name in names))
        full = self.ipaddr.max_prefixlen
        return [n for n in names if self.cidrmatch(self._or_nothing(n, self.A), full)]

    def _or_nothing(self, name: str, kind: str) -> list[Any]:
        try:
            return self.dns(name, kind)
        except pyspf.TempError:
            return []

    def _name(self, spec: str) -> str | None:
        """A domain-spec as a name; None where it can match nothing (RFC 8616 §4)."""
        if not self.l.isascii() and spfrecord.uses(spec, "sl"):
            return None
        return spfrecord.shortened(spfrecord.expanded(spec, self._value))

    def _value(self, letter: str) -> str:
        self.personal = self.personal or letter not in "div"
        return self._preferred() if letter == "p" else str(getattr(self, letter))

    def _preferred(self) -> str:
        names, domain = self.validated_ptrs(), self.d.lower()
        below = [name for name in names if name.endswith("." + domain)]
        return domain if domain in names else [*below, *names, "unknown"][0]

    def explanation(self) -> str:
        """The owner's text for a fail, expanded; "" where there is none that can be shown."""
        self.d, self.void_lookups = self.explainer, -QUESTIONS_MAX  # nothing counts any more
        name = self._name(self.explain) if self.explain else None
        texts = self.dns(name, "TXT", ignore_void=True) if name else []
        text = texts[0][0].decode("ascii", "replace") if len(texts) == 1 else ""
        if not spfrecord.explains(text):
            return ""
        shown = spfrecord.expanded(text, self._value)
        return shown[:EXPLANATION_MAX] if shown.isascii() and shown.isprintable() else ""

    def _need(self, *questions: tuple[str, str]) -> None:
        """Note everything that a term will ask, so that one round fetches it."""
        wanted = [(ascii_domain(name), cast("RecordType", kind)) for name, kind in questions]
        unknown = [q for q in wanted if q[0] and q not in self.answers]
        if unknown:
            self.missing += unknown
            raise _Missing

    def dns(
        self,
        name: object,
        qtype: str,
        cnames: object = None,
        ignore_void: bool = False,
    ) -> list[Any]:
        """Answer as pyspf's own would: records, [] for a void look-up, TempError for trouble."""
        wanted = ascii_domain(str(name))
        if not wanted:
            return []  # RFC 7208 §4.3: a malformed name counts as having no records
        question: Question = (wanted, cast("RecordType", qtype))
        answer = self.answers.get(question)
        if answer is None:
            self.missing.append(question)
            raise _Missing
        if answer.failed:
            raise pyspf.TempError(f"DNS {answer.status} for {wanted} {qtype}")
        if not answer.records and not ignore_void:
            self._count_void(wanted)
        return _as_pyspf(answer, qtype)

    def cidrmatch(self, ipaddrs: Sequence[str], n: int) -> bool:
        """Whether the peer is in one of these networks; pyspf's own makes objects of each."""
        peer = self.ipaddr
        size = peer.max_prefixlen
        try:
            known = [_address(text) for text in ipaddrs]
        except ValueError as error:
            raise pyspf.PermError(str(error)) from None
        ours = (size, int(peer) >> (size - n))
        return any((bits, number >> (size - n)) == ours for bits, number in known)

    def _count_void(self, name: str) -> None:
        self.void_lookups += 1
        if self.void_lookups > pyspf.MAX_VOID_LOOKUPS:
            raise pyspf.PermError(f"more than {pyspf.MAX_VOID_LOOKUPS} void look-ups ({name})")


@functools.lru_cache(maxsize=8192)
def _address(text: str) -> tuple[int, int]:
    """An address as (its bits, its number); records of large senders come again and again."""
    read = ipaddress.ip_address(text)
    return read.max_prefixlen, int(read)


def _as_pyspf(answer: Answer, qtype: str) -> list[Any]:
    if qtype == "TXT":
        return [(text,) for text in answer.texts]
    if qtype == "AAAA":
        return [str(record) for record in answer.records]
    return list(answer.records)


async def check(
    ip: str, sender: str, domain: str, helo: str, dns: Dns, receiver: str = "", now: float = 0.0
) -> Outcome:
    """Check MAIL FROM, or HELO where the sender is null (RFC 7208 §2.4).

    `sender` is the whole address, "" for the null sender; `domain` its domain; `now` is Unix
    time in seconds, for `%{t}`.
    """
    scope: Literal["mfrom", "helo"] = "mfrom" if sender else "helo"
    shown = ascii_domain(domain if sender else helo)
    ip = _numeric(ip)
    # RFC 7208 §4.3: a malformed name, a single label or an address literal has no policy
    if not ip or "." not in shown or shown[0] == "[":
        reason = "no peer address" if not ip else f"{domain or helo or '(nothing)'} is no domain"
        return Outcome("none", scope, domain if sender else helo, "", reason)
    local = sender.rpartition("@")[0] or "postmaster"  # RFC 7208 §4.3
    greeting = ascii_domain(helo) or "unknown"
    return await _driven(_Asked(ip, local, shown, greeting, receiver, scope, now), dns)


@functools.lru_cache(maxsize=4096)
def _numeric(ip: str) -> str:
    """The peer's address without its zone, "" where it is none."""
    try:
        return str(ipaddress.ip_address(ip.partition("%")[0]))
    except ValueError:
        return ""


async def _driven(asked: _Asked, dns: Dns) -> Outcome:
    known, fresh = await _known.recall((asked.ip, asked.domain, asked.scope), dns)
    if known is not None:
        return known
    answers = {question: _bounded(answer) for question, answer in fresh.items()}
    await _learn(dns, [(asked.domain, "TXT")], answers)
    for _ in range(ROUNDS_MAX):
        query = _Query(asked, answers)
        outcome = _evaluated(query, asked)
        if outcome is not None:
            _remember(asked, query, outcome)
            return outcome
        if len(answers) > QUESTIONS_MAX:
            return _permerror(asked, "asks for too many look-ups")
        await _learn(dns, query.missing, answers)
    return _permerror(asked, "asks for too many rounds of look-ups")


_known: Recollections[Outcome] = Recollections()


def _remember(asked: _Asked, query: _Query, outcome: Outcome) -> None:
    if not query.personal and outcome.result != "temperror":
        _known.keep((asked.ip, asked.domain, asked.scope), query.answers, outcome)


def _permerror(asked: _Asked, reason: str) -> Outcome:
    return Outcome("permerror", asked.scope, asked.domain, "", reason)


def _evaluated(query: _Query, asked: _Asked) -> Outcome | None:
    """One round; None when an answer was missing."""
    try:
        result, _, text = query.check()
        explanation = _explained(query) if result == "fail" else ""
    except _Missing:
        return None
    except (ValueError, TypeError, IndexError, AttributeError, AssertionError, KeyError) as error:
        return None if query.missing else _permerror(asked, f"cannot be evaluated: {error}")
    term = str(query.mechanism or "")
    reason = _reason(result, term, text, asked.domain)
    return Outcome(result, asked.scope, asked.domain, term, reason, explanation)


def _explained(query: _Query) -> str:
    try:
        return query.explanation()
    except (pyspf.TempError, pyspf.PermError):
        return ""  # RFC 7208 §6.2: as if there were no exp=


def _reason(result: str, term: str, text: str, domain: str) -> str:
    if result in ("temperror", "permerror"):
        return text.removeprefix("SPF Permanent Error: ").removeprefix("SPF Temporary Error: ")
    if result == "none":
        return f"{domain} publishes no SPF record"
    return f"matched {term}" if term else f"{domain}'s record matches nothing"


async def _learn(dns: Dns, questions: list[Question], answers: dict[Question, Answer]) -> None:
    """Ask, and ask ahead for what the records point to."""
    for _ in range(3):
        unknown = list(dict.fromkeys(q for q in questions if q not in answers))
        if not unknown:
            return
        for question, answer in zip(unknown, await dns.ask_all(unknown), strict=True):
            answers[question] = _bounded(answer)
        questions = [(name, "TXT") for q in unknown for name in _ahead(answers[q])]


def _bounded(answer: Answer) -> Answer:
    if any(len(text) > RECORD_MAX for text in answer.texts):
        kept = tuple(text for text in answer.texts if len(text) <= RECORD_MAX)
        return Answer("found" if kept else "nodata", kept, answer.ttl)
    return answer


def _ahead(answer: Answer) -> list[str]:
    names: list[str] = []
    for text in answer.texts:
        if text[:6].lower() == b"v=spf1":
            names += [ascii_domain(name.decode()) for name in _AHEAD.findall(text)]
    return [name for name in names if name][:_AHEAD_MAX]
