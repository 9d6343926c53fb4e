"""Several pipelines over one policy: what is needed in one of them is no fault in another."""

import datetime
from dataclasses import replace

import pytest

from millrace.engine import checking
from millrace.engine.settings import Listener, Settings

VIRUS = '[[filter]]\nuse = "virus"\n'
SPAM = '[[filter]]\nuse = "spam"\n'
SPF = '[[filter]]\nuse = "spf"\n'
FAIL = '[[rule]]\nname = "fail"\nwhen = "spf.result == \'fail\'"\nthen = "reject"\n'
FOUND = '[[rule]]\nname = "found"\nwhen = "virus.result == \'found\'"\nthen = "reject"\n'
TODAY = datetime.date(2026, 11, 23)


@pytest.fixture
def settings(tmp_path) -> Settings:
    for folder in ("pipelines", "policies/lists"):
        (tmp_path / folder).mkdir(parents=True)
    return Settings(folder=tmp_path)


def write(settings: Settings, path: str, text: str) -> None:
    (settings.folder / path).write_text(text)


def codes(settings: Settings, *names: str) -> list[tuple[str, str]]:
    return [(f.code, f.about) for f in checking.check(settings, names, today=TODAY).findings]


def test_rule_that_sleeps_in_one_pipeline_and_acts_in_another_is_no_finding(settings):
    write(settings, "pipelines/a.toml", 'policy = "law"\n' + VIRUS)
    write(settings, "pipelines/b.toml", 'policy = "law"\n' + VIRUS + SPF)
    write(settings, "policies/law.toml", FAIL + FOUND)
    assert codes(settings, "a", "b") == []
    assert codes(settings, "a") == []
    write(settings, "pipelines/b.toml", 'policy = "law"\n' + VIRUS)
    assert codes(settings, "a", "b") == [("no-filter", "fail")]


def test_rule_that_is_shadowed_in_one_pipeline_alone_is_a_note(settings):
    # without spf the first condition is known at once, and goes before what waits for the body
    first = "[[rule]]\nname = \"x\"\nwhen = \"virus.found == 'x' and helo.name == 'h'\"\n"
    then = '[[rule]]\nname = "y"\nwhen = "helo.name == \'h\' or spam.gtube"\nthen = "tag"\n'
    write(settings, "pipelines/a.toml", 'policy = "law"\n' + VIRUS)
    write(settings, "pipelines/b.toml", 'policy = "law"\n' + VIRUS + '[[filter]]\nuse = "spam"\n')
    write(settings, "policies/law.toml", first + 'then = "reject"\n' + then)
    report = checking.check(settings, ["a", "b"], today=TODAY)
    (found,) = [f for f in report.findings if f.code == "shadowed"]
    assert (found.level, found.about) == ("note", "x")
    assert found.fault.hint.startswith("So it is in the pipeline a; another one needs it.\n")
    assert report.errors == ()


def test_pipeline_of_another_policy_does_not_soften_what_a_chosen_one_says(settings):
    first = "[[rule]]\nname = \"x\"\nwhen = \"virus.found == 'x' and helo.name == 'h'\"\n"
    then = '[[rule]]\nname = "y"\nwhen = "helo.name == \'h\' or spam.gtube"\nthen = "tag"\n'
    write(settings, "pipelines/a.toml", 'policy = "law"\n' + VIRUS)
    write(settings, "pipelines/b.toml", 'policy = "other"\n' + VIRUS + SPAM)
    write(settings, "policies/law.toml", first + 'then = "reject"\n' + then)
    write(settings, "policies/other.toml", FOUND)
    report = checking.check(settings, ["a"], "law", today=TODAY)
    assert [f.level for f in report.findings if f.code == "shadowed"] == ["error"]


def test_order_that_two_pipelines_share_is_told_once_and_in_full(settings):
    early = '[[rule]]\nname = "early"\nwhen = "helo.name == \'h\'"\nthen = "tag"\n'
    write(settings, "pipelines/a.toml", 'policy = "law"\n' + SPF)
    write(settings, "pipelines/b.toml", 'policy = "law"\n' + SPF + VIRUS)
    write(settings, "policies/law.toml", FOUND + FAIL + early)
    told = checking.check(settings, ["a", "b"], today=TODAY).findings
    (found,) = [f.fault.sentence for f in told if (f.code, f.about) == ("beaten", "early")]
    assert 'before "found", "fail"' in found


@pytest.mark.parametrize(
    ("pipeline", "sentence"),
    [
        ('deadline = "20s"\n' + SPF + 'timeout = "20s"\n', ""),
        ('deadline = "20s"\n' + SPF + 'timeout = "21s"\n', "spf may take 21 s, a whole mail 20 s"),
        (
            'deadline = "20s"\n' + SPF + 'timeout = "9s"\n' + VIRUS + 'timeout = "12s"\n',
            "the time-outs add up to 21 s, a whole mail may take 20 s",
        ),
        (  # dkim and virus wait side by side
            'deadline = "20s"\n' + VIRUS + 'timeout = "12s"\n[[filter]]\nuse = "dkim"\n'
            'timeout = "12s"\n',
            "",
        ),
        (  # dmarc waits for dkim
            'deadline = "20s"\n' + SPF + '[[filter]]\nuse = "dkim"\ntimeout = "12s"\n'
            '[[filter]]\nuse = "dmarc"\ntimeout = "12s"\n',
            "the time-outs add up to 24 s, a whole mail may take 20 s",
        ),
        ('deadline = "5s"\n' + SPF + VIRUS, ""),  # nobody promised the defaults
    ],
)
def test_time_outs_that_are_written_must_fit_into_the_deadline(settings, pipeline, sentence):
    write(settings, "pipelines/a.toml", 'policy = "law"\n' + pipeline)
    write(settings, "policies/law.toml", FOUND if "virus" in pipeline else FAIL)
    found = checking.check(settings, ["a"], today=TODAY).findings
    told = [f.fault.sentence for f in found if f.code == "deadline"]
    assert told == ([sentence] if sentence else [])


def test_sum_of_time_outs_is_told_with_the_way_that_takes_so_long(settings):
    write(
        settings,
        "pipelines/a.toml",
        'policy = "law"\ndeadline = "20s"\n'
        + SPF
        + 'timeout = "9s"\n'
        + VIRUS
        + 'timeout = "12s"\n',
    )
    write(settings, "policies/law.toml", FOUND)
    (found,) = checking.check(settings, ["a"], today=TODAY).findings
    assert str(found.fault) == (
        f"{settings.folder}/pipelines/a.toml:8:1  the time-outs add up to 21 s, "
        "a whole mail may take 20 s\n"
        "    One after another: spf 9 s + virus 12 s.\n"
        "    Raise the deadline, and the MTA's patience with it, or lower the time-out."
    )


def test_list_without_a_reader_is_told_once_when_all_is_checked(settings):
    write(settings, "policies/lists/partners.domains", "example.org\n")
    assert ("list-unread", "partners") in codes(settings)
    assert ("list-unread", "partners") in codes(settings, "inbound")


def test_pipeline_that_does_not_fit_hides_what_cannot_be_known(settings):
    write(settings, "policies/lists/partners.domains", "example.org\n")
    write(settings, "pipelines/a.toml", 'policy = "nowhere"\n')
    assert codes(settings, "a") == [("unfit", "")]


def test_shipped_pipelines_are_clean(settings):
    assert codes(settings) == []


READS = (
    '[[rule]]\nname = "p"\nwhen = "from.domain in lists.partners and spf.result == \'pass\'"\n'
    'then = "pass"\n'
)
OVER = 'policy = "law"\nfor = { login = "ann" }\n'


def test_list_that_a_rule_reads_is_no_finding(settings):
    write(settings, "policies/lists/partners.domains", "example.org\n")
    write(settings, "pipelines/a.toml", 'policy = "law"\n' + SPF)
    write(settings, "policies/law.toml", READS)
    assert codes(settings) == []


def test_list_that_only_a_filter_reads_is_no_finding(settings):
    write(settings, "policies/lists/partners.domains", "example.org\n")
    when = 'when = "not (sender.domain in lists.partners)"\n'
    write(settings, "pipelines/a.toml", 'policy = "law"\n' + SPF + when)
    write(settings, "policies/law.toml", FAIL)
    assert codes(settings) == []


def test_entry_that_stands_twice_is_a_note(settings):
    write(settings, "policies/lists/partners.domains", "example.org\nexample.org\n")
    write(settings, "pipelines/a.toml", 'policy = "law"\n' + SPF)
    write(settings, "policies/law.toml", READS)
    (found,) = checking.check(settings, ["a"], today=TODAY).findings
    assert (found.code, found.level, found.fault.place.line) == ("list-odd", "note", 2)


def test_list_that_is_no_good_is_told_and_hides_nothing_else(settings):
    write(settings, "policies/lists/partners.networks", "192.0.2.0/99\n")
    found = checking.check(settings, today=TODAY).findings
    assert {finding.code for finding in found} == {"unfit"}


def test_rule_that_an_overlay_changes_takes_no_mail_for_sure(settings):
    again = FAIL.replace('"fail"', '"again"', 1).replace("'fail'", "'fail' and message.size > 5")
    (settings.folder / "policies/overlays").mkdir()
    write(settings, "pipelines/a.toml", 'policy = "law"\n' + SPF)
    write(settings, "policies/law.toml", FAIL + again)
    assert codes(settings, "a") == [("shadowed", "again")]
    write(settings, "policies/overlays/acme.toml", OVER + 'drop = ["fail"]\n')
    assert codes(settings, "a") == []


def test_overlay_for_a_door_that_is_none_here_is_a_note(settings):
    settings = replace(settings, listener=(Listener("milter", "inet:9900@127.0.0.1", "a"),))
    (settings.folder / "policies/overlays").mkdir()
    write(settings, "pipelines/a.toml", 'policy = "law"\n' + SPF)
    write(settings, "policies/law.toml", FAIL)
    door = 'policy = "law"\nfor = [{ listener = "inet:%d@127.0.0.1" }]\ndrop = ["fail"]\n'
    write(settings, "policies/overlays/a.toml", door % 9900)
    write(settings, "policies/overlays/b.toml", door % 9901)
    (found,) = checking.check(settings, ["a"], today=TODAY).findings
    assert (found.code, found.level) == ("no-listener", "note")
    told = str(found.fault)
    assert "overlays/b.toml:2" in told
    assert "did you mean 'inet:9900@127.0.0.1'?" in told
