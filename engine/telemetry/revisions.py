"""Mails judged, by the revision that judged them and what was done.

They are told as `millrace_revision_mails_total{pipeline,revision,action}`.  A daemon may see a
thousand revisions in its life, and Prometheus keeps a series for each.  So the `KEPT` newest of
a pipeline have a name; what older ones counted stands under "earlier".

Fails: never.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

NAME = "millrace_revision_mails"
KEPT = 8  # revisions of one pipeline
EARLIER = "earlier"
_LABELS = ("pipeline", "revision", "action")
Counts = dict[tuple[str, str, str], float]  # by pipeline, revision, action


class RevisionCounter(Collector):
    """`serving` says what is in force, `count` counts a mail."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._newest: dict[str, list[str]] = {}  # by pipeline, the newest last
        self._counts: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        registry.register(self)

    def serving(self, pipeline: str, revision: str) -> None:
        """From now on this one is the newest of its pipeline."""
        known = self._newest.setdefault(pipeline, [])
        if revision in known:
            known.remove(revision)
        known.append(revision)
        if len(known) > KEPT:
            self._fold(pipeline, known.pop(0))

    def _fold(self, pipeline: str, revision: str) -> None:
        for key in [key for key in self._counts if key[:2] == (pipeline, revision)]:
            self._counts[pipeline, EARLIER, key[2]] += self._counts.pop(key)

    def count(self, pipeline: str, revision: str, action: str) -> None:
        """One mail; it may have begun on a revision that is long forgotten."""
        named = revision if revision in self._newest.get(pipeline, ()) else EARLIER
        self._counts[pipeline, named, action] += 1

    def collect(self) -> Iterator[Metric]:
        """One scrape; the newest revision last, which `newest` relies on."""
        family = CounterMetricFamily(NAME, "Mails judged, by revision", labels=_LABELS)
        for key in sorted(self._counts, key=self._age):
            family.add_metric(key, self._counts[key])
        yield family

    def _age(self, key: tuple[str, str, str]) -> int:
        pipeline, revision, _ = key
        return -1 if revision == EARLIER else self._newest[pipeline].index(revision)


def newest(told: Iterable[tuple[tuple[str, str, str], float]]) -> Counts:
    """Several processes' counts as one, which is bounded again; whoever lives is told last."""
    counts: Counts = {}
    named: dict[str, dict[str, None]] = {}  # by pipeline, the newest last
    for (pipeline, revision, action), value in told:
        key = pipeline, revision, action
        counts[key] = counts.get(key, 0) + value
        if revision != EARLIER:
            order = named.setdefault(pipeline, {})
            order.pop(revision, None)
            order[revision] = None
    kept = {(pipeline, each) for pipeline, order in named.items() for each in [*order][-KEPT:]}
    found: Counts = {}
    for (pipeline, revision, action), value in counts.items():
        key = pipeline, revision if (pipeline, revision) in kept else EARLIER, action
        found[key] = found.get(key, 0) + value
    ages = {pair: age for age, pair in enumerate((p, r) for p, o in named.items() for r in o)}
    return dict(sorted(found.items(), key=lambda item: ages.get(item[0][:2], -1)))
