"""`millrace policy log`, `diff` and `rollback`, as a postmaster calls them."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from millrace.engine import history, reload
from millrace.engine.cli.explain import explain
from millrace.engine.cli.policy import policy
from millrace.engine.cli.policy import rollback as command
from millrace.engine.errors import Misconfigured, Unavailable
from millrace.engine.history import Asked
from millrace.engine.settings import Settings, load

SETTINGS = """
[[listener]]
kind = "milter"
address = "inet:0@127.0.0.1"
pipeline = "mine"
[http]
address = "inet:9@127.0.0.1"
"""
LAW = '[[rule]]\nname = "r"\nwhen = "virus.result == \'found\'"\nthen = "{}"\n'


@pytest.fixture
def settings(tmp_path: Path, monkeypatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUDO_USER", "ann")
    for name in ("pipelines", "policies"):
        (tmp_path / name).mkdir()
    Path("pipelines/mine.toml").write_text('policy = "law"\n[[filter]]\nuse = "virus"\n')
    Path("millrace.toml").write_text(SETTINGS)
    made = load(Path("millrace.toml"))
    for word in ("reject", "quarantine"):
        Path("policies/law.toml").write_text(LAW.format(word))
        plans = reload.first(made, history.served(made))
        history.accept(made, plans, "reload", Asked("bob", f"we {word}"))
    return made


def call(*arguments: str) -> Result:
    return CliRunner().invoke(policy, arguments, standalone_mode=False)


def daemon(monkeypatch, code: int = 200, *problems: str) -> list[tuple[str, str]]:
    """A daemon that answers; who asked it, and why."""
    asked = []

    def answer(where, who, why):
        asked.append((who, why))
        return code, {"problems": list(problems), "revisions": {}}

    monkeypatch.setattr(command, "ask_reload", answer)
    return asked


def test_log_shows_the_newest_first_with_who_and_why(settings):
    first, second = call("log").output.splitlines()
    assert first.endswith("reload    bob: we quarantine   in force")
    assert second.endswith("reload    bob: we reject")
    newest = json.loads(call("log", "-n", "1", "--json").output)
    assert newest["revision"] == first.split()[0]


def test_log_of_nothing_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "nothing is kept in history yet" in call("log").output


def test_diff_tells_what_the_files_would_change(settings):
    assert call("diff").output.endswith("no difference in meaning\n")
    Path("policies/law.toml").write_text(LAW.format("defer"))
    assert call("diff").output.endswith("policy law\n  `r` now defers where it quarantined\n")


def test_diff_of_two_revisions_is_told_for_machines_too(settings):
    new, old = (entry.revision for entry in history.history(settings).log())
    told = json.loads(call("diff", old[:8], "now", "--json").output)
    assert (told["a"], told["b"]) == (old, new)
    (change,) = told["sections"][0]["changes"]
    assert change["sentence"] == "`r` now quarantines where it refused"


def test_rollback_goes_to_what_served_before(settings, monkeypatch):
    asked = daemon(monkeypatch)
    new, old = (entry.revision for entry in history.history(settings).log())
    found = call("rollback", "--why", "too much")
    assert found.output.startswith(f"revision {old} serves; the files are as they were\n")
    assert asked == [("ann", "too much")]
    assert history.in_force(settings) == old
    assert call("rollback", new[:8]).return_value == 0
    assert history.in_force(settings) == new


def test_rollback_that_the_daemon_refuses_changes_nothing(settings, monkeypatch):
    daemon(monkeypatch, 409, "policies/x: is no good")
    before = history.in_force(settings)
    found = call("rollback")
    assert (found.return_value, history.in_force(settings)) == (1, before)
    assert "policies/x: is no good" in found.output


def test_rollback_without_a_daemon_serves_from_the_next_start_on(settings):
    old = history.before(settings)
    found = call("rollback")
    assert isinstance(found.exception, Unavailable)
    assert f"{old} will serve from the next start on" in str(found.exception)
    assert history.in_force(settings) == old


def test_rollback_beyond_what_is_kept_is_told(settings, monkeypatch):
    daemon(monkeypatch)
    call("rollback")
    found = call("rollback")
    assert isinstance(found.exception, Misconfigured)
    assert "nothing is kept from before what serves" in str(found.exception)


def explained(*arguments: str) -> Result:
    Path("mail.eml").write_bytes(b"From: a@b.example\r\n\r\nhello\r\n")
    case = {"mail": "mail.eml", "scanner": "Eicar", "dns": {}}
    Path("cases.jsonl").write_text(json.dumps(case))
    given = ["--batch", "cases.jsonl", "--jobs", "1", *arguments]
    return CliRunner().invoke(explain, given, standalone_mode=False)


def action(found: Result) -> str:
    return str(json.loads(found.output.splitlines()[-1])["action"])


def test_mail_is_explained_by_the_revision_that_is_asked_for(settings):
    _, old = (entry.revision for entry in history.history(settings).log())
    Path("policies/law.toml").write_text(LAW.format("defer"))
    words = (), ("--revision", "now"), ("--revision", old[:6])
    assert [action(explained(*each)) for each in words] == ["defer", "quarantine", "reject"]


def test_explanation_by_files_tells_of_a_rollback_that_serves(settings, monkeypatch):
    daemon(monkeypatch)
    old = history.before(settings)
    call("rollback")
    found = explained()
    assert f"a rollback to {old} serves, not these files" in found.output
    assert (action(found), action(explained("--revision", "now"))) == ("quarantine", "reject")
    Path("policies/law.toml").write_text(LAW.format("defer"))
    assert "rollback" not in explained().output


def test_revision_whose_files_are_gone_does_not_give_way_to_those_of_now(settings):
    old = history.before(settings)
    shutil.rmtree(history.history(settings).place(old))
    found = explained("--revision", old)
    assert isinstance(found.exception, Misconfigured)
    assert f"revision {old} is not kept" in str(found.exception)
