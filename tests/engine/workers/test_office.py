"""What the office tells of all workers' services."""

from __future__ import annotations

from typing import Any

from millrace.engine.workers.office import word, worst


def seen(state: str, where: str = "10.0.0.1:6379", *, ok: bool = True) -> list[dict[str, Any]]:
    return [{"name": "state", "where": where, "ok": ok, "breaker": {"state": state}}]


def test_the_worst_breaker_of_all_workers_counts() -> None:
    workers = [seen("closed"), seen("open", ok=False), seen("half-open"), seen("closed")]
    services = worst(workers)
    assert services["state"]["breaker"]["state"] == "open"
    assert word({"stopping": False, "serving": 4}, services.values()) == "degraded"


def test_a_half_open_breaker_is_told_where_the_others_are_closed() -> None:
    services = worst([seen("closed"), seen("half-open"), seen("closed")])
    assert services["state"]["breaker"]["state"] == "half-open"


def test_two_addresses_of_one_service_do_not_hide_each_other() -> None:
    services = worst([seen("closed") + seen("open", "10.0.0.2:6379", ok=False)])
    assert {name: each["ok"] for name, each in services.items()} == {
        "state": True,
        "state 10.0.0.2:6379": False,
    }
