"""DMARC: which policy holds for a domain, and where do its reports go?

RFC 9989 §4.7 and §4.10 (tree walk), RFC 9990 §4 (reports that go elsewhere).
"""

from __future__ import annotations

import re

from millrace.engine.mailauth.dmarc import Record, Trouble, Walker, organization, parse
from millrace.engine.mailauth.reports import destinations
from millrace.engine.mailauth.survey.line import Line, quoted, unknown
from millrace.engine.ports import Dns

SUBJECT = "DMARC"
_OBSOLETE = re.compile(r"(?:^|;)\s*(pct|rf|ri)\s*=", re.I)


async def look(domain: str, dns: Dns) -> list[Line]:
    """Lines about the policy that receivers find for this domain."""
    walker = Walker(dns)
    try:
        found = await walker.walk(domain)
    except Trouble as trouble:
        return [Line(SUBJECT, "unknown", quoted(str(trouble)), "Ask again later.")]
    lines = await _published(domain, dns)
    if not found:
        mend = f'Publish:  _dmarc.{domain}. TXT "v=DMARC1; p=none; rua=mailto:dmarc@{domain}"'
        return [*lines, Line(SUBJECT, "none", "no policy, here or above", mend)]
    name, record = _applied(domain, found)
    where = "" if name == domain else f", by {name}"
    told = f"p={_asked(name == domain, record)}{where}"
    home = organization(domain, found)
    told += f"; organizational domain {home}" if home != domain else ""
    lines.append(_policy(told, name == domain, record))
    return [*lines, *await _reports(name, record, dns)]


async def _published(domain: str, dns: Dns) -> list[Line]:
    """What is wrong with the record itself."""
    answer = await dns.ask(f"_dmarc.{domain}", "TXT")
    if answer.failed:
        return [unknown(SUBJECT, f"_dmarc.{domain}", answer)]
    texts = [text.decode("utf-8", "replace") for text in answer.texts]
    ours = [text for text in texts if re.match(r"v\s*=\s*DMARC1", text, re.I)]
    if len(ours) > 1:
        told = f"{len(ours)} records: receivers use none of them (RFC 9989 §4.10)"
        return [Line(SUBJECT, "wrong", told, f"Leave one at _dmarc.{domain}.")]
    if not ours:
        return []
    if parse(ours[0]) is None:
        told = f"cannot be used, and counts as none: {quoted(ours[0])}"
        return [Line(SUBJECT, "wrong", told, "Give it a valid p=: none, quarantine or reject.")]
    lines = [Line(SUBJECT, "ok", quoted(ours[0]))]
    if obsolete := sorted({tag.lower() for tag in _OBSOLETE.findall(ours[0])}):
        told = f"{', '.join(obsolete)} mean nothing any more (RFC 9989 §A.6)"
        lines.append(Line(SUBJECT, "note", told, "Take them out; t=y asks for a trial."))
    return lines


def _applied(domain: str, found: list[tuple[str, Record]]) -> tuple[str, Record]:
    records = dict(found)
    home = organization(domain, found)
    name = next((name for name in (domain, home) if name in records), found[-1][0])
    return name, records[name]


def _asked(own: bool, record: Record) -> str:
    return record.policy if own else record.subdomains or record.policy


def _policy(told: str, own: bool, record: Record) -> Line:
    asked = _asked(own, record)
    if record.testing:
        mend = "Take t=y out when reports show that your own mail passes."
        return Line(SUBJECT, "note", f"{told}, on trial (t=y)", mend)
    if asked == "none":
        mend = "Read the reports (millrace dmarc advise), then ask for quarantine and reject."
        return Line(SUBJECT, "note", f"{told}: receivers refuse nothing", mend)
    return Line(SUBJECT, "ok", told)


async def _reports(name: str, record: Record, dns: Dns) -> list[Line]:
    wanted = destinations.parse(record.reports)
    if not wanted:
        mend = f"Add rua=mailto:dmarc@{name}: without reports you fly blind."
        return [Line(SUBJECT, "note", "asks for no reports", mend)]
    lines = []
    for each in wanted:
        found = await destinations.check(name, each, dns)
        if found.status == "agreed":
            lines.append(Line(SUBJECT, "ok", f"reports go to {quoted(each.address)}"))
        elif found.status == "later":
            lines.append(Line(SUBJECT, "unknown", quoted(found.why), "Ask again later."))
        else:
            record_name = f"{name}._report._dmarc.{each.host}"
            mend = f'{each.host} must publish:  {record_name}. TXT "v=DMARC1"'
            told = f"{quoted(each.address)} has not agreed to reports"
            lines.append(Line(SUBJECT, "wrong", told, mend))
    return lines
