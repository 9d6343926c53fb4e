"""From names to plans: whose file wins, and which tests stand beside a policy."""

from dataclasses import replace
from pathlib import Path

import pytest

from millrace.engine import plans, trials
from millrace.engine.errors import Misconfigured
from millrace.engine.mail.session import Helo
from millrace.engine.mail.verdict import Action
from millrace.engine.pipeline.plan import Plan
from millrace.engine.settings import Scanner, Settings

PIPELINE = '[[filter]]\nuse = "virus"\non_error = "defer"\n'
RULE = '[[rule]]\nname = "r"\nwhen = "virus.result == \'found\'"\nthen = "reject"\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for folder in ("pipelines", "policies"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pipelines/mine.toml").write_text('policy = "law.v2"\n' + PIPELINE)
    (tmp_path / "policies/law.v2.toml").write_text(RULE)
    return Settings(folder=tmp_path, scanner=Scanner("on_error"))


def test_names_are_the_operator_s_and_the_shipped_ones(settings):
    assert plans.names(settings, "pipelines") == ["inbound", "mine", "submission"]
    assert "default.test" not in plans.names(settings, "policies")


def test_operator_s_file_wins_over_the_shipped_one(settings):
    assert plans.path_of(settings, "pipelines", "inbound").parent == plans.shelf_folder("pipelines")
    own = settings.folder / "pipelines/inbound.toml"
    own.write_text(PIPELINE)
    assert plans.path_of(settings, "pipelines", "inbound") == own


def test_unknown_name_is_told_with_the_nearest(settings):
    with pytest.raises(Misconfigured) as caught:
        plans.load_plan(settings, "inbund")
    assert str(caught.value) == (
        "there is no pipeline 'inbund'\n"
        "    one of: inbound mine submission\n    did you mean 'inbound'?"
    )


def test_folder_that_was_chosen_and_is_not_there_is_no_reason_to_serve_the_shipped_files(settings):
    chosen = replace(settings, policies=Path("polices"))
    with pytest.raises(Misconfigured) as caught:
        plans.load_plan(chosen, "mine")
    folder = settings.folder / "polices"
    assert f"policies = 'polices': there is no folder {folder}" in str(caught.value)
    assert "mend policies in the settings" in str(caught.value)


def test_another_policy_may_stand_in_for_the_pipeline_s_own(settings):
    assert plans.load_plan(settings, "mine").policy.name == "law.v2"
    assert plans.load_plan(settings, "mine", "default").policy.name == "default"


def test_scanner_that_may_be_absent_stops_no_mail(settings):
    (node,) = plans.load_plan(settings, "mine").nodes
    assert node.on_error is Action.DEFER
    forgiving = Settings(folder=settings.folder, scanner=Scanner("skip"))
    (node,) = plans.load_plan(forgiving, "mine").nodes
    assert node.on_error is None


def test_tests_of_a_policy_stand_beside_it(settings):
    plan = plans.load_plan(settings, "mine")
    assert trials.try_policy(settings, plan) is None
    beside = settings.folder / "policies/law.v2.test.toml"
    assert plans.tests_of(settings, "law.v2") == beside
    beside.write_text('[[case]]\nname = "n"\nexpect = "reject"\n')
    trial = trials.try_policy(settings, plan)
    assert trial.file == str(beside)
    (fault,) = plans.red_faults([trial])
    assert fault.sentence == 'test "n": expected reject, got pass by no rule, score 0'
    assert str(fault.place) == f"{beside}:1:1"


def test_nodes_are_found_by_the_port_that_they_use(settings):
    plan = plans.load_plan(settings, "mine")
    assert [node.name for node in plans.nodes_by_port(plan, "scanner")] == ["virus"]
    assert plans.nodes_by_port(plan, "dns") == ()


def listed(settings: Settings, when: str, **files: str) -> Settings:
    """Settings whose policy asks for lists."""
    folder = settings.folder / "policies/lists"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    (settings.folder / "policies/law.v2.toml").write_text(
        f'[[rule]]\nname = "r"\nwhen = "{when}"\nthen = "reject"\n'
    )
    return settings


def matches(plan: Plan, **values: object) -> bool:
    (rule,) = plan.policy.rules
    return bool(rule.when.run(values))


def test_condition_asks_the_operator_s_lists_and_sees_them_change(settings):
    when = "helo.name in lists.partners or lists.tier[helo.name] == 'gold'"
    texts = {"partners__domains": ".a.example\n", "tier__map": "c.example = gold\n"}
    plan = plans.load_plan(listed(settings, when, **texts), "mine")
    names = ("mx.a.example", "c.example", "d.example")
    assert [matches(plan, helo=Helo(name)) for name in names] == [True, True, False]
    (settings.folder / "policies/lists/tier.map").write_text("d.example = gold\n")
    shelf = plans.list_shelf(settings)
    assert shelf.renew(shelf.lists["tier"])
    assert [matches(plan, helo=Helo(name)) for name in names] == [True, False, True]


def test_list_that_no_file_gives_is_an_error_with_the_nearest_name(settings):
    texts = {"partners__domains": "a.example\n"}
    with pytest.raises(Misconfigured, match="partners"):
        plans.load_plan(listed(settings, "helo.name in lists.partner", **texts), "mine")


def test_entry_that_stands_twice_is_remarked_with_its_file(settings):
    listed(settings, "helo", partners__domains="a.example\nb.example\nA.example\n")
    (remark,) = plans.list_remarks(settings)
    assert str(remark).startswith(f"{settings.folder}/policies/lists/partners.domains:3:1  stands")


def overlay(settings: Settings, name: str, text: str) -> None:
    folder = settings.folder / "policies/overlays"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.toml").write_text(text)


ACME = 'policy = "law.v2"\nfor = { recipient = "acme.example" }\n'


def test_overlays_lie_over_the_policy_that_they_name(settings):
    overlay(settings, "acme", ACME + RULE.replace("reject", "tag"))
    overlay(settings, "other", 'for = { login = "ann" }\ndrop = ["spam-maybe"]\n')
    assert list(plans.overlays(settings, "law.v2")) == ["acme"]
    assert [rule.then.word for rule in plans.load_plan(settings, "mine").policy.rules] == [
        "tag",
        "reject",
    ]
    policy, (acme,) = plans.policy_with_overlays(settings, "mine")
    assert (len(policy.rules), acme.name) == (1, "acme")


def test_overlay_over_no_policy_is_told(settings):
    overlay(settings, "acme", ACME.replace("law.v2", "law.v1"))
    with pytest.raises(Misconfigured, match=r"acme\.toml:1:1  there is no policy 'law.v1'"):
        plans.load_plan(settings, "mine")


def test_test_of_a_policy_may_be_of_a_recipient_with_an_overlay(settings):
    overlay(settings, "acme", ACME + RULE.replace("reject", "tag"))
    given = "given = { virus = { result = 'found' }, recipient = { domain = 'acme.example' } }"
    (settings.folder / "policies/law.v2.test.toml").write_text(
        f'[[case]]\nname = "n"\n{given}\nexpect = "tag"\n'
    )
    trial = trials.try_policy(settings, plans.load_plan(settings, "mine"))
    assert trial is not None
    assert [outcome.problem for outcome in trial.outcomes] == [""]


@pytest.mark.parametrize("kind", ["pipelines", "policies"])
def test_what_stands_there_and_is_no_file_does_not_give_way_to_the_shipped_one(settings, kind):
    name = "inbound" if kind == "pipelines" else "default"
    own = settings.folder / f"{kind}/{name}.toml"
    own.symlink_to(settings.folder / "gone.toml")
    with pytest.raises(Misconfigured, match="cannot be read: No such file or directory"):
        plans.load_plan(settings, "inbound")
    own.unlink()
    own.mkdir()
    with pytest.raises(Misconfigured, match="cannot be read: Is a directory"):
        plans.load_plan(settings, "inbound")


def test_tests_that_cannot_be_read_are_not_passed_over(settings):
    (settings.folder / "policies/law.v2.test.toml").mkdir()
    with pytest.raises(Misconfigured, match="cannot be read: Is a directory"):
        trials.try_policy(settings, plans.load_plan(settings, "mine"))


@pytest.mark.parametrize("name", ["law.v3", "law.v2.toml"])
def test_a_policy_that_is_not_there_is_told_where_it_is_named(settings, name):
    (settings.folder / "pipelines/mine.toml").write_text(f'policy = "{name}"\n')
    with pytest.raises(Misconfigured) as caught:
        plans.load_plan(settings, "mine")
    (fault,) = caught.value.faults
    assert fault.sentence == f"there is no policy '{name}'"
    assert (fault.place.line, fault.place.column) == (1, 11)
    assert "did you mean 'law.v2'?" in fault.hint
