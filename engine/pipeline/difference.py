"""What differs between two pipelines: filters, their order and their options.

Fails: never.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from millrace.engine.policy.difference import Change, Table, moved, same_condition, values


def pipelines(before: Table, after: Table) -> Iterator[Change]:
    """What a pipeline does otherwise than the one before."""
    yield from values("the pipeline", before, after, ("filter",))
    old, new = _filters(before), _filters(after)
    for name in old:
        if name not in new:
            yield Change(f"filter {name} is gone")
    for name, table in new.items():
        if name not in old:
            options = ", ".join(
                f"{k} = {v!r}" for k, v in table.items() if k not in ("use", "name")
            )
            yield Change(f"filter {name} is new" + (f": {options}" if options else ""))
            continue
        if not same_condition(old[name].get("when"), table.get("when")):
            was, now = (str(each.get("when", "always")) for each in (old[name], table))
            yield Change(f"filter {name} runs under another condition", was, now)
        yield from values(f"filter {name}", old[name], table, ("when",))
    for name, follower in moved(list(old), list(new)):
        where = f"before {follower}" if follower else "last"
        yield Change(f"the edits of filter {name} now apply {where}")


def _filters(data: Table) -> dict[str, Mapping[str, Any]]:
    tables = data.get("filter", [])
    found = tables if isinstance(tables, list) else []
    return {
        str(each.get("name", each["use"])): each
        for each in found
        if isinstance(each, dict) and "use" in each
    }
