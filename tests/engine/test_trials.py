"""Tests of a policy that are told by a mail, in a world of their own; red ones stop a reload."""

import asyncio
import time
from pathlib import Path

import pytest

from millrace.engine import plans, reload, trials
from millrace.engine.errors import Misconfigured
from millrace.engine.settings import Settings

MAIL = b"From: Ann <ann@a.example>\r\nTo: bob@b.example\r\nSubject: hi\r\n\r\nhello\r\n"
PIPELINE = """
policy = "law"
[[filter]]
use = "spf"
[[filter]]
use = "greylist"
[[filter]]
use = "dmarc"
[[filter]]
use = "dkim"
"""
LAW = """
[[rule]]
name = "spf"
when = "spf.result == 'fail'"
then = "reject"
[[rule]]
name = "greylist"
when = "greylist.wait"
then = "defer"
[[rule]]
name = "dmarc"
when = "dmarc.result == 'fail' and dmarc.policy == 'reject'"
then = "reject"
"""
WORLD = (
    'dns = { "a.example" = { TXT = ["v=spf1 ip4:192.0.2.7 -all"] }, '
    '"_dmarc.a.example" = { TXT = ["v=DMARC1; p=reject"] } }\n'
)
FROM_A = (
    '[[case]]\nname = "n"\nmail = "mails/a.eml"\nip = "192.0.2.7"\nhelo = "mx.a.example"\n'
    'from = "ann@a.example"\nto = "bob@b.example"\nnow = 2026-11-23T12:00:00Z\n' + WORLD
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for folder in ("pipelines", "policies/mails"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pipelines/in.toml").write_text(PIPELINE)
    (tmp_path / "policies/law.toml").write_text(LAW)
    (tmp_path / "policies/mails/a.eml").write_bytes(MAIL)
    return Settings(folder=tmp_path)


def outcomes(settings: Settings, tests: str):
    (settings.folder / "policies/law.test.toml").write_text(tests)
    return trials.try_policy(settings, plans.load_plan(settings, "in")).outcomes


def problem(settings: Settings, tests: str) -> str:
    (outcome,) = outcomes(settings, tests)
    return outcome.problem


def test_mail_is_measured_in_the_case_s_own_dns(settings):
    assert problem(settings, FROM_A + 'expect = "defer"\nrule = "greylist"\n') == ""
    elsewhere = FROM_A.replace('192.0.2.7"\nhelo', '198.51.100.9"\nhelo')
    assert problem(settings, elsewhere + 'expect = "reject"\nrule = "spf"\n') == ""


def test_without_dns_nothing_exists(settings):
    case = FROM_A.replace(WORLD, "") + "state = [{ now = 2026-11-23T11:00:00Z }]\n"
    assert problem(settings, case + 'expect = "pass"\n') == ""


def test_dns_may_stand_in_a_file_beside_the_tests(settings):
    zone = '{"a.example": {"TXT": ["v=spf1 -all"]}}'
    (settings.folder / "policies/mails/a.json").write_text(zone)
    case = FROM_A.replace(WORLD, 'dns = "mails/a.json"\n')
    assert problem(settings, case + 'expect = "reject"\nrule = "spf"\n') == ""


def test_earlier_visits_are_the_state_that_the_mail_meets(settings):
    early = 'state = [{ now = 2026-11-23T11:00:00Z }]\nexpect = "pass"\n'
    assert problem(settings, FROM_A + early) == ""
    late = early.replace("11:00:00", "11:58:00")
    assert problem(settings, FROM_A + late).startswith("expected pass, got defer by rule greylist")


def test_state_is_no_other_case_s(settings):
    case = FROM_A + 'expect = "defer"\n'
    assert [o.problem for o in outcomes(settings, case + case.replace("12:00", "13:00"))] == [
        "",
        "",
    ]


def test_envelope_alone_is_a_case_too(settings):
    case = FROM_A.replace('mail = "mails/a.eml"\n', "").replace("ip4:192.0.2.7 ", "")
    assert problem(settings, case + 'expect = "reject"\nrule = "spf"\n') == ""


def test_case_of_another_pipeline_is_left_to_it(settings):
    case = FROM_A + 'expect = "reject"\n'
    assert len(outcomes(settings, case + 'pipeline = "in"\n')) == 1
    assert outcomes(settings, case + 'pipeline = "out"\n') == ()


def test_cases_keep_the_order_of_the_file(settings):
    facts = '[[case]]\nname = "f"\nexpect = "pass"\n'
    mail = FROM_A + 'expect = "defer"\n'
    names = [o.case.name for o in outcomes(settings, facts + mail + facts)]
    assert names == ["f", "n", "f"]


def test_scanner_finds_what_the_case_says_and_none_is_asked(settings):
    (settings.folder / "pipelines/in.toml").write_text(
        'policy = "law"\n[[filter]]\nuse = "virus"\nsocket = "/nowhere"\non_error = "reject"\n'
    )
    law = '[[rule]]\nname = "v"\nwhen = "virus.found == \'Eicar\'"\nthen = "defer"\n'
    (settings.folder / "policies/law.toml").write_text(law)
    assert problem(settings, FROM_A + 'expect = "pass"\n') == ""
    assert problem(settings, FROM_A + 'scanner = "Eicar"\nexpect = "defer"\nrule = "v"\n') == ""


def test_mail_that_cannot_be_read_is_red_and_says_so(settings):
    case = FROM_A.replace("a.eml", "b.eml") + 'expect = "pass"\n'
    told = f"cannot be tried: {settings.folder}/policies/mails/b.eml cannot be read"
    assert problem(settings, case).startswith(told)
    bad = FROM_A.replace('192.0.2.7"\nhelo', '192.0.2"\nhelo') + 'expect = "pass"\n'
    assert problem(settings, bad) == "cannot be tried: '192.0.2' is no IP address"


def test_red_mail_stops_a_reload(settings):
    (settings.folder / "policies/law.test.toml").write_text(FROM_A + 'expect = "reject"\n')
    with pytest.raises(Misconfigured) as caught:
        reload.build(settings, ["in"])
    (fault,) = caught.value.faults
    assert fault.sentence.startswith('test "n": expected reject, got defer by rule greylist')


def test_mails_are_tried_where_a_loop_runs_already(settings):
    async def within():
        return outcomes(settings, FROM_A + 'expect = "defer"\n')

    assert [o.problem for o in asyncio.run(within())] == [""]


def test_hundred_cases_of_facts_take_less_than_a_second(settings):
    case = (
        '[[case]]\ngiven = { dmarc = { result = "fail", policy = "reject" } }\nexpect = "reject"\n'
    )
    (settings.folder / "policies/law.test.toml").write_text(case * 100)
    plan = plans.load_plan(settings, "in")
    began = time.process_time()
    trial = trials.try_policy(settings, plan)
    assert (len(trial.outcomes), trial.failed) == (100, ())
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("tests", "lines"),
    [
        (
            '[[case]]\ngiven = { dmarc = { result = "fail", policy = "none" } }\n'
            'expect = "reject"\nrule = "dmarc"\n',
            ["dmarc does not hold: dmarc.policy == 'reject' (dmarc.policy is 'none')"],
        ),
        (
            '[[case]]\ngiven = { greylist = { wait = true } }\nexpect = "reject"\n',
            [
                "spf does not hold: spf.result == 'fail' (spf is absent)",
                "dmarc does not hold: dmarc.result == 'fail' (dmarc is absent)",
                "dmarc does not hold: dmarc.policy == 'reject' (dmarc is absent)",
                "greylist decided: greylist.wait (greylist.wait is True)",
            ],
        ),
        (
            '[[case]]\ngiven = { greylist = { wait = true }, '
            'dmarc = { result = "fail", policy = "reject" } }\nexpect = "reject"\nrule = "dmarc"\n',
            [
                "dmarc holds too, but greylist is judged earlier, at RCPT",
                "greylist decided: greylist.wait (greylist.wait is True)",
            ],
        ),
        ('[[case]]\nexpect = "reject"\nrule = "dmrac"\n', ["no rule is called dmrac"]),
        (
            FROM_A + 'expect = "pass"\nrule = "dmarc"\n',
            [
                "dmarc does not hold: dmarc.result == 'fail' (dmarc.result is 'pass')",
                "greylist decided: greylist.wait (greylist.wait is True)",
            ],
        ),
    ],
)  # fmt: skip
def test_red_case_says_why_by_the_parts_of_conditions(settings, tests, lines):
    (outcome,) = outcomes(settings, tests)
    assert list(outcome.difference) == lines


def test_rule_that_sleeps_in_this_pipeline_is_told_as_such(settings):
    law = LAW + '[[rule]]\nname = "gtube"\nwhen = "spam.gtube"\nthen = "tag"\n'
    (settings.folder / "policies/law.toml").write_text(law)
    (outcome,) = outcomes(settings, '[[case]]\nexpect = "tag"\n')
    told = "gtube can do nothing in this pipeline: no filter gives what it needs"
    assert outcome.difference == (told,)
