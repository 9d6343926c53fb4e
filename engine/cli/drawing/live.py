"""What a running daemon has counted, read from its /metrics.

Fails: ValueError for a page that is not Prometheus's text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

SHARE = 0.95
Sample = tuple[str, Mapping[str, str], float]


@dataclass(slots=True)
class Seen:
    """One filter's runs by how they ended; `seconds` of those that ran, `buckets` cumulative."""

    states: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    count: int = 0
    buckets: list[tuple[float, float]] = field(default_factory=list)

    @property
    def words(self) -> tuple[str, ...]:
        """In short: how often, how long, and what went wrong."""
        ran = self.states.get("ran", 0)
        told = [f"{ran:,} runs"]
        if self.count:
            told.append(f"{_time(self.seconds / self.count)} each")
            told.append(f"{SHARE:.0%} within {_time(self.within)}")
        wrong = {k: n for k, n in self.states.items() if k in ("failed", "timed-out") and n}
        return (*told, *(f"{count:,} {state}" for state, count in wrong.items()))

    @property
    def within(self) -> float:
        """The least bucket in which most runs ended, in seconds; infinite beyond the last."""
        enough = [top for top, count in sorted(self.buckets) if count >= SHARE * self.count]
        return enough[0] if enough else float("inf")


@dataclass(slots=True)
class Live:
    """The counters of one pipeline; filters are counted over all pipelines of the daemon."""

    revision: str = ""
    mails: int = 0
    filters: dict[str, Seen] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)


def read(page: str, pipeline: str) -> Live:
    """The page of /metrics, for one pipeline."""
    live = Live()
    for name, labels, value in _samples(page):
        if labels.get("pipeline", pipeline) == pipeline:
            _note(live, name, labels, value)
    return live


def _samples(page: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def _note(live: Live, name: str, labels: Mapping[str, str], value: float) -> None:
    if name == "millrace_plan_info":
        live.revision = labels["revision"]
    elif name == "millrace_mails_total":
        live.mails += int(value)
    elif name == "millrace_rules_total":
        live.rules[labels["rule"]] = int(value)
    elif name.startswith("millrace_filter_"):
        _of_filter(live.filters.setdefault(labels["filter"], Seen()), name, labels, value)


def _of_filter(seen: Seen, name: str, labels: Mapping[str, str], value: float) -> None:
    if name == "millrace_filter_runs_total":
        seen.states[labels["state"]] = int(value)
    elif name == "millrace_filter_seconds_sum":
        seen.seconds = value
    elif name == "millrace_filter_seconds_count":
        seen.count = int(value)
    elif name == "millrace_filter_seconds_bucket":
        seen.buckets.append((float(labels["le"]), value))


def _time(seconds: float) -> str:
    if seconds == float("inf"):
        return "more than 20 s"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
