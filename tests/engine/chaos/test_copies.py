"""A copy has the operator's choices, and nothing of the operator's that it could write to."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.engine.chaos.copies import Doors, Reach, write
from millrace.engine.chaos.threaded import Faults
from millrace.engine.chaos.ways import Ways
from millrace.engine.plans import load_plan, load_spec
from millrace.engine.settings import Settings, load

SETTINGS = """
profile = "production"
workers = 3
user = "mail"
[[listener]]
kind = "smtp"
address = "inet:25@0.0.0.0"
deliver = "lmtp:unix:/run/lmtp"
[state]
url = "{state}"
timeout = "250ms"
[archive]
path = "/srv/archive"
[keys]
path = "ours"
[limits]
message = "9MiB"
[log]
decisions = "/var/log/decisions.jsonl"
"""
PIPELINE = """
title = "Ours, with “quotes” and a \\\\"
policy = "default"
[[filter]]
use = "greylist"
wait = "5m"
[[filter]]
use = "virus"
socket = "/run/clamav/clamd.ctl"
on_error = "defer"
"""


def installed(folder: Path, state: str = "embedded:state.db", **environment: str) -> Settings:
    (folder / "pipelines").mkdir(parents=True)
    (folder / "pipelines" / "inbound.toml").write_text(PIPELINE)
    (folder / "millrace.toml").write_text(SETTINGS.format(state=state))
    return load(folder / "millrace.toml", environment)


def copied(settings: Settings, folder: Path) -> Settings:
    reach = Reach("redis://127.0.0.1:7/0", ("127.0.0.1:8",), {"/run/clamav/clamd.ctl": "[::1]:9"})
    return load(write(settings, "inbound", folder, Doors(1, 2, 3), reach))


def test_choices_are_kept_and_all_that_is_written_lies_in_the_copy(tmp_path: Path) -> None:
    settings = installed(tmp_path / "own", MILLRACE_DNS_BUDGET="77")
    copy = copied(settings, tmp_path / "copy")
    assert (copy.workers, copy.limits.message, copy.dns.budget) == (3, 9 << 20, 77)
    assert copy.state.timeout == 0.25
    assert (copy.user, copy.state.url) == ("", "redis://127.0.0.1:7/0")
    assert [door.address for door in copy.listener] == ["inet:1@127.0.0.1", "inet:2@127.0.0.1"]
    assert copy.listener[1].deliver == "maildir:Maildir"
    written = (copy.archive.path, copy.log.decisions, copy.reports.path)
    assert not any(path.is_absolute() for path in written if path)
    assert copy.at(copy.keys.path) == (tmp_path / "own" / "ours").absolute()


def test_two_copies_share_nothing_in_the_store(tmp_path: Path) -> None:
    settings = installed(tmp_path / "own")
    scopes = {copied(settings, tmp_path / name).state.scope for name in ("one", "other")}
    assert len(scopes) == 2
    assert "default" not in scopes


def test_the_pipeline_is_the_operators_with_other_sockets_and_a_short_wait(tmp_path: Path) -> None:
    copy = copied(installed(tmp_path / "own"), tmp_path / "copy")
    spec = load_spec(copy, "inbound")
    assert spec.title == "Ours, with “quotes” and a \\"
    greylist, virus = (each.filter for each in spec.filters)
    assert (greylist.wait, virus.socket) == (1.0, "[::1]:9")
    assert load_plan(copy, "inbound").policy.name == "default"


@pytest.mark.parametrize(
    ("state", "missing"),
    [
        ("embedded:state.db", True),
        ("rediss://redis.example:6379/0", True),
        ("redis://:secret@127.0.0.1:6379/3", False),
        ("unix:///run/redis.sock?db=2", False),
    ],
)
def test_a_store_is_drilled_where_a_proxy_can_stand_before_it(
    tmp_path: Path, state: str, missing: bool
) -> None:
    settings = installed(tmp_path / "own", state)
    with Faults() as faults:
        ways = Ways(settings, load_spec(settings, "inbound"), faults, tmp_path)
        assert ("state" in ways.missing) is missing
        if state.startswith("redis://"):
            port = ways.streams["state"][0].listen.port
            assert ways.reach.state == f"redis://:secret@127.0.0.1:{port}/3"
        if state.startswith("unix"):
            assert ways.reach.state == f"unix://{tmp_path}/state.ctl?db=2"
