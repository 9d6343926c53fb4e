"""Sixty policies: nothing is found in the clean half, and in each other the planted fault alone."""

import pytest
from clean_policies import CLEAN, FAIL, SOFT, rule, weight
from faulty_policies import FAULTY

from millrace.engine import checking
from millrace.engine.settings import Settings


def findings(tmp_path, policy: str):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/law.toml").write_text(policy)
    settings = Settings(folder=tmp_path)
    return checking.check(settings, ["inbound"], "law").findings


@pytest.mark.parametrize("name", CLEAN)
def test_nothing_is_found_in_a_clean_policy(tmp_path, name):
    assert [str(finding.fault) for finding in findings(tmp_path, CLEAN[name])] == []


@pytest.mark.parametrize("name", FAULTY)
def test_planted_fault_and_no_other_is_found(tmp_path, name):
    policy, planted = FAULTY[name]
    found = [(f.code, f.fault.place.line, f.fault.sentence) for f in findings(tmp_path, policy)]
    assert found == [planted]


def test_there_are_thirty_of_each_kind():
    assert (len(CLEAN), len(FAULTY)) == (30, 30)


REFUSED = (
    rule("b", FAIL) + weight("w", "3", f"{FAIL} and spam.gtube") + rule("c", "score > 1", "tag")
)


@pytest.mark.parametrize(
    ("above", "codes"),
    [
        ("", ["weight-unreached"]),
        (rule("a", "within(peer.ip, '192.0.2.0/24')", "pass"), []),
        (rule("a", "within(peer.ip, '192.0.2.0/24')", "tag"), []),
        (rule("a", "within(peer.ip, '192.0.2.0/24')", "tag", "stop = false"), ["weight-unreached"]),
        (rule("a", SOFT, "pass"), ["weight-unreached"]),
    ],
)
def test_weight_is_reached_by_mail_that_a_rule_above_lets_go_on(tmp_path, above, codes):
    assert [finding.code for finding in findings(tmp_path, above + REFUSED)] == codes


def test_what_every_mail_has_is_never_away(tmp_path):
    (found,) = findings(tmp_path, rule("a", "not sender") + rule("b", "not sender.address", "tag"))
    assert (found.code, found.about) == ("never-holds", "a")
