"""Rules that go on, rules that expire, and conditions over several lines, as check sees them."""

import datetime

import pytest
from clean_policies import FAIL, rule, weight

from millrace.engine import checking
from millrace.engine.settings import Settings

TODAY = datetime.date(2026, 11, 23)
OVER = """
[[rule]]
name = "a"
when = '''
  spf.result == 'fail'   # once
  and {}
'''
then = "tag"
"""


@pytest.fixture
def codes(tmp_path):
    (tmp_path / "policies").mkdir()

    def call(policy: str) -> list[tuple[str, str]]:
        (tmp_path / "policies/law.toml").write_text(policy)
        report = checking.check(Settings(folder=tmp_path), ["inbound"], "law", TODAY)
        return [(finding.code, finding.about) for finding in report.findings]

    return call


def test_rule_that_goes_on_takes_no_mail_from_others(codes):
    assert codes(rule("a", FAIL, "tag", "stop = false") + rule("b", FAIL)) == []
    assert codes(rule("a", FAIL) + rule("b", FAIL, "tag", "stop = false")) == [("shadowed", "b")]


def test_rule_that_will_expire_takes_no_mail_for_good(codes):
    assert codes(rule("a", FAIL, "tag", "expires = 2027-01-01") + rule("b", FAIL)) == []


def test_expired_rule_is_noted(codes):
    assert codes(rule("a", FAIL, "tag", "expires = 2026-11-22")) == [("expired", "a")]


def test_condition_over_several_lines_is_understood(codes):
    assert codes(OVER.format("spf.result == 'pass'")) == [("never-holds", "a")]
    assert codes(OVER.format("login")) == []


def test_size_is_compared_with_its_unit(codes):
    assert codes(rule("a", "message.size > 2MiB and message.size < 1MiB")) == [("never-holds", "a")]
    assert codes(rule("a", "message.size > 1MiB") + rule("b", "message.size > 1KiB", "tag")) == []
    shadowed = rule("a", "message.size > 1KiB") + rule("b", "message.size > 1MiB", "tag")
    assert codes(shadowed) == [("shadowed", "b")]


def test_networks_in_a_list_are_not_taken_for_texts(codes):
    near = rule("a", "peer.ip in ['192.0.2.0/24']") + rule("b", "peer.ip == '192.0.2.9'", "tag")
    assert codes(near) == [("shadowed", "b")]
    far = rule("a", "peer.ip in ['192.0.2.0/24']") + rule("b", "peer.ip == '192.0.3.9'", "tag")
    assert codes(far) == []


def test_share_goes_from_nothing_to_one(codes):
    assert codes(rule("a", "spam.probability > 95")) == [("never-holds", "a")]
    assert codes(rule("a", "spam.probability * 10 > 9")) == []
    assert codes(weight("w", "4 * spam.probability") + rule("a", "score > 4")) == [
        ("never-holds", "a")
    ]


def test_weights_that_exclude_each_other_never_add_together(codes):
    three = weight("a", "3", FAIL) + weight("b", "2", "spf.result == 'softfail'")
    assert codes(three + rule("r", "score > 3")) == [("never-holds", "r")]
    assert codes(three + rule("r", "score >= 3")) == []
    both = three + weight("c", "1", "dkim.result == 'fail'") + weight("d", "-1", "not spf")
    assert codes(both + rule("r", "score >= 4")) == []
    assert codes(both + rule("r", "score < -1")) == [("never-holds", "r")]


def test_size_is_never_below_nothing(codes):
    assert codes(rule("a", "message.size < 0B")) == [("never-holds", "a")]


def test_two_halves_of_a_network_take_all_of_it(codes):
    halves = rule("a", "peer.ip in '192.0.2.0/25'") + rule("b", "peer.ip in '192.0.2.128/25'")
    assert codes(halves + rule("c", "within(peer.ip, '192.0.2.0/24')", "tag")) == [
        ("shadowed", "c")
    ]
    assert codes(halves + rule("c", "peer.ip in '192.0.2.0/23'", "tag")) == []


def test_mapped_network_is_the_one_of_the_older_family(codes):
    near = rule("a", "peer.ip in '::ffff:192.0.2.0/120'") + rule("b", "peer.ip == '192.0.2.9'")
    assert codes(near) == [("shadowed", "b")]


def test_domain_is_the_same_in_each_of_its_forms(codes):
    upper = rule("a", "sender.domain == 'Example.ORG'")
    assert codes(upper + rule("b", "sender.domain == 'example.org'")) == [("shadowed", "b")]
    script = rule("a", "under(sender.domain, 'bücher.example')")
    coded = rule("b", "sender.domain == 'a.xn--bcher-kva.example'")
    assert codes(script + coded) == [("shadowed", "b")]


def test_rule_of_one_recipient_takes_no_mail_from_a_rule_of_the_whole(codes):
    one = rule("one", f"recipient.domain == 'x.example' or {FAIL}")
    whole = rule("whole", f"{FAIL} and virus.result == 'found'")
    assert codes(one + whole) == []
    assert codes(one + rule("again", "recipient.domain == 'x.example'")) == [("shadowed", "again")]


def test_address_that_is_written_otherwise_is_the_same_address(codes):
    said = "peer.ip in ['2001:DB8::1', '2001:db8::2'] and peer.ip == '2001:db8::1'"
    assert codes(rule("a", said)) == []


def test_pipeline_that_does_not_fit_leaves_open_what_it_gives(tmp_path):
    (tmp_path / "policies").mkdir()
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "policies/law.toml").write_text(rule("a", "virus.result == 'found'"))
    served = 'policy = "law"\n[[filter]]\nuse = "spf"\n'
    (tmp_path / "pipelines/submission.toml").write_text(served)
    (tmp_path / "pipelines/inbound.toml").write_text(served + '[[filter]]\nuse = "ratelimit"\n')
    report = checking.check(Settings(folder=tmp_path), ["inbound", "submission"], "", TODAY)
    assert {finding.code for finding in report.findings} == {"unfit"}


def test_fact_of_after_judgement_is_refused_though_no_filter_gives_it(tmp_path, codes):
    assert codes(rule("a", "seal.domain == 'x.example'"))[0][0] == "unfit"
