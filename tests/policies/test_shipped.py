"""The policies that ship pass their own tests, and those tests try every rule."""

import pytest

from millrace.engine import plans
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
    return plan, plans.try_policy(settings, plan)


@pytest.mark.parametrize("policy", SHIPPED)
def test_every_shipped_policy_has_tests_and_passes_them(policy):
    _, trial = trial_of(policy)
    assert trial is not None
    assert [outcome.problem for outcome in trial.failed] == []
    assert len(trial.outcomes) >= 5


@pytest.mark.parametrize("policy", SHIPPED)
def test_every_rule_that_refuses_is_tried_by_a_test(policy):
    plan, trial = trial_of(policy)
    tried = {outcome.rule for outcome in trial.outcomes}
    refusing = {rule.name for rule in plan.policy.rules if rule.then > Action.QUARANTINE}
    assert refusing <= tried
