"""`millrace policy show`: the rules that count, each with its place."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from millrace.engine.cli.policy import policy

LAW = """
[[rule]]
name = "virus"
when = "virus.result == 'found'"
then = "reject"
[[rule]]
name = "known"
when = "helo.name == 'a'"
then = "pass"
"""
ACME = """
policy = "law"
for = { recipient = ".acme.example" }
drop = ["known"]
[[rule]]
name = "virus"
when = "virus.result == 'found'"
then = "quarantine"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "pipelines/mine.toml": 'policy = "law"\n[[filter]]\nuse = "virus"\n',
        "policies/law.toml": LAW,
        "policies/overlays/acme.toml": ACME,
        "millrace.toml": "",
    }.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    return tmp_path


def call(*arguments: str) -> Result:
    arguments = ("show", "--pipeline", "mine", *arguments)
    return CliRunner().invoke(policy, arguments, standalone_mode=False)


def test_policy_alone_is_shown_with_file_and_line():
    assert call().output == (
        "mine · policy law · no overlay fits\n\n"
        "  virus  reject      BODY     policies/law.toml:2\n"
        "         virus.result == 'found'\n"
        "  known  pass        HELO     policies/law.toml:6\n"
        "         helo.name == 'a'\n"
    )


def test_policy_for_a_recipient_shows_what_its_overlay_replaces_and_drops():
    assert call("--for", "bob@mx.acme.example").output == (
        "mine · policy law · overlays acme\n\n"
        "  virus  quarantine  BODY     policies/overlays/acme.toml:5\n"
        "         virus.result == 'found'\n\n"
        "dropped here: known\n"
    )
    assert "no overlay fits" in call("--for", "b@acme.example", "--for", "c@b.example").output


def test_what_counts_is_told_for_machines_too():
    (virus,) = json.loads(call("--for", "bob@acme.example", "--json").output)
    assert (virus["name"], virus["then"], virus["line"]) == ("virus", "quarantine", 5)


def test_text_that_is_no_address_is_wrong_usage():
    assert "'bob' is no address" in str(call("--for", "bob").exception)
