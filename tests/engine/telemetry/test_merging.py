"""One page of metrics out of several workers'."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from millrace.engine.telemetry.merging import families, lasting, merged, page


def worker(mails: int, state: int, up: int) -> CollectorRegistry:
    """What one worker counts."""
    registry = CollectorRegistry()
    counter = Counter("mails", "Mails", ["action"], registry=registry)
    counter.labels("pass").inc(mails)
    Gauge("connections", "Open", registry=registry).set(mails)
    Gauge("breaker_state", "State", registry=registry).set(state)
    Gauge("service_up", "Up", registry=registry).set(up)
    Histogram("seconds", "Time", buckets=(1, 2), registry=registry).observe(mails)
    return registry


def lines(*tellers: list) -> set[str]:
    text = page(merged(tellers)).decode()
    return {line for line in text.splitlines() if not line.startswith("#")}


def test_counters_and_histograms_of_all_workers_add_up():
    told = lines(families(worker(1, 0, 1)), families(worker(2, 0, 1)))
    assert 'mails_total{action="pass"} 3.0' in told
    assert "seconds_sum 3.0" in told
    assert 'seconds_bucket{le="1.0"} 1.0' in told
    assert "connections 3.0" in told


def test_state_is_the_highest_and_up_the_lowest():
    told = lines(families(worker(1, 2, 1)), families(worker(1, 0, 0)))
    assert "breaker_state 2.0" in told
    assert "service_up 0.0" in told


def test_dead_worker_leaves_its_counters_and_no_gauge():
    told = lines(lasting(families(worker(5, 2, 0))), families(worker(1, 0, 1)))
    assert 'mails_total{action="pass"} 6.0' in told
    assert "connections 1.0" in told
    assert "breaker_state 0.0" in told


def test_types_and_help_are_kept_and_no_time_of_making():
    text = page(families(worker(1, 0, 1))).decode()
    assert "# TYPE mails_total counter" in text
    assert "# HELP seconds Time" in text
    assert "_created" not in text
