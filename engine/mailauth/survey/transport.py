"""MX, reverse names, MTA-STS, TLS reports, TLSA: can mail come in, and safely?

RFC 5321 §5.1 (MX), RFC 7505 (null MX), RFC 8461 §3.1 (MTA-STS), RFC 8460 §3 (TLS reports),
RFC 7672 §3.1 (TLSA counts only from a signed zone).  The MTA-STS policy itself is a web page
and is not fetched: nothing but DNS leaves this machine.
"""

from __future__ import annotations

import ipaddress
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
    hosts = list(dict.fromkeys(str(r[1]) for r in sorted(_pairs(answer))))[:HOSTS_MAX]
    if answer.failed:
        lines, found = [unknown("MX", domain, answer)], list[str]()
    elif "" in hosts:
        lines, found = [_null(hosts)], []
        hosts = []
    else:
        lines, found = await _hosts(domain, hosts, dns)
    for ip in dict.fromkeys((*addresses, *found)):
        lines.append(await _reverse(ip, dns))
    lines += await _policies(domain, dns)
    for host in hosts:
        lines.append(await _tlsa(host, dns, signed=answer.secure))
    return lines


def _pairs(answer: Answer) -> list[tuple[int, str]]:
    return [record for record in answer.records if isinstance(record, tuple)]


def _null(hosts: Sequence[str]) -> Line:
    """RFC 7505 §3: "A domain that advertises a null MX MUST NOT advertise any other MX RR"."""
    if len(hosts) == 1:
        return Line("MX", "note", "takes no mail (null MX, RFC 7505)")
    mend = "Take the null MX out, or all others."
    return Line("MX", "wrong", "a null MX stands beside others (RFC 7505 §3)", mend)


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


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host(
    domain: str, host: str, there: list[str], answers: tuple[Answer, Answer], alias: Answer
) -> Line:
    shown = quoted(host)
    if _is_address(host):
        told = f"{shown} is an address, where a name must stand (RFC 5321 §5.1)"
        return Line("MX", "wrong", told, f"Name the host in the MX of {domain}.")
    if alias.records:
        mend = f"Point the MX of {domain} at {quoted(str(alias.records[0]))}."
        told = f"{shown} is an alias (CNAME), which an MX may not name (RFC 5321 §5.1)"
        return Line("MX", "wrong", told, mend)
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
    where = reverse_name(ip)
    answer = await dns.ask(where, "PTR")
    if answer.failed:
        return unknown("PTR", where, answer)
    if not answer.records:
        mend = f"Let who gave you {ip} publish:  {where}. PTR and its host's name."
        return Line("PTR", "note", f"{ip}  has no name", mend)
    called = quoted(str(answer.records[0]))
    mend = f"Publish {ip} as an address of {called}: many receivers refuse others."
    return Line("PTR", "note", f"{ip}  is {called}, which does not lead back", mend)


async def _policies(domain: str, dns: Dns) -> list[Line]:
    sts, reports = await dns.ask_all(
        [(f"_mta-sts.{domain}", "TXT"), (f"_smtp._tls.{domain}", "TXT")]
    )
    line = _policy("MTA-STS", f"_mta-sts.{domain}", sts, _STS, "v=STSv1; id=20261123")
    if line.state == "ok":
        line = await _page(line, f"mta-sts.{domain}", dns)
    example = f"v=TLSRPTv1; rua=mailto:tls@{domain}"
    return [line, _policy("TLS-RPT", f"_smtp._tls.{domain}", reports, _TLSRPT, example)]


async def _page(line: Line, host: str, dns: Dns) -> Line:
    """RFC 8461 §3.3: the policy is a page of that host."""
    answers = await dns.ask_all([(host, "A"), (host, "AAAA")])
    if any(answer.records for answer in answers):
        return line
    failed = next((answer for answer in answers if answer.failed), None)
    if failed is not None:
        return unknown(line.subject, host, failed)
    mend = f"Publish an address of {host}, and the policy at /.well-known/mta-sts.txt there."
    return Line(line.subject, "wrong", f"{host} has no address, so there is no policy", mend)


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


async def _tlsa(host: str, dns: Dns, *, signed: bool) -> Line:
    """What a sender may count on; `signed` says that the MX came from a signed zone."""
    name = f"_25._tcp.{host}"
    answer = await dns.ask(name, "TLSA")
    if answer.failed:
        return unknown("TLSA", name, answer)
    if not answer.records:
        return Line("TLSA", "none", f"no record at {quoted(name)}")
    usable = [each for each in answer.records if isinstance(each, tuple) and _usable(*each)]
    if not usable:
        mend = "Publish 3 1 1 and the SHA-256 of the host's public key (RFC 7672 §3.1.1)."
        return Line("TLSA", "wrong", f"{quoted(name)}: no record that SMTP can use", mend)
    if not (answer.secure and signed):
        which = "the MX is" if answer.secure else "it is"
        told = f"{quoted(name)}: {which} not from a signed zone, so no sender uses it"
        mend = "Sign the zone, or ask a resolver that validates (RFC 7672 §2.2)."
        return Line("TLSA", "note", told, mend)
    return Line("TLSA", "ok", f"{quoted(name)}: {len(usable)} record(s), signed")


def _usable(usage: int, selector: int, matching: int, data: bytes) -> bool:
    """RFC 7672 §3.1.3: usages 0 and 1 have no place in SMTP; a digest has its size."""
    size = {0: max(len(data), 1), 1: 32, 2: 64}.get(matching)
    return usage in (2, 3) and selector in (0, 1) and len(data) == size
