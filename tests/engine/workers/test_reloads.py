"""Reloads in all workers or in none, and what is remembered of one that was refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from millrace.engine import history, reload
from millrace.engine.census import Census
from millrace.engine.history import Asked
from millrace.engine.pending import Pending
from millrace.engine.reload import Reloaded
from millrace.engine.settings import Settings
from millrace.engine.workers import telling
from millrace.engine.workers.reloads import Reloads

PIPELINE = 'policy = "law"\n[[filter]]\nuse = "virus"\n'
LAW = '[[rule]]\nname = "{}"\nwhen = "virus.result == \'found\'"\nthen = "reject"\n'


class Site:
    """Files, and two workers, who answer once they have been asked."""

    def __init__(self, folder: Path) -> None:
        for name in ("pipelines", "policies"):
            (folder / name).mkdir()
        (folder / "pipelines/mine.toml").write_text(PIPELINE)
        self.law = folder / "policies/law.toml"
        self.law.write_text(LAW.format("first"))
        self.settings = Settings(folder=folder)
        self.asked: list[str] = []
        self._questions: list[Any] = []
        self.trouble = ""  # what the second worker says when it is to prepare
        plans = reload.build(self.settings, ["mine"])
        self.reloads = Reloads(self.settings, plans, self._ask)

    def _ask(self, what: str, data: object, seconds: float, then: Any) -> list[int]:
        self.asked.append(what)
        self._questions.append(then)
        return [1, 2]

    def _answers(self) -> dict[int, Any]:
        good = {"revisions": reload.revisions_of(reload.build(self.settings, ["mine"]))}
        return {1: good, 2: {"problems": [self.trouble]} if self.trouble else good}

    def reload(self) -> Reloaded:
        ended: list[Reloaded] = []
        self.reloads.ask(ended.append)
        while self._questions:
            self._questions.pop()(self._answers())
        (outcome,) = ended
        return outcome

    def metric(self) -> float:
        ((_, _, value),) = self.samples("millrace_reload_refused_state")
        return float(value)

    def counted(self) -> dict[str, int]:
        return {labels["result"]: value for _, labels, value in self.samples("millrace_reloads")}

    def samples(self, name: str) -> list[Any]:
        families = telling.families(self.whole(), [], Census(1, 1))
        (found,) = [each for each in families if each[0] == name]
        samples: list[Any] = found[3]
        return samples

    def whole(self) -> telling.Whole:
        return telling.Whole(
            version="1",
            profile="production",
            pid=1,
            began=0.0,
            revisions=self.reloads.revisions,
            rollback=False,
            restarts=0,
            stopping=False,
            last_reload="",
            reloads=self.reloads.counts,
            refusal=self.reloads.refusal,
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_files_that_are_no_good_are_remembered_until_they_are_mended(site: Site) -> None:
    before = site.reloads.revisions
    site.law.write_text("colour = 1\n")
    assert site.reload().result == "refused"
    assert site.reloads.refusal is not None
    assert "unknown key 'colour'" in site.reloads.refusal.problems[0]
    assert abs(site.reloads.refusal.moment - time.time()) < 60
    assert (site.reloads.revisions, site.asked, site.metric()) == (before, [], 1)
    site.law.write_text(LAW.format("second"))
    assert site.reload().result == "swapped"
    assert (site.reloads.refusal, site.metric()) == (None, 0)


def test_files_that_are_put_back_are_not_refused_any_more(site: Site) -> None:
    site.law.write_text("colour = 1\n")
    site.reload()
    site.law.write_text(LAW.format("first"))
    assert site.reload().result == "unchanged"
    assert site.reloads.refusal is None


def test_worker_that_cannot_prepare_leaves_all_as_they_were(site: Site) -> None:
    before = site.reloads.revisions
    site.law.write_text(LAW.format("second"))
    site.trouble = "no room for its services"
    assert site.reload().problems == (site.trouble,)
    assert site.reloads.refusal is not None
    assert site.reloads.refusal.problems == (site.trouble,)
    assert (site.reloads.revisions, site.asked) == (before, ["prepare"])


def test_status_tells_the_refusal_and_what_waits_for_a_restart(site: Site) -> None:
    site.law.write_text("colour = 1\n")
    site.reload()
    waits = Pending(("limits.mails",))
    told = telling.status(site.whole(), [], [], Census(1, 1), waits)
    assert "unknown key 'colour'" in told["refused_reload"]["problems"][0]
    assert told["refused_reload"]["at"].endswith("Z")
    assert told["needs_restart"] == ["limits.mails"]
    assert telling.status(site.whole(), [], [], Census(1, 1), Pending())["needs_restart"] == []


def test_files_that_a_rollback_serves_in_place_of_are_refused_from_the_start(site: Site) -> None:
    good = history.snapshot(site.settings, ["mine"])
    history.history(site.settings).accept(good, "start", 1.0, "", "", "")
    history.roll_back(site.settings, good.revision, Asked())
    site.law.write_text("colour = 1\n")
    found: list[str] = []
    reload.first(site.settings, ["mine"], found.extend)
    site.reloads.pass_by(found)
    assert site.metric() == 1
    assert site.reloads.refusal is not None
    assert "unknown key 'colour'" in site.reloads.refusal.problems[0]
    assert sum(site.counted().values()) == 0
    site.law.write_text(LAW.format("second"))
    site.reload()
    assert site.metric() == 0


def test_each_reload_is_counted_once_by_how_it_ended(site: Site) -> None:
    assert site.counted() == {"swapped": 0, "unchanged": 0, "refused": 0}
    site.reload()
    site.law.write_text("colour = 1\n")
    site.reload()
    site.reload()
    site.law.write_text(LAW.format("second"))
    site.reload()
    assert site.counted() == {"swapped": 1, "unchanged": 1, "refused": 2}
