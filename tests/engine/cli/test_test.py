"""`millrace test`: what is printed for red and untried, the XML, and a test from a mail."""

import json
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest

from millrace.engine.cli.test import test as command

MAIL = b"From: Ann <ann@a.example>\r\nTo: bob@b.example\r\nSubject: hi\r\n\r\nhello\r\n"
ZONE = {
    "a.example": {"TXT": ["v=spf1 ip4:192.0.2.7 -all"]},
    "unasked.example": {"A": ["192.0.2.1"]},
}
LAW = """
[[weight]]
name = "soft"
when = "spf.result == 'softfail'"
add = 2
[[rule]]
name = "spf"
when = "spf.result == 'fail'"
then = "reject"
[[rule]]
name = "score"
when = "score >= 2"
then = "tag"
"""
RED = '[[case]]\nname = "<s>"\ngiven = { spf = { result = "softfail" } }\nexpect = "reject"\n'
GREEN = '[[case]]\nname = "g"\ngiven = { spf = { result = "pass" } }\nexpect = "pass"\n'
ENVELOPE = ["--from", "ann@a.example", "--to", "bob@b.example", "--helo", "mx.a.example"]
WORLD = ["--dns", "zone.json", "--now", "2026-11-23T12:00:00Z"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Call the command in a folder of its own; gives the status and what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MILLRACE_CONFIG", raising=False)
    for folder in ("pipelines", "policies"):
        Path(folder).mkdir()
    Path("pipelines/in.toml").write_text('policy = "law"\n[[filter]]\nuse = "spf"\n')
    Path("policies/law.toml").write_text(LAW)
    Path("mail.eml").write_bytes(MAIL)
    Path("zone.json").write_text(json.dumps(ZONE))

    def call(*arguments: str):
        status = command.main(["--pipeline", "in", *arguments], standalone_mode=False)
        return status, capsys.readouterr().out

    return call


def test_red_case_is_printed_with_its_place_sum_and_difference(run):
    Path("policies/law.test.toml").write_text(GREEN + RED)
    status, told = run()
    assert status == 1
    assert told == (
        "FAILED  policies/law.test.toml:5:1  <s>\n"
        "        expected reject, got tag by rule score, score 2\n"
        "        score 2 = +2 soft\n"
        "        · spf does not hold: spf.result == 'fail' (spf.result is 'softfail')\n"
        "        · score decided: score >= 2 (score is 2)\n"
        "1 passed, 1 failed\n"
        "never tried by a test of law: rule spf (policies/law.toml:6)\n"
    )


def test_case_that_comes_out_alike_in_two_pipelines_is_told_and_counted_once(run):
    Path("pipelines/out.toml").write_text('policy = "law"\n[[filter]]\nuse = "spf"\n')
    Path("policies/law.test.toml").write_text(GREEN + RED)
    alone, both = run(), run("--pipeline", "out")
    assert both == alone


def test_rules_and_weights_that_no_case_tried_are_named(run):
    Path("policies/law.test.toml").write_text(GREEN)
    status, told = run("-v")
    assert (status, told) == (
        0,
        "passed  g\n1 passed\nnever tried by a test of law: rule spf (policies/law.toml:6), "
        "rule score (policies/law.toml:10), weight soft (policies/law.toml:2)\n",
    )


def test_junit_names_each_case_and_tells_the_red_ones_whole(run):
    Path("policies/law.test.toml").write_text(GREEN + RED)
    run("--junit", "report.xml")
    (suite,) = ElementTree.parse("report.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    green, red = suite
    assert (green.get("name"), len(green)) == ("g", 0)
    assert (red.get("name"), red.get("file"), red.get("line")) == (
        "<s>",
        "policies/law.test.toml",
        "5",
    )
    assert red[0].get("message") == "expected reject, got tag by rule score, score 2"
    assert red[0].text.splitlines()[1].startswith("spf does not hold: ")


def test_character_that_xml_cannot_write_becomes_a_question_mark(run):
    Path("policies/law.test.toml").write_text(GREEN.replace('"g"', '"g\\u0001"'))
    run("--junit", "report.xml")
    assert ElementTree.parse("report.xml").getroot()[0][0].get("name") == "g?"


def test_case_from_a_mail_is_green_offline_and_says_what_came(run):
    status, told = run("--new", "mail.eml", "--ip", "192.0.2.9", *ENVELOPE, *WORLD)
    assert status == 0
    assert "written  policies/mails/mail.eml" in told
    assert Path("policies/law.test.toml").read_text().partition("\n\n")[2] == (
        "[[case]]\n"
        'name     = "mail: reject by spf"\n'
        'pipeline = "in"\n'
        'mail     = "mails/mail.eml"\n'
        'dns      = "mails/mail.json"\n'
        'ip       = "192.0.2.9"\n'
        'helo     = "mx.a.example"\n'
        'from     = "ann@a.example"\n'
        'to       = ["bob@b.example"]\n'
        "now      = 2026-11-23T12:00:00Z\n"
        'expect   = "reject"\n'
        'rule     = "spf"\n'
    )
    assert Path("policies/mails/mail.eml").read_bytes() == MAIL
    assert json.loads(Path("policies/mails/mail.json").read_text()) == {
        "a.example": {"TXT": ["v=spf1 ip4:192.0.2.7 -all"]}
    }
    Path("zone.json").unlink()
    assert run()[0] == 0


def test_second_case_of_the_same_mail_leaves_the_first_alone(run):
    run("--new", "mail.eml", "--ip", "192.0.2.9", *ENVELOPE, *WORLD)
    run("--new", "mail.eml", "--ip", "192.0.2.7", *ENVELOPE, *WORLD, "--name", 'the "own" one')
    status, told = run("-v")
    assert (status, told.splitlines()[:3]) == (
        0,
        ["passed  mail: reject by spf", 'passed  the "own" one', "2 passed"],
    )
    assert sorted(path.name for path in Path("policies/mails").iterdir()) == [
        "mail-2.eml",
        "mail-2.json",
        "mail.eml",
        "mail.json",
    ]


def test_tests_of_a_shipped_policy_are_not_written_to(run):
    with pytest.raises(click.ClickException) as caught:
        run("--policy", "strict", "--new", "mail.eml", "--ip", "192.0.2.9", *ENVELOPE, *WORLD)
    assert caught.value.message == (
        "the policy strict is one that ships with us: copy it first, to policies/strict.toml"
    )


def test_mail_that_is_not_there_is_told_in_a_line(run):
    with pytest.raises(click.ClickException) as caught:
        run("--new", "nowhere.eml", *WORLD)
    assert caught.value.message == "nowhere.eml cannot be read: No such file or directory"
