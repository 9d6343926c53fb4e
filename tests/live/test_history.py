"""A daemon with two workers: what served is kept, comes back, and outlives a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import wait_for
from live.overseen import Overseen

SETTINGS = """
profile = "production"
workers = 2
[[listener]]
kind = "smtp"
address = "inet:0@127.0.0.1"
deliver = "maildir:Maildir"
[http]
address = "inet:0@127.0.0.1"
[dns]
zone = "zone.json"
[lists]
poll = "50ms"
"""
PIPELINE = 'policy = "own"\n[[filter]]\nuse = "spf"\n'
POLICY = '[[rule]]\nname = "{}"\nwhen = "helo.name == \'client.example\'"\nthen = "tag"\n'

pytestmark = pytest.mark.live


class Daemon(Overseen):
    """Two workers, and a policy whose rule is named anew."""

    def policy(self, name: str) -> None:
        (self.folder / "policies/own.toml").write_text(POLICY.format(name))

    def accepted(self) -> list[dict]:
        return [json.loads(line) for line in self.command("policy", "log", "--json").splitlines()]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    files = {"zone.json": "{}", "pipelines__inbound_toml": PIPELINE, "policies__own_toml": ""}
    made = Daemon(tmp_path, SETTINGS, **files)
    made.policy("first")
    made.start()
    try:
        yield made
    finally:
        made.stop()


def test_rollback_serves_in_all_workers_and_outlives_a_restart(daemon: Daemon) -> None:
    first = daemon.told()["revision"]
    daemon.policy("second")
    daemon.command("reload", "--why", "a try", *daemon.at())
    second = daemon.told()["revision"]
    assert b"`second` is new" in daemon.command("policy", "diff", first, "now")
    daemon.command("policy", "rollback", "--why", "too much", *daemon.at())
    told = daemon.told()
    assert (told["revision"], told["rollback"]) == (first, True)
    wait_for(lambda: _in_all(daemon, first), "every worker's own word")
    daemon.stop()
    daemon.start()
    assert (daemon.told()["revision"], daemon.told()["rollback"]) == (first, True)
    daemon.policy("third")
    daemon.command("reload", *daemon.at())
    assert daemon.told()["rollback"] is False
    assert [(entry["how"], entry["why"]) for entry in daemon.accepted()] == [
        ("reload", ""),
        ("rollback", "too much"),
        ("reload", "a try"),
        ("start", ""),
    ]
    assert second not in (daemon.told()["revision"], first)


def _in_all(daemon: Daemon, revision: str) -> bool:
    return all(w["revisions"] == {"inbound": revision} for w in daemon.told()["workers"])


def test_list_that_changes_is_seen_by_the_workers_and_a_bad_one_is_told(daemon: Daemon) -> None:
    daemon.command("list", "add", "partners.domains", "a.example")
    daemon.policy("second")
    daemon.command("reload", *daemon.at())
    wait_for(lambda: _lists(daemon) == [("partners", 1, "")], "the list")
    daemon.command("list", "add", "partners", "b.example")
    wait_for(lambda: _lists(daemon) == [("partners", 2, "")], "the change")
    with (daemon.folder / "policies/lists/partners.domains").open("a") as file:
        file.write("half a li")
    wait_for(lambda: "ends in the middle" in _lists(daemon)[0][2], "the trouble")
    assert "list partners stays as it was" in daemon.command("status", *daemon.at()).decode()


def _lists(daemon: Daemon) -> list[tuple[str, int, str]]:
    return [(each["name"], each["entries"], each["trouble"]) for each in daemon.told()["lists"]]


def test_files_that_change_are_taken_by_themselves_and_a_bad_one_is_said_once(
    tmp_path: Path,
) -> None:
    files = {"zone.json": "{}", "pipelines__inbound_toml": PIPELINE, "policies__own_toml": ""}
    daemon = Daemon(tmp_path, SETTINGS + "[reload]\nwatch = true\n", **files)
    daemon.policy("first")
    daemon.start()
    try:
        before = daemon.told()["revision"]
        (tmp_path / "policies/own.toml").write_text("colour = 1\n")
        wait_for(lambda: daemon.told()["refused_reload"] is not None, "the refusal")
        until = daemon.told()["workers"][0]["alive_s"] + 3  # looks enough to say it again
        wait_for(lambda: daemon.told()["workers"][0]["alive_s"] >= until, "more looks")
        daemon.policy("second")
        text = (tmp_path / "millrace.toml").read_text()
        (tmp_path / "millrace.toml").write_text(text + "[limits]\nmails = 7\n")
        wait_for(lambda: daemon.told()["revision"] != before, "the mended file")
        assert daemon.accepted()[0]["who"] == "watch"
        assert daemon.accepted()[0]["why"] == "the files changed"
        wait_for(lambda: "needs `millrace restart`: limits.mails" in daemon.said(), "the setting")
        assert daemon.said().count("unknown key 'colour'") == 1
    finally:
        daemon.stop()
