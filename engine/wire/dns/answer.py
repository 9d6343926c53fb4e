"""From a reply to an `Answer`: aliases followed, absence told from failure.

RFC 1034 §3.6.2 (CNAME), RFC 2308 §2 (no such name, no such data).  A chain of more than
eight aliases, or one that leads back to itself, is a failure; so is every code but
NOERROR and NXDOMAIN.  Of one answer `RECORDS_MAX` records are taken.

Fails: never.
"""

from __future__ import annotations

from millrace.engine.ports import Answer, AnswerStatus, RecordType
from millrace.engine.wire.dns.message import NXDOMAIN, Record, Reply
from millrace.engine.wire.dns.records import CNAME, NUMBERS

CHAIN_MAX = 8
RECORDS_MAX = 100  # a name with more is somebody's attack


def answer(reply: Reply, kind: RecordType, *, trusted: bool) -> Answer:
    """What a reply says; its AD bit counts where the server is trusted.  RFC 6840 §5.8."""
    if reply.code not in (0, NXDOMAIN):
        return Answer("servfail")
    secure = trusted and reply.authentic
    wanted = NUMBERS[kind]
    aliases = {each.name: each for each in reply.records if each.kind == CNAME}
    name, chain = reply.name, list[Record]()
    for _ in range(CHAIN_MAX + 1):
        found = [each for each in reply.records if each.kind == wanted and each.name == name]
        if found and reply.code == 0:
            ttl = min(each.ttl for each in (*chain, *found))
            values = tuple(each.value for each in found[:RECORDS_MAX])
            return Answer("found", values, ttl, secure)
        alias = aliases.get(name)
        if alias is None:
            status: AnswerStatus = "nxdomain" if reply.code == NXDOMAIN else "nodata"
            return Answer(status, (), reply.absent_ttl, secure)
        chain.append(alias)
        name = str(alias.value)
    return Answer("servfail")
