"""MX, reverse names, MTA-STS, TLS reports, TLSA: can mail come in, and safely?

RFC 5321 §5.1 (MX), RFC 7505 (null MX), RFC 8461 §3.1 (MTA-STS), RFC 8460 §3 (TLS reports),
RFC 7672 §3.1 (TLSA counts only from a signed zone).  The MTA-STS policy itself is a web page
and is not fetched: nothing but DNS leaves this machine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from millrace.engine.mailauth.domains import reverse_name
from millrace.engine.mailauth.iprev import confirmed_name
from millrace.engine.mailauth.survey.line import Line, quoted, unknown
from millrace.engine.ports import Answer, Dns

HOSTS_MAX = 20
_STS = re.compile(r"v=STSv1\s*;(?:.*;)?\s*id=([A-Za-z0-9]{1,32})\s*(;|$)", re.S)
_TLSRPT = re.compile(r"v=TLSRPTv1\s*;.*\brua=(mailto:\S+|https:\S+)", re.S)


async def look(domain: str, addresses: Sequence[str], dns: Dns) -> list[Line]:
    """Lines about a domain's hosts; `addresses` are others that send for it."""
    answer = await dns.ask(domain, "MX")
    if answer.failed:
        return [unknown("MX", domain, answer)]
    hosts = [str(r[1]) for r in sorted(_pairs(answer))][:HOSTS_MAX]
    if hosts in ([""], ["."]):
        return [Line("MX", "note", "takes no mail (null MX, RFC 7505)")]
    lines, found = await _hosts(domain, hosts, dns)
    for ip in dict.fromkeys((*addresses, *found)):
        lines.append(await _reverse(ip, dns))
    lines += await _policies(domain, dns)
    for host in hosts:
        lines.append(await _tlsa(host, dns))
    return lines


def _pairs(answer: Answer) -> list[tuple[int, str]]:
    return [record for record in answer.records if isinstance(record, tuple)]


async def _hosts(domain: str, hosts: list[str], dns: Dns) -> tuple[list[Line], list[str]]:
    lines: list[Line] = []
    found: list[str] = []
    if not hosts:
        mend = f"Publish:  {domain}. MX 10 mail.{domain}.   or   {domain}. MX 0 ."
        lines.append(Line("MX", "none", "no MX: senders fall back to the A record", mend))
    for host in hosts:
        four, six = await dns.ask_all([(host, "A"), (host, "AAAA")])
        alias = await dns.ask(host, "CNAME")
        there = [str(record) for answer in (four, six) for record in answer.records[:10]]
        found += there
        lines.append(_host(domain, host, there, (four, six), alias))
    return lines, found


def _host(
    domain: str, host: str, there: list[str], answers: tuple[Answer, Answer], alias: Answer
) -> Line:
    shown = quoted(host)
    if alias.records:
        told = f"{shown} is an alias (CNAME), which an MX may not name (RFC 5321 §5.1)"
        return Line("MX", "wrong", told, f"Point the MX of {domain} at {alias.records[0]}.")
    if not there and any(answer.failed for answer in answers):
        return unknown("MX", host, next(answer for answer in answers if answer.failed))
    if not there:
        mend = f"Publish an A or AAAA record for {shown}, or take it out of the MX."
        return Line("MX", "wrong", f"{shown} has no address", mend)
    return Line("MX", "ok", f"{shown}  {' '.join(there[:4])}")


async def _reverse(ip: str, dns: Dns) -> Line:
    name = await confirmed_name(dns, ip)
    if name:
        return Line("PTR", "ok", f"{ip}  {quoted(name)}, confirmed")
    answer = await dns.ask(reverse_name(ip), "PTR")
    if answer.failed:
        return unknown("PTR", reverse_name(ip), answer)
    told = f"{ip}  is {quoted(str(answer.records[0]))}, " if answer.records else f"{ip}  "
    told += "which does not lead back" if answer.records else "has no name"
    mend = f"Give {ip} a name that leads back to it: many receivers refuse others."
    return Line("PTR", "note", told, mend)


async def _policies(domain: str, dns: Dns) -> list[Line]:
    sts, reports = await dns.ask_all(
        [(f"_mta-sts.{domain}", "TXT"), (f"_smtp._tls.{domain}", "TXT")]
    )
    return [
        _policy("MTA-STS", f"_mta-sts.{domain}", sts, _STS, "v=STSv1; id=20261123"),
        _policy("TLS-RPT", f"_smtp._tls.{domain}", reports, _TLSRPT,
                f"v=TLSRPTv1; rua=mailto:tls@{domain}"),
    ]  # fmt: skip


def _policy(subject: str, name: str, answer: Answer, form: re.Pattern[str], example: str) -> Line:
    if answer.failed:
        return unknown(subject, name, answer)
    version = example.partition(";")[0]
    texts = [text.decode("utf-8", "replace") for text in answer.texts]
    ours = [text for text in texts if text.startswith(version)]
    mend = f'Publish:  {name}. TXT "{example}"'
    if not ours:
        return Line(subject, "none", f"no record at {name}", mend)
    if len(ours) > 1 or not form.match(ours[0]):
        told = f"{len(ours)} records" if len(ours) > 1 else quoted(ours[0])
        return Line(subject, "wrong", f"cannot be used: {told}", mend)
    more = "; its policy page was not fetched" if subject == "MTA-STS" else ""
    return Line(subject, "ok", quoted(ours[0]) + more)


async def _tlsa(host: str, dns: Dns) -> Line:
    name = f"_25._tcp.{host}"
    answer = await dns.ask(name, "TLSA")
    if answer.failed:
        return unknown("TLSA", name, answer)
    if not answer.records:
        return Line("TLSA", "none", f"no record at {quoted(name)}")
    if not answer.secure:
        told = f"{quoted(name)}: not from a signed zone, so no sender uses it (RFC 7672 §2.2)"
        return Line("TLSA", "note", told, "Sign the zone, or ask a resolver that validates.")
    return Line("TLSA", "ok", f"{quoted(name)}: {len(answer.records)} record(s), signed")
