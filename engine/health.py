"""Which filters need which services, and what becomes of mail while one is away.

`needs_of` reads it from the plans that serve, `graph` joins it with the health of the
services, `mermaid` draws that.  Data in, data out.

Fails: never.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from millrace.engine.pipeline.plan import Node, Plan

SERVICES = {"dns": "dns", "state": "state", "scanner": "clamd", "store": "archive"}  # by port
Data = dict[str, Any]
_PLAIN = re.compile(r"\W")


def needs_of(plans: Iterable[Plan]) -> list[Data]:
    """Each filter that needs a service: its pipeline, its name, what it needs, its `on_error`."""
    return [
        {"pipeline": plan.name, "filter": node.name, "needs": needs, "on_error": _word(node)}
        for plan in plans
        for node in plan.nodes
        if (needs := [*_needed(node)])
    ]


def _needed(node: Node) -> Iterator[Data]:
    """`where` only for a service of which a filter chooses the address."""
    for _, port in node.ports:
        if port in SERVICES:
            yield {"service": SERVICES[port], "where": getattr(node.filter, "socket", "")}


def _word(node: Node) -> str:
    return node.on_error.word if node.on_error is not None else "skip"


def graph(needs: Sequence[Mapping[str, Any]], services: Mapping[str, Mapping[str, Any]]) -> Data:
    """Both together; `away` are the names of the services that a filter misses now."""
    filters = []
    for each in needs:
        named = [_name(need, services) for need in each["needs"]]
        away = [name for name in named if name in services and not services[name]["ok"]]
        filters.append({**each, "needs": named, "away": away})
    return {"filters": filters, "services": dict(services)}


def _name(need: Mapping[str, str], services: Mapping[str, Mapping[str, Any]]) -> str:
    """Two scanners have two names; the second one's holds its address."""
    named = f"{need['service']} {need['where']}"
    return named if named in services else need["service"]


def mermaid(drawn: Mapping[str, Any]) -> str:
    """The same as a Mermaid flowchart: filters, their `on_error`, services; who is away is red."""
    return "\n".join(["flowchart LR", *_lines(drawn)]) + "\n"


def _lines(drawn: Mapping[str, Any]) -> Iterator[str]:
    for each in drawn["filters"]:
        name = _id(each["pipeline"], each["filter"])
        yield f'  {name}["{_text(each["pipeline"])}: {_text(each["filter"])}"]'
        for need in each["needs"]:
            yield f"  {name} -- {each['on_error']} --> {_id('service', need)}"
        if each["away"]:
            yield f"  class {name} away"
    for name, service in drawn["services"].items():
        words = "" if service["ok"] else "<br>" + _text(str(service.get("trouble", "")) or "away")
        where = _text(str(service.get("where", "")))
        yield f'  {_id("service", name)}(["{_text(name)}<br>{where}{words}"])'
        yield f"  class {_id('service', name)} {'ok' if service['ok'] else 'away'}"
    yield "  classDef ok fill:#dff5dd,stroke:#2e7d32"
    yield "  classDef away fill:#fde0de,stroke:#c62828"


def _id(*words: str) -> str:
    return _PLAIN.sub("_", "_".join(words))


def _text(words: str) -> str:
    """Within quotes of Mermaid's."""
    return words.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;")
