"""What one decision adds to a domain's aggregate report.

RFC 9990 §3.1.1 (disposition, results), §3.1.3 (which signatures first), §3.1.6 (why not
as asked).  One author domain for each mail: the one that DMARC decided by.

Nothing is told of mails that ask for no reports, that our own users sent, that will come
again (deferred), or that are bounces of our reports: reports about those would never end.
The disposition is what was done about a mail that failed DMARC; what other filters did
about one that passed is nobody's business but ours (RFC 9990 §8.3).

Fails: never; no observation is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from millrace.engine.mail.finding import Fact
from millrace.engine.mail.verdict import Action
from millrace.engine.mailauth.dkim import Signature
from millrace.engine.mailauth.dmarc import POLICIES, DmarcPolicy, Record
from millrace.engine.mailauth.domains import is_under
from millrace.engine.mailauth.reports.aggregate import (
    Disposition,
    Observation,
    Published,
    Reason,
    Row,
    Sent,
    Signed,
    clean,
)
from millrace.engine.policy.decision import Decision
from millrace.filters.arc import Arc
from millrace.filters.dkim import Dkim
from millrace.filters.dmarc import Dmarc
from millrace.filters.spf import Spf

WORD_MAX = 255
WANTED_MAX = 1000
FAILURE_MAX = 40
SIGNATURES_MAX = 20  # fewer than the 100 of RFC 9990: a sender could make rows without end
_DONE: dict[Action, Disposition] = {
    Action.TAG: "quarantine",  # RFC 7489 §6.3: "flag as suspicious" is one way to quarantine
    Action.QUARANTINE: "quarantine",
    Action.REJECT: "reject",
    Action.DISCARD: "reject",
}
F = TypeVar("F", bound=Fact)


def observe(decision: Decision, reporter: str) -> Observation | None:
    """One mail as a report will count it; `reporter` is the address that sends our reports."""
    facts = decision.facts
    dmarc = _fact(facts, Dmarc)
    if dmarc is None or dmarc.record is None or not dmarc.record.reports:
        return None
    if _uncounted(decision, reporter):
        return None
    disposition, reasons = _applied(decision, dmarc, dmarc.record, _fact(facts, Arc))
    row = Row(
        source_ip=decision.session.peer.ip,
        disposition=disposition,
        dkim="pass" if dmarc.aligned.dkim else "fail",
        spf="pass" if dmarc.aligned.spf else "fail",
        reasons=reasons,
        signed=_signed(_fact(facts, Dkim), dmarc),
        sent=_sent(_fact(facts, Spf)),
        header_from=dmarc.domain,
        envelope_from=decision.sender.domain if decision.sender is not None else "",
    )
    return Observation(_published(dmarc, dmarc.record), dmarc.record.reports[:WANTED_MAX], row)


def _fact(facts: Mapping[str, Fact], kind: type[F]) -> F | None:
    for fact in facts.values():
        if type(fact) is kind:
            return fact
    return None


def _uncounted(decision: Decision, reporter: str) -> bool:
    session = decision.session
    if session.login is not None or not session.peer.ip:
        return True
    if decision.verdict.action is Action.DEFER:
        return True
    recipients = decision.recipients
    return bool(reporter and recipients) and all(
        str(each.recipient.address).lower() == reporter for each in recipients
    )


def _published(dmarc: Dmarc, record: Record) -> Published:
    return Published(
        domain=dmarc.record_domain,
        policy=record.policy,
        subdomains=record.subdomains or "",
        nonexistent=record.nonexistent or "",
        adkim="s" if record.strict_dkim else "r",
        aspf="s" if record.strict_spf else "r",
        testing="y" if record.testing else "n",
        failure=clean(record.failure, FAILURE_MAX),
        discovery=dmarc.discovery,
    )


def _applied(
    decision: Decision, dmarc: Dmarc, record: Record, arc: Arc | None
) -> tuple[Disposition, tuple[Reason, ...]]:
    """What was done, and why that is not what the published policy asks for."""
    if dmarc.aligned.spf or dmarc.aligned.dkim:
        enforcing = dmarc.policy != "none" or record.testing
        return ("pass" if enforcing else "none"), ()
    done = _DONE.get(decision.verdict.action, "none")
    if done == dmarc.policy:
        lessened = record.testing and done != _untested(dmarc, record)
        return done, (Reason("policy_test_mode"),) if lessened else ()
    if done == "none" and dmarc.result == "temperror":
        return done, (Reason("other", "the DNS did not answer for SPF or DKIM"),)
    if done == "none" and arc is not None and arc.trusted:
        sealers = ", ".join(arc.sealers[:3])
        return done, (Reason("trusted_forwarder", clean(f"arc=pass {sealers}", WORD_MAX)),)
    return done, (Reason("local_policy"),)


def _untested(dmarc: Dmarc, record: Record) -> DmarcPolicy:
    """What the policy would ask without `t=y`, which lessens it by one step."""
    if dmarc.domain == dmarc.record_domain:
        return record.policy
    choices = (record.nonexistent, record.subdomains or record.policy)
    lessened = [c for c in choices if c and POLICIES[max(POLICIES.index(c) - 1, 0)] == dmarc.policy]
    return max(lessened, key=POLICIES.index, default=dmarc.policy)


def _signed(dkim: Dkim | None, dmarc: Dmarc) -> tuple[Signed, ...]:
    """The signatures that tell most about the author's domain first."""
    signatures = dkim.signatures if dkim is not None else ()
    if len(signatures) > 1:
        signatures = tuple(sorted(signatures, key=lambda each: _rank(each, dmarc)))
    return tuple(
        Signed(clean(s.domain, WORD_MAX), clean(s.selector, WORD_MAX), s.result)
        for s in signatures[:SIGNATURES_MAX]
    )


def _rank(signature: Signature, dmarc: Dmarc) -> int:
    if signature.result != "pass":
        return 3
    domain = signature.domain.lower()
    if domain == dmarc.domain:
        return 0
    return 1 if dmarc.organization and is_under(domain, dmarc.organization) else 2


def _sent(spf: Spf | None) -> tuple[Sent, ...]:
    return (Sent(clean(spf.domain, WORD_MAX), "mfrom", spf.result),) if spf is not None else ()
