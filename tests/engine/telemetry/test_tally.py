"""Tallies are what the library's own counters and histograms would show."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from millrace.engine.telemetry.tally import Durations, Tally

BOUNDS = (0.001, 0.5, 1)
SECONDS = (0.0005, 0.001, 0.7, 1.0, 30.0)


def shown(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return sorted(line for line in lines if "_created" not in line)


def test_pages_are_the_same_as_the_librarys():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = Tally("mails", "Mails", ("pipeline", "action"), ours)
    durations = Durations("took", "Seconds", ("filter",), BOUNDS, ours)
    counter = Counter("mails", "Mails", ("pipeline", "action"), registry=theirs)
    histogram = Histogram("took", "Seconds", ("filter",), buckets=BOUNDS, registry=theirs)
    for action in ("pass", "tag", "pass"):
        tally.counts["in", action] += 1
        counter.labels("in", action).inc()
    for seconds in SECONDS:
        durations.add(("spf",), seconds)
        histogram.labels("spf").observe(seconds)
    assert shown(ours) == shown(theirs)
