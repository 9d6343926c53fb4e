"""A resolver that remembers what it was asked: a world to be frozen beside a mail.

The table has the shape that `zone` reads, so that the same questions get the same answers
without a network; what was not asked is not in it.

Fails: as the resolver that it asks does.
"""

from __future__ import annotations

from typing import Any

from millrace.engine.net.dns import Resolver
from millrace.engine.ports import Answer, RecordType

_ERRORS = ("timeout", "servfail")


class RecordingDns:
    """Asks another resolver, and keeps its answers."""

    def __init__(self, inner: Resolver) -> None:
        self._inner = inner
        self._answers: dict[tuple[str, RecordType], Answer] = {}

    async def lookup(self, name: str, kind: RecordType) -> Answer:
        """Ask, and keep the answer."""
        answer = await self._inner.lookup(name, kind)
        self._answers[(name.lower(), kind)] = answer
        return answer

    async def close(self) -> None:
        """Close the resolver that was asked."""
        await self._inner.close()

    def zone(self) -> dict[str, dict[str, Any]]:
        """All answers as a zone's table, by name."""
        table: dict[str, dict[str, Any]] = {}
        for (name, kind), answer in sorted(self._answers.items()):
            records = table.setdefault(name, {})
            if answer.status in _ERRORS:
                records[kind] = {"error": answer.status}
            elif answer.status in ("nxdomain", "badname"):
                records[kind] = {"error": "nxdomain"}
            else:
                records[kind] = [_written(kind, record) for record in answer.records]
        for name, records in table.items():
            if all(each.secure for (asked, _), each in self._answers.items() if asked == name):
                records["secure"] = True
        return table


def _written(kind: RecordType, record: Any) -> str:  # noqa: ANN401 - a record of any kind
    if isinstance(record, bytes):
        return record.decode("utf-8", "surrogateescape")
    if isinstance(record, tuple):
        return " ".join(part.hex() if isinstance(part, bytes) else str(part) for part in record)
    return str(record)
