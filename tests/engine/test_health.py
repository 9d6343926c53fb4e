"""Which filters need which services, and what is drawn of it."""

from __future__ import annotations

from pathlib import Path

from millrace.engine.health import graph, mermaid, needs_of
from millrace.engine.plans import load_plan
from millrace.engine.settings import load

PIPELINE = """
policy = "default"
[[filter]]
use = "spf"
[[filter]]
use = "spam"
[[filter]]
use = "greylist"
on_error = "reject"
[[filter]]
use = "virus"
socket = "/run/clamav/clamd.ctl"
on_error = "defer"
[[filter]]
use = "archive"
"""
SERVICES = {
    "dns": {"where": "127.0.0.1:53", "ok": True},
    "state": {"where": "127.0.0.1:6379", "ok": False, "trouble": 'said "no" <twice>'},
    "clamd": {"where": "/run/clamav/clamd.ctl", "ok": True},
    "archive": {"where": "archive", "ok": True},
}


def needs(folder: Path) -> list[dict[str, object]]:
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / "inbound.toml").write_text(PIPELINE)
    (folder / "millrace.toml").write_text('profile = "production"\n')
    return needs_of([load_plan(load(folder / "millrace.toml"), "inbound")])


def test_a_filter_without_a_service_is_not_in_it(tmp_path: Path) -> None:
    told = {each["filter"]: each for each in needs(tmp_path)}
    assert set(told) == {"spf", "greylist", "virus", "archive"}
    assert told["virus"]["needs"] == [{"service": "clamd", "where": "/run/clamav/clamd.ctl"}]
    assert {name: each["on_error"] for name, each in told.items()} == {
        "spf": "skip",
        "greylist": "reject",
        "virus": "defer",
        "archive": "defer",
    }


def test_whoever_misses_a_service_is_told(tmp_path: Path) -> None:
    drawn = graph(needs(tmp_path), SERVICES)
    assert {each["filter"]: each["away"] for each in drawn["filters"]} == {
        "spf": [],
        "greylist": ["state"],
        "virus": [],
        "archive": [],
    }


def test_two_scanners_are_told_apart_by_their_addresses(tmp_path: Path) -> None:
    services = {
        "clamd": {"where": "/other.ctl", "ok": False},
        "clamd /run/clamav/clamd.ctl": {"where": "/run/clamav/clamd.ctl", "ok": True},
    }
    virus = graph(needs(tmp_path), services)["filters"][2]
    assert (virus["needs"], virus["away"]) == (["clamd /run/clamav/clamd.ctl"], [])


def test_the_drawing_names_filters_services_and_what_is_away(tmp_path: Path) -> None:
    lines = mermaid(graph(needs(tmp_path), SERVICES)).splitlines()
    assert lines[0] == "flowchart LR"
    assert '  inbound_greylist["inbound: greylist"]' in lines
    assert "  inbound_greylist -- reject --> service_state" in lines
    assert "  class inbound_greylist away" in lines
    trouble = "said #quot;no#quot; #lt;twice>"
    assert f'  service_state(["state<br>127.0.0.1:6379<br>{trouble}"])' in lines
    assert "  class service_dns ok" in lines
