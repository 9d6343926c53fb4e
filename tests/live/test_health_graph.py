"""/health/graph of a daemon with two workers whose store goes away."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from live.parties import Millrace
from live.redises import RedisServer

pytestmark = pytest.mark.live
SETTINGS = """
profile = "production"
workers = 2
[[listener]]
kind = "milter"
address = "inet:0@127.0.0.1"
[http]
address = "inet:0@127.0.0.1"
[dns]
zone = "zone.json"
[state]
url = "{url}"
timeout = "300ms"
"""
PIPELINE = """
policy = "default"
[[filter]]
use = "spf"
[[filter]]
use = "greylist"
on_error = "reject"
"""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


def test_the_graph_shows_who_misses_the_store_and_that_it_is_back(
    tmp_path: Path, redis: RedisServer
) -> None:
    files = {"zone.json": "{}", "pipelines__inbound_toml": PIPELINE}
    daemon = Millrace(tmp_path, SETTINGS.format(url=redis.url), **files).start()
    try:
        assert away(daemon) == {"spf": [], "greylist": []}
        redis.kill()
        wait_for(lambda: away(daemon)["greylist"] == ["state"], "the store is missed")
        drawn = page(daemon, "/health/graph?format=mermaid").decode()
        assert "  inbound_greylist -- reject --> service_state" in drawn.splitlines()
        assert "  class inbound_greylist away" in drawn.splitlines()
        redis.start()
        wait_for(lambda: away(daemon)["greylist"] == [], "the store is back", 40)
    finally:
        daemon.stop()


def away(daemon: Millrace) -> dict[str, list[str]]:
    told: dict[str, Any] = json.loads(page(daemon, "/health/graph"))
    assert told["status"] == ("degraded" if not told["services"]["state"]["ok"] else "ready")
    return {each["filter"]: each["away"] for each in told["filters"]}


def page(daemon: Millrace, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{daemon.port('http')}{path}") as answer:
        found: bytes = answer.read()
    return found
