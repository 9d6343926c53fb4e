"""Reload: what is wrong changes nothing, what is right is swapped."""

import asyncio
from pathlib import Path

import pytest
from fakes import ManualClock

from millrace.engine.errors import Misconfigured, Unavailable
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.reload import Reload, build
from millrace.engine.settings import Settings

PIPELINE = 'policy = "law"\n[[filter]]\nuse = "virus"\n'
LAW = '[[rule]]\nname = "r"\nwhen = "virus.result == \'found\'"\nthen = "reject"\n'
RED = '[[case]]\nname = "n"\nexpect = "reject"\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for folder, name, text in [("pipelines", "mine", PIPELINE), ("policies", "law", LAW)]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.toml").write_text(text)
    return Settings(folder=tmp_path)


@pytest.fixture
def serving(settings) -> dict[str, Serving]:
    plan = build(settings, ["mine"])["mine"]
    return {"mine": Serving(plan, dict, ManualClock(), lambda _: None)}


def reload(settings, serving, ready):
    """Both halves, as a worker does them."""
    part = Reload(settings, serving, ready)
    return asyncio.run(part.prepare()) or part.commit()


def never(plans):
    raise AssertionError("nothing is opened for a plan that does not serve")


def test_good_file_is_swapped_in_after_its_services_are_open(settings, serving):
    old = serving["mine"].plan
    (settings.folder / "policies/law.toml").write_text(LAW + "# more\n")
    opened = []

    def ready(plans):
        assert serving["mine"].plan is old
        opened.extend(plans)

    found = reload(settings, serving, ready)
    assert found.result == "swapped"
    assert serving["mine"].plan is opened[0]
    assert found.revisions == {"mine": opened[0].revision}
    assert opened[0].revision != old.revision


def test_nothing_new_leaves_the_plan_in_place(settings, serving):
    old = serving["mine"].plan
    assert reload(settings, serving, lambda _: None).result == "unchanged"
    assert serving["mine"].plan is old


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("policies/law.toml", "colour = 1", "unknown key 'colour'"),
        ("policies/law.toml", "not toml", "is not TOML"),
        ("pipelines/mine.toml", '[[filter]]\nuse = "nothing"', "there is no filter 'nothing'"),
        ("policies/law.test.toml", RED, "expected reject, got pass by no rule"),
    ],
)
def test_bad_file_or_red_test_keeps_the_old_plan(settings, serving, file, text, problem):
    old = serving["mine"].plan
    (settings.folder / file).write_text(text)
    found = reload(settings, serving, never)
    assert (found.result, found.revisions) == ("refused", {"mine": old.revision})
    assert problem in found.problems[0]
    assert serving["mine"].plan is old


@pytest.mark.parametrize("error", [Unavailable("state.db", "locked"), RuntimeError("a bug")])
def test_service_that_cannot_open_keeps_the_old_plan(settings, serving, error):
    old = serving["mine"].plan
    (settings.folder / "policies/law.toml").write_text(LAW + "# more\n")

    def ready(plans):
        raise error

    found = reload(settings, serving, ready)
    assert found.result == "refused"
    assert serving["mine"].plan is old


def test_plan_that_is_prepared_serves_only_when_it_is_committed(settings, serving):
    old = serving["mine"].plan
    (settings.folder / "policies/law.toml").write_text(LAW + "# more\n")
    part = Reload(settings, serving, lambda _: None)
    assert asyncio.run(part.prepare()) is None
    assert serving["mine"].plan is old
    assert part.commit().result == "swapped"
    assert part.commit().result == "unchanged"


def test_faults_of_all_pipelines_are_told_at_once(settings):
    (settings.folder / "pipelines/other.toml").write_text("colour = 1")
    (settings.folder / "policies/law.toml").write_text("shade = 1")
    with pytest.raises(Misconfigured) as caught:
        build(settings, ["mine", "other"])
    assert [fault.sentence for fault in caught.value.faults] == [
        "unknown key 'shade'",
        "unknown key 'colour'",
    ]
