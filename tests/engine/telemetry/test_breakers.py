"""Who is away, and how often, as Prometheus and `millrace status` tell it."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from millrace.engine.breaker import Breaker, Terms
from millrace.engine.cli.status import _service
from millrace.engine.errors import Unavailable
from millrace.engine.telemetry.breakers import BreakerCollector
from millrace.engine.telemetry.merging import families, merged, page


class Watch:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def breaker(watch: Watch, where: str = "/run/clamd") -> Breaker:
    return Breaker("clamd", where, Terms(failures=2, pause=4.0), watch, lambda: 0.0)


def shown(*breakers: Breaker) -> dict[tuple[str, str], float]:
    registry = CollectorRegistry()
    registry.register(BreakerCollector(breakers))
    return samples(page(families(registry)))


def samples(text: bytes) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels["where"]): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def lose(given_up: Breaker) -> None:
    for _ in range(2):
        given_up.failed(given_up.admit(), "connection refused")


def test_state_openings_and_spared_calls_stand_on_the_page():
    watch = Watch()
    there, away = breaker(watch, "/run/a"), breaker(watch, "/run/b")
    lose(away)
    for _ in range(3):
        with pytest.raises(Unavailable, match="connection refused; not asked"):
            away.admit()
    found = shown(there, away)
    assert found["millrace_breaker_state", "/run/a"] == 0
    assert found["millrace_breaker_state", "/run/b"] == 2
    assert found["millrace_breaker_openings_total", "/run/b"] == 1
    assert found["millrace_breaker_spared_total", "/run/b"] == 3
    watch.now += 4.0
    assert shown(away)["millrace_breaker_state", "/run/b"] == 1
    away.admit()
    away.succeeded()
    assert shown(away)["millrace_breaker_state", "/run/b"] == 0
    assert shown(away)["millrace_breaker_openings_total", "/run/b"] == 1


def test_of_two_workers_the_worse_state_is_shown_and_calls_add_up():
    told = []
    for lost in (True, False):
        registry = CollectorRegistry()
        one = breaker(Watch())
        if lost:
            lose(one)
        registry.register(BreakerCollector([one]))
        told.append(families(registry))
    found = samples(page(merged(told)))
    assert found["millrace_breaker_state", "/run/clamd"] == 2
    assert found["millrace_breaker_openings_total", "/run/clamd"] == 1


def test_status_says_since_when_and_what_comes_next():
    watch = Watch()
    away = breaker(watch)
    lose(away)
    watch.now += 1.0
    service = {"where": "/run/clamd", "ok": False, "breaker": away.as_json()}
    words = "open since 1 s, next try in 3 s: connection refused"
    assert _service("clamd", service) == ("clamd", "/run/clamd", words)
    watch.now += 3.0
    service["breaker"] = away.as_json()
    assert "next mail tries: connection refused" in _service("clamd", service)[2]
    away.admit()
    away.succeeded()
    healthy = {"where": "/run/clamd", "ok": True, "breaker": away.as_json()}
    assert _service("clamd", healthy)[2] == "ok"
