"""SPF: may this peer send for this domain?

RFC 7208.  pyspf is the evaluator; its look-ups come through our DNS port.  It is run
again and again, each time with more answers at hand: what it misses is noted, asked
for together, and the next round goes further.  Names that the answers point to
(`include:`, `redirect=`) are asked ahead, so that two rounds are usual.

At most ten terms that look up and two void look-ups (§4.6.4) are pyspf's own count;
rounds and record sizes are bounded here, since a record is its owner's choice.

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

from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.ports import Answer, Dns, Question, RecordType

SpfResult = Literal["none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"]
ROUNDS_MAX = 24
QUESTIONS_MAX = 64  # more than RFC 7208 lets one check ask, counting MX and PTR hosts
RECORD_MAX = 4096  # octets; 60 KB of unknown modifiers would cost 300 ms
_AHEAD = re.compile(rb"(?:^|\s)[+?~-]?(?:include:|redirect=)([A-Za-z0-9._-]+)(?=\s|$)", re.I)
_AHEAD_MAX = 11


@dataclass(frozen=True, slots=True)
class Outcome:
    """What SPF says; `scope` is the identity, `term` what matched, `reason` is for people."""

    result: SpfResult
    scope: Literal["mfrom", "helo"]
    domain: str
    term: str = ""
    reason: str = ""
    explanation: str = ""


class _Missing(Exception):
    """An answer is not at hand yet."""


class _Query(pyspf.query):  # type: ignore[misc]
    """pyspf over answers that are at hand; what is not, is noted in `missing`."""

    def __init__(self, ip: str, sender: str, helo: str, receiver: str) -> None:
        super().__init__(i=ip, s=sender, h=helo, receiver=receiver or None)
        self.answers: dict[Question, Answer] = {}
        self.missing: list[Question] = []

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
    ip: str, sender: str, domain: str, helo: str, dns: Dns, receiver: str = ""
) -> Outcome:
    """Check MAIL FROM, or HELO where the sender is null (RFC 7208 §2.4).

    `sender` is the whole address, "" for the null sender; `domain` its domain.
    """
    scope: Literal["mfrom", "helo"] = "mfrom" if sender else "helo"
    shown = ascii_domain(domain if sender else helo)
    # RFC 7208 §4.3: a malformed name, a single label or an address literal has no policy
    if not ip or "." not in shown or shown[0] == "[":
        reason = "no peer address" if not ip else f"{domain or helo or '(nothing)'} is no domain"
        return Outcome("none", scope, domain if sender else helo, "", reason)
    local = sender.rpartition("@")[0] if sender else ""
    greeting = ascii_domain(helo) or "unknown"
    said = f"{local}@{shown}" if sender else ""
    return await _driven(ip, said, shown if not sender else greeting, scope, shown, dns, receiver)


async def _driven(
    ip: str,
    sender: str,
    helo: str,
    scope: Literal["mfrom", "helo"],
    domain: str,
    dns: Dns,
    receiver: str,
) -> Outcome:
    answers: dict[Question, Answer] = {}
    await _learn(dns, [(domain, "TXT")], answers)
    for _ in range(ROUNDS_MAX):
        query = _Query(ip, sender, helo, receiver)
        query.answers = answers
        outcome = _evaluated(query, scope, domain)
        if outcome is not None:
            return outcome
        if len(answers) > QUESTIONS_MAX:
            return Outcome("permerror", scope, domain, "", "asks for too many look-ups")
        await _learn(dns, query.missing, answers)
    return Outcome("permerror", scope, domain, "", "asks for too many rounds of look-ups")


def _evaluated(query: _Query, scope: Literal["mfrom", "helo"], domain: str) -> Outcome | None:
    """One round; None when an answer was missing (`exp=` hides our signal, so look at the list)."""
    try:
        result, _, text = query.check()
    except _Missing:
        return None
    except (pyspf.TempError, pyspf.PermError) as error:
        if query.missing:
            return None
        word: SpfResult = "temperror" if isinstance(error, pyspf.TempError) else "permerror"
        return Outcome(word, scope, domain, "", str(error))
    except (ValueError, TypeError, IndexError, AttributeError, AssertionError, KeyError) as error:
        if query.missing:
            return None
        return Outcome("permerror", scope, domain, "", f"cannot be evaluated: {error}")
    if query.missing:
        return None
    term = str(getattr(query, "mechanism", None) or "")
    explanation = text if result == "fail" and not text.startswith("SPF ") else ""
    return Outcome(result, scope, domain, term, _reason(result, term, text, domain), explanation)


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
