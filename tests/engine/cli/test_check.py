"""`millrace check`: every message as the operator sees it, and the forms for machines."""

import json
from pathlib import Path

import pytest
from clean_policies import FAIL, rule, weight

from millrace.engine.cli.check import check
from millrace.engine.policy.analysis.finding import CODES

MODEL = weight("w", "12 * spam.probability")


@pytest.fixture
def checked(tmp_path, monkeypatch, capsys):
    """Check one policy in the shipped inbound pipeline; gives the status and what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MILLRACE_CONFIG", raising=False)
    Path("policies").mkdir()

    def call(policy: str, *arguments: str):
        Path("policies/law.toml").write_text(policy)
        given = ["--pipeline", "inbound", "--policy", "law", *arguments]
        status = check.main(given, standalone_mode=False)
        return status, capsys.readouterr().out

    return call


MESSAGES = {
    "never-holds": (
        rule("a", "login and spf.result == 'pass' and spf.result == 'fail'"),
        """\
policies/law.toml:3:19  rule "a" can never hold
    when = "login and spf.result == 'pass' and spf.result == 'fail'"
                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    These exclude each other: spf.result == 'pass', spf.result == 'fail'

1 problem in 1 file.
""",
    ),
    "never-holds of one part": (
        rule("a", "login and lower(helo.name) == 'MX'"),
        """\
policies/law.toml:3:19  rule "a" can never hold
    when = "login and lower(helo.name) == 'MX'"
                      ^^^^^^^^^^^^^^^^^^^^^^^^
    Nothing makes this true: lower(helo.name) == 'MX'

1 problem in 1 file.
""",
    ),
    "never-holds of a score": (
        weight("w", "3", FAIL) + rule("a", "score >= 10"),
        """\
policies/law.toml:8:9  rule "a" can never hold
    when = "score >= 10"
            ^^^^^^^^^^^
    Nothing makes this true: score >= 10
    All weights together give from 0 to 3.

1 problem in 1 file.
""",
    ),
    "shadowed": (
        rule("a", FAIL, "tag") + rule("b", f"{FAIL} and helo.name == 'x'"),
        """\
policies/law.toml:6:1  rule "b" is never reached
    Every mail that it matches is taken by "a" (line 1) first.
    Move it above, or narrow that one.

1 problem in 1 file.
""",
    ),
    "shadowed by an early one": (
        rule("late", f"{FAIL} and spam.gtube") + rule("early", FAIL),
        """\
policies/law.toml:1:1  rule "late" is never reached
    Every mail that it matches is taken by "early" (line 6) first.
    That one is judged at MAIL, this one at BODY.
    Narrow that one, or remove this one.

1 problem in 1 file.
""",
    ),
    "shadowed by several": (
        rule("a", "tls.verified", "tag")
        + rule("b", "not tls.verified", "tag")
        + rule("c", FAIL, "tag"),
        """\
policies/law.toml:11:1  rule "c" is never reached
    Every mail that it matches is taken by "a" (line 1) or "b" (line 6) first.
    Move it above, or narrow one of them.

1 problem in 1 file.
""",
    ),
    "shadowed by several early ones": (
        rule("a", "tls.verified", "tag")
        + rule("b", "not tls.verified", "tag")
        + rule("c", "spam.gtube", "tag"),
        """\
policies/law.toml:11:1  rule "c" is never reached
    Every mail that it matches is taken by "a" (line 1) or "b" (line 6) first.
    They are judged at MAIL, this one at BODY.
    Narrow one of them, or remove this one.

1 problem in 1 file.
""",
    ),
    "shadowed by an early one and another": (
        rule("a", "tls.verified", "tag")
        + rule("b", "not tls.verified and spam.gtube", "tag")
        + rule("c", "spam.gtube", "tag"),
        """\
policies/law.toml:11:1  rule "c" is never reached
    Every mail that it matches is taken by "a" (line 1) or "b" (line 6) first.
    "a" is judged at MAIL, this one at BODY.
    Narrow one of them, or remove this one.

1 problem in 1 file.
""",
    ),
    "beaten": (
        rule("late", "virus.result == 'found'") + rule("early", FAIL, "tag"),
        """\
note: policies/law.toml:6:1  rule "early" is judged before "late", which stands above it
    All that it names is known at MAIL; the other must wait for BODY.
    Move it above, so that the file reads as it is judged.

1 note in 1 file.
""",
    ),
    "weight-unreached": (
        rule("a", FAIL) + weight("w", "3", FAIL + " and spam.gtube") + rule("b", "score > 1"),
        """\
policies/law.toml:6:1  weight "w" is never reached
    Every mail that it is for is refused by "a" (line 1) first, at an earlier stage.
    Remove it, or narrow the rule.

1 problem in 1 file.
""",
    ),
    "no-filter": (
        rule("a", "dnsbl.listed"),
        """\
note: policies/law.toml:1:1  rule "a" needs dnsbl, which no filter gives
    Add   [[filter]] use = "dnsbl"   to the pipeline, or remove the rule.

1 note in 1 file.
""",
    ),
    "always-holds": (
        rule("a", f"{FAIL} and not dnsbl.listed"),
        """\
note: policies/law.toml:3:34  dnsbl is given by no filter, so this always holds: not dnsbl.listed
    when = "spf.result == 'fail' and not dnsbl.listed"
                                     ^^^^^^^^^^^^^^^^
    Add   [[filter]] use = "dnsbl"   to the pipeline, or name dnsbl first: dnsbl and …

1 note in 1 file.
""",
    ),
    "score-unread": (
        MODEL + rule("a", FAIL),
        """\
note: policies/law.toml:1:1  weights add up to a score that no rule reads
    Add a rule such as   when = "score >= 7"   or remove the weights.

1 note in 1 file.
""",
    ),
    "unfit": (
        rule("a", FAIL) + rule("a", "login", "tag"),
        """\
policies/law.toml:6:1  two rules are called "a"
    The other stands in line 1; give one of them another name.

1 problem in 1 file.
""",
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", MESSAGES)
def test_message_of_a_finding_is_shown_whole(checked, code):
    policy, message = MESSAGES[code]
    status, told = checked(policy)
    shown = told.partition("\n\n")[2] if told.startswith("inbound: ") else told
    assert shown == message
    assert status == (1 if "problem" in message else 0)


def test_red_test_is_shown_with_its_place(checked):
    Path("policies/law.test.toml").write_text('[[case]]\nname = "n"\nexpect = "reject"\n')
    status, told = checked(rule("a", FAIL))
    assert (status, told) == (
        1,
        'policies/law.test.toml:1:1  test "n": expected reject, got pass by no rule, score 0\n'
        "\n1 problem in 1 file.\n",
    )


def test_problems_and_notes_are_counted_apart(checked):
    status, told = checked(rule("a", "dnsbl.listed") + rule("b", FAIL) + rule("c", FAIL))
    assert status == 1
    assert told.endswith("\n1 problem in 1 file, 1 note in 1 file.\n")


def test_json_gives_each_finding_with_its_place(checked):
    status, told = checked(rule("a", "len(helo.name) < 0"), "--format", "json")
    data = json.loads(told)
    assert (status, data["problems"], data["notes"]) == (1, 1, 0)
    assert data["findings"] == [
        {
            "code": "never-holds",
            "level": "error",
            "file": "policies/law.toml",
            "line": 3,
            "column": 9,
            "width": 18,
            "sentence": 'rule "a" can never hold',
            "hint": "Nothing makes this true: len(helo.name) < 0",
        }
    ]
    assert [each["name"] for each in data["pipelines"]] == ["inbound"]


def test_sarif_points_into_the_file_by_rule_level_and_region(checked):
    policy = rule("a", "dnsbl.listed") + rule("b", "len(helo.name) < 0")
    status, told = checked(policy, "--format", "sarif")
    log = json.loads(told)
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (status, log["version"], driver["name"]) == (1, "2.1.0", "millrace check")
    assert [each["id"] for each in driver["rules"]] == list(CODES)
    first, second = run["results"]
    assert (first["ruleId"], first["level"]) == ("never-holds", "error")
    assert (second["ruleId"], second["level"]) == ("no-filter", "note")
    assert driver["rules"][first["ruleIndex"]]["id"] == first["ruleId"]
    assert first["message"]["text"].startswith('rule "b" can never hold\n')
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "policies/law.toml"},
        "region": {"startLine": 8, "startColumn": 9, "endColumn": 27},
    }


def test_sarif_of_a_clean_policy_has_no_results(checked):
    status, told = checked(rule("a", FAIL), "--format", "sarif")
    assert (status, json.loads(told)["runs"][0]["results"]) == (0, [])


def test_sarif_has_what_a_code_host_asks_of_each_result_and_rule(checked):
    shown = [
        checked(rule("a", "spf.result == 'x'"), "--format", "sarif"),
        checked(rule("a", FAIL), "--format", "sarif", "--config", "gone.toml"),
        checked(rule("a", FAIL), "--format", "sarif", "--pipeline", "gone"),
    ]
    for status, told in shown:
        (run,) = json.loads(told)["runs"]
        assert (status, len(run["results"])) == (1, 1)
        for each in run["tool"]["driver"]["rules"]:
            texts = (each["shortDescription"], each["fullDescription"], each["help"])
            assert all(text["text"] for text in texts)
        (place,) = run["results"][0]["locations"]
        uri = place["physicalLocation"]["artifactLocation"]["uri"]
        assert uri
        assert not uri.startswith("/")
        assert place["physicalLocation"]["region"]["startLine"] >= 1
