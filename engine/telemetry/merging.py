"""One page of metrics out of several workers'.

A worker's metrics travel as plain lists (`families`).  Counters and histograms add up, those
of workers that are gone too (`lasting`), so that no counter ever goes back.  Gauges add up as
well, except where a sum means nothing: `_info` and `_state` show the highest, `_up` the lowest.
Mails by revision are bounded anew (`revisions`): each worker has counted others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from millrace.engine.telemetry import revisions

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Family = list[Any]  # [name, help, type, [[sample's name, labels, value], …]], as JSON has it
_ADDED = ("counter", "histogram")


def families(registry: CollectorRegistry) -> list[Family]:
    """All that a registry knows now."""
    return [
        [metric.name, metric.documentation, metric.type, _samples(metric)]
        for metric in registry.collect()
    ]


def _samples(metric: Metric) -> list[list[Any]]:
    # when a series was made is of no use once several are one
    kept = (s for s in metric.samples if not s.name.endswith("_created"))
    return [[sample.name, sample.labels, sample.value] for sample in kept]


def lasting(told: Sequence[Family]) -> list[Family]:
    """What stays of a worker that is gone: what it counted."""
    return [family for family in told if family[2] in _ADDED]


def merged(tellers: Iterable[Sequence[Family]]) -> list[Family]:
    """One list out of many; those who live are told last."""
    tellers = [list(told) for told in tellers]
    heads: dict[str, tuple[str, str]] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for told in tellers:
        for name, words, kind, samples in told:
            heads.setdefault(name, (words, kind))
            found = values.setdefault(name, {})
            for sample, labels, value in samples:
                key = (sample, tuple(sorted(labels.items())))
                found[key] = _joined(name, found[key], value) if key in found else value
    families = {
        name: [[sample, dict(labels), v] for (sample, labels), v in found.items()]
        for name, found in values.items()
    }
    if revisions.NAME in families:
        families[revisions.NAME] = _by_revision(tellers)
    return [[name, *heads[name], samples] for name, samples in families.items()]


def _by_revision(tellers: Iterable[Sequence[Family]]) -> list[list[Any]]:
    told = [family for teller in tellers for family in teller if family[0] == revisions.NAME]
    samples = [sample for family in told for sample in family[3]]
    counts = revisions.newest(
        ((labels["pipeline"], labels["revision"], labels["action"]), value)
        for _, labels, value in samples
    )
    names = ("pipeline", "revision", "action")
    return [
        [f"{revisions.NAME}_total", dict(zip(names, key, strict=True)), value]
        for key, value in counts.items()
    ]


def _joined(name: str, one: float, other: float) -> float:
    if name.endswith(("_info", "_state")):
        return max(one, other)
    return min(one, other) if name.endswith("_up") else one + other


def page(told: Sequence[Family]) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry()
    registry.register(_Told(told))
    return generate_latest(registry)


class _Told(Collector):
    def __init__(self, told: Sequence[Family]) -> None:
        self._told = told

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        for name, words, kind, samples in self._told:
            metric = Metric(name, words, kind)
            for sample, labels, value in samples:
                metric.add_sample(sample, labels, value)
            yield metric
