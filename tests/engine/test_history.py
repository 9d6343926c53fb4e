"""Rollbacks: what serves, until when, and what becomes of it over a restart."""

import logging
from pathlib import Path

import pytest

from millrace.engine import history, reload
from millrace.engine.errors import Misconfigured
from millrace.engine.history import Asked
from millrace.engine.settings import Listener, Settings

PIPELINE = 'policy = "law"\n[[filter]]\nuse = "virus"\n'
LAW = '[[rule]]\nname = "{}"\nwhen = "virus.result == \'found\'"\nthen = "reject"\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for name in ("pipelines", "policies"):
        (tmp_path / name).mkdir()
    (tmp_path / "pipelines/mine.toml").write_text(PIPELINE)
    made = Settings(folder=tmp_path, listener=(Listener("milter", "inet:0@127.0.0.1", "mine"),))
    law(made, "first")
    return made


def law(settings: Settings, name: str) -> None:
    (settings.folder / "policies/law.toml").write_text(LAW.format(name))


def start(settings: Settings) -> str:
    """The rule that a start puts in force."""
    plans = reload.first(settings, history.served(settings))
    history.accept(settings, plans, "start", Asked())
    return plans["mine"].policy.rules[0].name


def swap(settings: Settings, who: str = "ann") -> str:
    """The rule that a reload puts in force, or the problem."""
    built = reload.attempt(settings, {"mine": "anything"})
    if isinstance(built, reload.Reloaded):
        return built.problems[0]
    history.accept(settings, built, "reload", Asked(who, "because"))
    return built["mine"].policy.rules[0].name


@pytest.fixture
def two(settings: Settings) -> Settings:
    """The second of two revisions is in force."""
    start(settings)
    law(settings, "second")
    assert swap(settings) == "second"
    return settings


def back(settings: Settings) -> None:
    history.roll_back(settings, history.before(settings), Asked("bob", "too much"))


def test_acceptances_are_kept_with_who_and_why(two):
    newest, oldest = history.history(two).log()
    assert (newest.how, newest.who, newest.why) == ("reload", "ann", "because")
    assert oldest.how == "start"
    assert history.in_force(two) == newest.revision
    assert history.before(two) == oldest.revision


def test_start_with_what_served_already_is_no_new_acceptance(two):
    start(two)
    assert len(history.history(two).log()) == 2


def test_rollback_serves_at_the_next_reload_and_is_told(two):
    back(two)
    assert swap(two) == "first"
    newest = history.history(two).log()[0]
    assert (newest.how, newest.who, newest.why) == ("rollback", "bob", "too much")


def test_rollback_holds_over_reloads_and_restarts_while_the_files_stay(two):
    back(two)
    assert [swap(two), start(two), swap(two)] == ["first", "first", "first"]
    assert len(history.history(two).log()) == 3


def test_reload_of_changed_files_ends_the_rollback(two):
    back(two)
    swap(two)
    law(two, "third")
    assert swap(two) == "third"
    assert history.history(two).rollback() is None
    law(two, "second")
    assert swap(two) == "second"


def test_restart_with_changed_files_that_are_good_ends_the_rollback(two):
    back(two)
    law(two, "third")
    assert start(two) == "third"
    assert history.history(two).rollback() is None


def test_restart_with_changed_files_that_are_bad_serves_the_rollback_on(two, caplog):
    logging.getLogger("millrace").propagate = True
    back(two)
    (two.folder / "policies/law.toml").write_text("colour = 1\n")
    assert start(two) == "first"
    assert "the rollback serves on" in caplog.text
    assert "unknown key 'colour'" in swap(two)


def test_start_with_bad_files_and_no_rollback_is_refused(two):
    (two.folder / "policies/law.toml").write_text("colour = 1\n")
    with pytest.raises(Misconfigured, match="unknown key 'colour'"):
        start(two)


def test_second_rollback_goes_further_back(two):
    law(two, "third")
    swap(two)
    back(two)
    assert swap(two) == "second"
    back(two)
    assert swap(two) == "first"
    assert history.before(two) == ""


def test_tests_of_now_do_not_stop_a_rollback(two):
    (two.folder / "policies/law.test.toml").write_text(
        '[[case]]\nname = "n"\ngiven = { virus = { result = "found" } }\n'
        'expect = "reject"\nrule = "second"\n'
    )
    back(two)
    assert swap(two) == "first"


def test_folder_that_cannot_be_written_stops_no_mail(settings, caplog):
    logging.getLogger("millrace").propagate = True
    (settings.folder / "history").write_text("no folder")
    assert start(settings) == "first"
    assert "is not kept" in caplog.text


def test_files_that_changed_since_they_were_read_are_not_kept_for_what_serves(settings, caplog):
    logging.getLogger("millrace").propagate = True
    plans = reload.first(settings, ["mine"])
    law(settings, "other")
    history.accept(settings, plans, "start", Asked())
    assert history.history(settings).log() == []
    assert "the files changed since it was read" in caplog.text


def test_small_lists_are_kept_with_a_revision_and_large_ones_counted(settings):
    lists = settings.folder / "policies/lists"
    lists.mkdir()
    (lists / "small.domains").write_text("a.example\n")
    (lists / "large.domains").write_text("".join(f"a{n}.example\n" for n in range(6000)))
    start(settings)
    (entry,) = history.history(settings).log()
    kept = history.history(settings).snapshot(entry).lists
    assert (kept["small"].text, kept["small"].entries) == ("a.example\n", 1)
    assert (kept["large"].text, kept["large"].entries) == (None, 6000)


def test_revisions_of_several_pipelines_have_one_name():
    assert history.whole({"a": "x", "b": "x"}) == "x"
    assert history.whole({"a": "x", "b": "y"}) == history.whole({"b": "y", "a": "x"})
    assert history.whole({"a": "x", "b": "y"}) != history.whole({"a": "y", "b": "x"})


def test_overlays_are_kept_with_a_revision_and_come_back_with_it(settings):
    folder = settings.folder / "policies/overlays"
    folder.mkdir()
    over = folder / "acme.toml"
    over.write_text('policy = "law"\nfor = { recipient = "acme.example" }\ndrop = ["first"]\n')
    start(settings)
    over.unlink()
    assert swap(settings) == "first"
    old = history.before(settings)
    assert (
        "overlays/acme"
        in history.history(settings).snapshot(history.history(settings).find(old)).files
    )
    history.roll_back(settings, old, Asked())
    plans = reload.first(settings, ["mine"])
    assert plans["mine"].revision == old
    assert plans["mine"].policy.rules[0].when.names >= {"recipient"}
