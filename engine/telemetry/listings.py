"""What the named lists of one process tell Prometheus.

`millrace_list_entries_state` and `millrace_list_trouble_state` (1 while a file is not what is in
force) by name; `millrace_list_loads_total` by how they ended.

Fails: never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Counted(Protocol):
    """What is told of a list."""

    entries: int
    trouble: str
    loads: int
    refusals: int

    @property
    def name(self) -> str:
        """As conditions write it."""
        ...


class ListCollector(Collector):
    """Reads these lists at each scrape."""

    def __init__(self, lists: Callable[[], Iterable[Counted]]) -> None:
        self._lists = lists

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        # workers hold the same lists: of these names the highest is shown, not the sum
        entries = GaugeMetricFamily(
            "millrace_list_entries_state", "Entries of a list", labels=("list",)
        )
        trouble = GaugeMetricFamily(
            "millrace_list_trouble_state", "1: its file is not what is in force", labels=("list",)
        )
        loads = CounterMetricFamily(
            "millrace_list_loads", "Files of lists read, by how it ended", labels=("list", "result")
        )
        for each in self._lists():
            entries.add_metric((each.name,), each.entries)
            trouble.add_metric((each.name,), 1 if each.trouble else 0)
            loads.add_metric((each.name, "loaded"), each.loads)
            loads.add_metric((each.name, "refused"), each.refusals)
        yield from (entries, trouble, loads)
