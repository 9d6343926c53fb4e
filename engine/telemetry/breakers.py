"""What the breakers of one process tell Prometheus.

`millrace_breaker_state`, `_openings_total` and `_spared_total`, by service and address.

Of several workers the page shows the worst state, and the sums of what was counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from millrace.engine.breaker import LEVELS, Breaker

_LABELS = ("service", "where")


class BreakerCollector(Collector):
    """Reads these breakers at each scrape."""

    def __init__(self, breakers: Iterable[Breaker]) -> None:
        self._breakers = breakers

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        state = GaugeMetricFamily(
            "millrace_breaker_state", "0 closed, 1 half-open, 2 open", labels=_LABELS
        )
        openings = CounterMetricFamily(
            "millrace_breaker_openings", "How often a service was given up", labels=_LABELS
        )
        spared = CounterMetricFamily(
            "millrace_breaker_spared", "Calls that were not made meanwhile", labels=_LABELS
        )
        for each in self._breakers:
            labels = (each.service, each.where)
            state.add_metric(labels, LEVELS[each.state])
            openings.add_metric(labels, each.openings)
            spared.add_metric(labels, each.spared)
        yield from (state, openings, spared)
