"""Look-ups over the network with c-ares.

aiodns asks over UDP, over TCP after truncation, and tries the listed servers in turn.
It follows CNAMEs and shows the chain; only records of the wanted type are taken.

Fails: never; c-ares' numbers become the statuses of `Answer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aiodns
import pycares

from millrace.engine.ports import Answer, AnswerStatus, RecordType

TIMEOUT = 2.0  # seconds for one try
TRIES = 2
RECORDS_MAX = 100  # of one answer; a name with more is somebody's attack
_STATUS: dict[int, AnswerStatus] = {
    pycares.errno.ARES_ENODATA: "nodata",
    pycares.errno.ARES_ENOTFOUND: "nxdomain",
    pycares.errno.ARES_EBADNAME: "badname",
    pycares.errno.ARES_ETIMEOUT: "timeout",
    pycares.errno.ARES_ECANCELLED: "timeout",
    pycares.errno.ARES_EDESTRUCTION: "timeout",
}


class AresResolver:
    """A stub resolver; `servers` are `address`, `address:port` or `[v6]:port`.

    Without servers those of the machine (`/etc/resolv.conf`) are used.  Make it inside the
    running loop, after any fork.
    """

    def __init__(
        self, servers: Sequence[str] = (), timeout: float = TIMEOUT, tries: int = TRIES
    ) -> None:
        self._resolver = aiodns.DNSResolver(
            nameservers=list(servers) or None, timeout=timeout, tries=tries
        )

    async def lookup(self, name: str, kind: RecordType) -> Answer:
        """Ask the servers."""
        try:
            result = await self._resolver.query_dns(name, kind)
        except aiodns.error.DNSError as error:
            return Answer(_STATUS.get(error.args[0], "servfail"))
        except UnicodeError:
            return Answer("badname")
        wanted = getattr(pycares, f"QUERY_TYPE_{kind}")
        records = [record for record in result.answer if record.type == wanted][:RECORDS_MAX]
        if not records:
            return Answer("nodata")
        ttl = min(int(record.ttl) for record in result.answer)
        return Answer("found", tuple(_value(record.data, kind) for record in records), ttl)

    async def close(self) -> None:
        """Close the channel."""
        await self._resolver.close()


def _value(data: Any, kind: RecordType) -> object:  # noqa: ANN401 - one of pycares' classes
    if kind == "TXT":
        return data.data if isinstance(data.data, bytes) else str(data.data).encode()
    if kind == "MX":
        return (int(data.priority), _name(data.exchange))
    if kind in ("A", "AAAA"):
        return str(data.addr)
    return _name(getattr(data, {"PTR": "dname", "CNAME": "cname", "NS": "nsdname"}[kind]))


def _name(value: str | bytes) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return text.removesuffix(".").lower()
