"""The name of an address, believed only when it leads back to the address.

RFC 8601 §2.7.3 ("iprev"), RFC 5321 §4.1.3.  Anybody may write any name into the reverse
zone of their own network; so the name's own addresses are asked, for at most five names.

Gives:  the first name that leads back, lower-case, without a final dot.
Fails:  never; "" is a peer without such a name, or a DNS that did not answer.
"""

from __future__ import annotations

import ipaddress

from millrace.engine.ports import Dns, RecordType

NAMES_MAX = 5


async def confirmed_name(dns: Dns, ip: str) -> str:
    """Look up the name of an address, there and back; `ip` as `Peer.ip` gives it."""
    if not ip:
        return ""
    address = ipaddress.ip_address(ip)
    kind: RecordType = "A" if address.version == 4 else "AAAA"
    answer = await dns.ask(address.reverse_pointer, "PTR")
    names = [str(name).rstrip(".").lower() for name in answer.records[:NAMES_MAX]]
    answers = await dns.ask_all([(name, kind) for name in names])
    for name, back in zip(names, answers, strict=True):
        if any(_same(record, address) for record in back.records):
            return name
    return ""


def _same(record: object, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return ipaddress.ip_address(str(record)) == address
    except ValueError:
        return False
