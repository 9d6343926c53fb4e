"""Tallies: counters and histograms that cost a mail one look into a dict each.

A mail counts some twenty things.  The library's own children take a lock and a call for
each; the loop's thread is the only one that counts here, so plain numbers do, and become
the library's families when they are asked for (by the same thread).

Fails: never.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]


class Tally(Collector):
    """A counter: `counts[labels] += 1`, the labels' values in the order of their names."""

    def __init__(
        self, name: str, help_text: str, names: Labels, registry: CollectorRegistry
    ) -> None:
        self._head = (name, help_text)
        self._names = names
        self.counts: defaultdict[Labels, float] = defaultdict(float)
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        family = CounterMetricFamily(*self._head, labels=self._names)
        for labels, count in list(self.counts.items()):
            family.add_metric(labels, count)
        yield family


class Durations(Collector):
    """A histogram of seconds over `bounds`, which ascend."""

    def __init__(
        self,
        name: str,
        help_text: str,
        names: Labels,
        bounds: tuple[float, ...],
        registry: CollectorRegistry,
    ) -> None:
        self._head = (name, help_text)
        self._names = names
        self._bounds = bounds
        self._bins: defaultdict[Labels, list[float]] = defaultdict(self._empty)
        registry.register(self)

    def _empty(self) -> list[float]:
        return [0.0] * (len(self._bounds) + 2)  # one above all bounds, and the sum

    def add(self, labels: Labels, seconds: float) -> None:
        """Count one."""
        bins = self._bins[labels]
        bins[bisect_left(self._bounds, seconds)] += 1
        bins[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        """One scrape; each bucket holds those below it too, as Prometheus has it."""
        family = HistogramMetricFamily(*self._head, labels=self._names)
        for labels, bins in list(self._bins.items()):
            below, buckets = 0.0, []
            for bound, count in zip(
                (*map(str, map(float, self._bounds)), "+Inf"), bins, strict=False
            ):
                below += count
                buckets.append((bound, below))
            family.add_metric(labels, buckets, bins[-1])
        yield family
