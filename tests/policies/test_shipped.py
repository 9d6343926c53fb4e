"""The policies that ship pass their own tests, and those tests try every rule."""

import pytest

from millrace.engine import checking, plans, trials
from millrace.engine.mail.verdict import Action
from millrace.engine.settings import Settings

SHIPPED = sorted(
    path.name.removesuffix(".toml")
    for path in plans.shelf_folder("policies").glob("*.toml")
    if not path.name.endswith(".test.toml")
)


def trial_of(policy: str):
    settings = Settings()
    plan = plans.load_plan(settings, "inbound", policy)
    return plan, trials.try_policy(settings, plan)


@pytest.mark.parametrize("policy", SHIPPED)
def test_every_shipped_policy_has_tests_and_passes_them(policy):
    _, trial = trial_of(policy)
    assert trial is not None
    assert [outcome.problem for outcome in trial.failed] == []
    assert len(trial.outcomes) >= 5


@pytest.mark.parametrize("policy", SHIPPED)
def test_every_rule_and_weight_is_tried_by_a_test(policy):
    plan, trial = trial_of(policy)
    tried = {outcome.rule for outcome in trial.outcomes}
    assert {rule.name for rule in plan.policy.rules} <= tried
    added = {term.name for outcome in trial.outcomes for term in outcome.terms}
    assert {weight.name for weight in plan.policy.weights} <= added


@pytest.mark.parametrize("policy", SHIPPED)
def test_every_rule_and_weight_has_a_written_reason(policy):
    law = trial_of(policy)[0].policy
    assert [entry.name for entry in (*law.rules, *law.weights) if not entry.why] == []


@pytest.mark.parametrize("pipeline", ["inbound", "submission"])
@pytest.mark.parametrize("policy", SHIPPED)
def test_check_finds_nothing_in_a_shipped_policy(policy, pipeline):
    assert checking.check(Settings(), [pipeline], policy).findings == ()


def test_observe_marks_and_nothing_else():
    law = trial_of("observe")[0].policy
    assert {rule.then for rule in law.rules} == {Action.TAG}


def test_observe_speaks_of_what_default_would_do():
    observe, default = trial_of("observe")[0].policy, trial_of("default")[0].policy
    conditions = {rule.name: rule.when.text for rule in default.rules}
    del conditions["greylist"]  # of one recipient; a mark is of the mail
    assert {rule.name: rule.when.text for rule in observe.rules} == conditions
    sums = [[(w.name, w.add.text, w.when and w.when.text) for w in law.weights]
            for law in (observe, default)]  # fmt: skip
    assert sums[0] == sums[1]


def test_strict_refuses_whatever_default_refuses():
    strict, default = trial_of("strict")[0].policy, trial_of("default")[0].policy
    refused = [{r.name for r in law.rules if r.then > Action.QUARANTINE}
               for law in (strict, default)]  # fmt: skip
    assert refused[1] <= refused[0]
