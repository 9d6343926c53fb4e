"""What `millrace status` and `millrace reload` say of a page that the daemon gave."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.engine.census import Census
from millrace.engine.cli import renew, status
from millrace.engine.pending import Pending
from millrace.engine.workers import telling
from millrace.engine.workers.reloads import Refusal

AT = ("--at", "inet:1@127.0.0.1")
PROBLEM = "policies/own.toml:3:8  message.sizes is not known\n    when = …\n    did you mean size?"


def told(*, refusal: Refusal | None = None, waits: Pending = Pending()) -> dict[str, Any]:  # noqa: B008 - frozen
    whole = telling.Whole(
        "1", "production", 7, 0.0, {"in": "3f9c"}, False, 0, False, "", {}, refusal
    )
    page = telling.status(whole, [], [("smtp", "inet:25@127.0.0.1")], Census(1, 1), waits)
    return {"status": "ready", "services": {"state": {"where": "here", "ok": True}}} | page


def page(monkeypatch: pytest.MonkeyPatch, capsys: Any, page: dict[str, Any]) -> list[str]:
    monkeypatch.setattr(status, "ask", lambda *_: (200, page))
    assert status.status.main([*AT], standalone_mode=False) == 0
    return str(capsys.readouterr().out).splitlines()


def test_status_is_silent_where_nothing_is_wrong(monkeypatch, capsys):
    lines = page(monkeypatch, capsys, told())
    assert lines[-1].split() == ["state", "here", "ok"]


def test_status_tells_when_a_reload_was_refused_and_the_first_line_of_why(monkeypatch, capsys):
    lines = page(monkeypatch, capsys, told(refusal=Refusal(0.0, (PROBLEM, "another"))))
    assert lines[-1] == (
        "the reload at 1970-01-01T00:00:00Z was refused, 3f9c serves on: "
        "policies/own.toml:3:8  message.sizes is not known (and 1 more: the log has all)"
    )


def test_status_names_the_settings_that_need_a_restart(monkeypatch, capsys):
    waits = Pending(("limits.mails", "listener[1].address"))
    assert page(monkeypatch, capsys, told(waits=waits))[-1] == (
        "changed, but needs `millrace restart`: limits.mails, listener[1].address"
    )


def test_reload_names_the_settings_that_need_a_restart(monkeypatch, capsys):
    answer = {"result": "unchanged", "revisions": {"in": "3f9c"}, "problems": [], "rollback": False}
    answer |= Pending(("limits.mails",)).as_json()
    monkeypatch.setattr(renew, "ask_reload", lambda *_: (200, answer))
    assert renew.reload.main([*AT], standalone_mode=False) == 0
    assert capsys.readouterr().out.splitlines() == [
        "unchanged: revision 3f9c serves",
        "changed, but needs `millrace restart`: limits.mails",
    ]
