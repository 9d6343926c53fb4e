"""What a supervisor tells of itself and its children, on /status and /metrics.

Fails: never.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from millrace.engine.census import Census
from millrace.engine.pending import Pending
from millrace.engine.telemetry.merging import Family
from millrace.engine.workers.children import Child
from millrace.engine.workers.reloads import Refusal
from millrace.engine.workers.roster import OFFICE, Phase


@dataclass(frozen=True, slots=True)
class Whole:
    """What is true of the daemon as a whole."""

    version: str
    profile: str
    pid: int
    began: float  # Unix seconds
    revisions: dict[str, str]
    rollback: bool
    restarts: int
    stopping: bool
    last_reload: str
    reloads: Mapping[str, int]  # so far, by how they ended
    refusal: Refusal | None  # of the files, as long as they are no good

    @property
    def revision(self) -> str:
        """One, when all pipelines have the same."""
        return " ".join(sorted(set(self.revisions.values())))


def status(
    whole: Whole,
    children: Iterable[Child],
    doors: Iterable[tuple[str, str]],
    census: Census,
    waits: Pending,
) -> dict[str, Any]:
    """The page /status; `doors` by kind and address, in the census's order."""
    children = sorted(children, key=lambda child: (child.member.slot, child.member.began))
    workers = [_worker(child, census) for child in children if child.member.slot != OFFICE]
    return {
        "version": whole.version,
        "profile": whole.profile,
        "pid": whole.pid,
        "since": _iso(whole.began),
        "stopping": whole.stopping,
        "revision": whole.revision,
        "revisions": whole.revisions,
        "rollback": whole.rollback,
        "last_reload": whole.last_reload,
        "refused_reload": whole.refusal.as_json() if whole.refusal else None,
        **waits.as_json(),
        "restarts": whole.restarts,
        "lists": _lists(children),
        "workers": workers,
        "doors": [
            {"kind": kind, "address": address, "connections": _at_door(census, number)}
            for number, (kind, address) in enumerate(doors)
        ],
    }


def _worker(child: Child, census: Census) -> dict[str, Any]:
    member, report = child.member, child.report
    mails, octets, connections = census.row(member.row) if member.row >= 0 else (0, 0, ())
    return {
        "slot": member.slot,
        "pid": member.pid,
        "phase": member.phase.value,
        "outdated": member.outdated,
        "alive_s": round(time.monotonic() - member.began),
        "connections": sum(connections),
        "mails": mails,
        "octets": octets,
        "refused": report.get("refused", {}),
        "revisions": report.get("revisions", {}),
        "rss": report.get("rss", 0),
        "cpu_s": report.get("cpu", 0.0),
        "descriptors": report.get("descriptors", 0),
    }


def _lists(children: Iterable[Child]) -> list[dict[str, Any]]:
    """Each list once; as the worker sees it that has trouble with it."""
    found: dict[str, dict[str, Any]] = {}
    for child in children:
        for told in child.report.get("lists", ()):
            if told["name"] not in found or told["trouble"]:
                found[told["name"]] = told
    return list(found.values())


def _at_door(census: Census, number: int) -> int:
    return sum(census.row(row)[2][number] for row in range(census.rows))


def families(whole: Whole, children: Iterable[Child], census: Census) -> list[Family]:
    """Metrics of the supervisor's own."""
    phases = Counter({phase.value: 0 for phase in Phase})
    phases.update(child.member.phase.value for child in children if child.member.slot != OFFICE)
    rows = [census.row(row) for row in range(census.rows)]
    return [
        _gauge("millrace_workers", "Workers, by phase", phases, "phase"),
        [
            "millrace_worker_restarts",
            "Children that ended unasked and were started again",
            "counter",
            [["millrace_worker_restarts_total", {}, whole.restarts]],
        ],
        [
            "millrace_reloads",
            "Reloads, by how they ended",
            "counter",
            [
                ["millrace_reloads_total", {"result": result}, count]
                for result, count in whole.reloads.items()
            ],
        ],
        _gauge("millrace_mails_in_work", "Mails in work", {"": sum(row[0] for row in rows)}),
        _gauge("millrace_octets_in_work", "Octets of those", {"": sum(row[1] for row in rows)}),
        _gauge(
            "millrace_reload_refused_state",
            "1: the last reload was refused, and what serves is not what the files say",
            {"": 0 if whole.refusal is None else 1},
        ),
    ]


def _gauge(name: str, words: str, values: dict[str, int], label: str = "") -> Family:
    samples = [[name, {label: word} if label else {}, value] for word, value in values.items()]
    return [name, words, "gauge", samples]


def _iso(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
