"""What the running engine counts, for Prometheus.

One registry for each process.  What each mail counts are tallies (`tally`), the rest the
library's own.  Names end in their unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from millrace.engine.policy.decision import Decision
from millrace.engine.telemetry.results import ResultCounter
from millrace.engine.telemetry.revisions import RevisionCounter
from millrace.engine.telemetry.tally import Durations, Tally

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)


class CacheCounters(Protocol):
    """What the DNS cache counts."""

    hits: int
    misses: int
    joined: int
    failures: int
    evicted: int
    failed: dict[str, int]
    seconds: float


class ServerCounters(Protocol):
    """What became of the questions to one name server."""

    outcomes: dict[str, int]
    failovers: int
    unwanted: int
    seconds: float


@dataclass(frozen=True, slots=True)
class DnsSeen:
    """What a scrape sees of the DNS; `octets` is the cache's size, `servers` are by address."""

    counters: CacheCounters
    entries: int
    octets: int
    servers: Mapping[str, ServerCounters]


class Metrics:
    """All of them; `page` is what /metrics answers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._mails = Tally(
            "millrace_mails",
            "Mails judged, by what was done",
            ("pipeline", "action"),
            self.registry,
        )
        self._rules = Tally(
            "millrace_rules",
            "Rules that decided a mail, or marked it",
            ("pipeline", "rule"),
            self.registry,
        )
        self._runs = Tally(
            "millrace_filter_runs",
            "Runs of filters, by how they ended",
            ("filter", "state"),
            self.registry,
        )
        self._filter_seconds = Durations(
            "millrace_filter_seconds",
            "Wall time of one filter's run",
            ("filter",),
            _SECONDS,
            self.registry,
        )
        self._mail_seconds = Durations(
            "millrace_mail_seconds",
            "Wall time of our own work for one mail",
            ("pipeline",),
            _SECONDS,
            self.registry,
        )
        self._plan = Gauge(
            "millrace_plan_info",
            "The plan in force; the value is 1",
            ("pipeline", "policy", "revision"),
            registry=self.registry,
        )
        self._results = ResultCounter(self.registry)
        self._revisions = RevisionCounter(self.registry)

    def decided(self, decision: Decision) -> None:
        """Count one mail."""
        pipeline, verdict = decision.pipeline, decision.verdict
        self._mails.counts[pipeline, verdict.action.word] += 1
        self._revisions.count(pipeline, decision.revision, verdict.action.word)
        spoke = {act.because.rule for act in decision.acts}
        if verdict.because is not None:
            spoke.add(verdict.because.rule)
        for rule in spoke:
            self._rules.counts[pipeline, rule] += 1
        self._mail_seconds.add((pipeline,), decision.ms / 1000)
        self._results.count(decision.facts)
        runs = self._runs.counts
        for run in decision.runs:
            runs[run.name, run.state] += 1
            if run.state == "ran":
                self._filter_seconds.add((run.name,), run.ms / 1000)

    def serving(self, plans: list[tuple[str, str, str]]) -> None:
        """Show the plans in force: (pipeline, policy, revision) each."""
        self._plan.clear()
        for plan in plans:
            self._plan.labels(*plan).set(1)
            self._revisions.serving(plan[0], plan[2])

    def watch(
        self,
        dns: Callable[[], DnsSeen | None],
        connections: Callable[[], dict[str, int]],
        refused: Callable[[], dict[str, int]],
    ) -> None:
        """Read the DNS's counters and the listeners' at each scrape."""
        self.registry.register(_Watched(dns, connections, refused))


class _Watched(Collector):
    def __init__(
        self,
        dns: Callable[[], DnsSeen | None],
        connections: Callable[[], dict[str, int]],
        refused: Callable[[], dict[str, int]],
    ) -> None:
        self._dns, self._connections, self._refused = dns, connections, refused

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        seen = self._dns()
        if seen is not None:
            yield from _cache(seen)
            yield from _servers(seen.servers)
        open_ = GaugeMetricFamily(
            "millrace_connections", "Open connections, by listener", labels=("listener",)
        )
        for listener, count in self._connections().items():
            open_.add_metric((listener,), count)
        full = CounterMetricFamily(
            "millrace_no_room", "Refused with 4.3.2, since there was no room", labels=("what",)
        )
        for what, count in self._refused().items():
            full.add_metric((what,), count)
        yield from (open_, full)


def _cache(seen: DnsSeen) -> Iterator[Metric]:
    answers = CounterMetricFamily(
        "millrace_dns_answers", "Answers, by where they came from", labels=("source",)
    )
    for source in ("hits", "misses", "joined", "failures", "evicted"):
        answers.add_metric((source,), getattr(seen.counters, source))
    failed = CounterMetricFamily(
        "millrace_dns_failures", "Look-ups that failed, by how", labels=("status",)
    )
    for status, count in seen.counters.failed.items():
        failed.add_metric((status,), count)
    yield from (answers, failed)
    yield CounterMetricFamily(
        "millrace_dns_seconds", "Seconds that look-ups took", value=seen.counters.seconds
    )
    yield GaugeMetricFamily("millrace_dns_entries", "Cached answers", value=seen.entries)
    yield GaugeMetricFamily(
        "millrace_dns_bytes", "About the memory of the cached answers", value=seen.octets
    )


def _servers(servers: Mapping[str, ServerCounters]) -> Iterator[Metric]:
    names = ("server", "outcome")
    queries = CounterMetricFamily("millrace_dns_queries", "Questions to a server", labels=names)
    seconds = CounterMetricFamily(
        "millrace_dns_query_seconds", "Seconds that a server took", labels=names[:1]
    )
    for server, counters in servers.items():
        told = {**counters.outcomes, "failover": counters.failovers, "unwanted": counters.unwanted}
        for outcome, count in told.items():
            queries.add_metric((server, outcome), count)
        seconds.add_metric((server,), counters.seconds)
    yield from (queries, seconds)
