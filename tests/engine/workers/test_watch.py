"""When files that changed are asked for: once they rest, and once only."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from millrace.engine.settings import Reload, Settings
from millrace.engine.workers.watch import EACH_S, Watch


class Site:
    """Files, and a clock that goes on by one look each time."""

    def __init__(self, folder: Path, *, on: bool = True) -> None:
        for name in ("pipelines", "policies/overlays", "policies/lists"):
            (folder / name).mkdir(parents=True)
        self.folder = folder
        (folder / "millrace.toml").write_text("")
        (folder / "policies/law.toml").write_text("one")
        source = str(folder / "millrace.toml")
        self.watch = Watch(Settings(folder=folder, source=source, reload=Reload(watch=on)))
        self._clock = itertools.count(100.0, EACH_S)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def due(self) -> bool:
        return self.watch.due(next(self._clock))

    def rests(self) -> bool:
        """Whether it is due at the second look; it never is at the first."""
        assert not self.due()
        return self.due()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_files_that_stay_as_they_are_are_never_due(site: Site) -> None:
    assert [site.due() for _ in range(3)] == [False] * 3


@pytest.mark.parametrize(
    "name",
    [
        "policies/law.toml",
        "policies/law.test.toml",
        "policies/overlays/a.example.toml",
        "policies/lists/partners.domains",
        "pipelines/inbound.toml",
        "millrace.toml",
    ],
)
def test_a_file_that_changed_or_came_is_due_once_it_rests(site: Site, name: str) -> None:
    site.write(name, "another text")
    assert site.rests()


def test_a_file_that_is_gone_is_due(site: Site) -> None:
    (site.folder / "policies/law.toml").unlink()
    assert site.rests()


def test_a_file_that_is_still_written_to_is_not_due(site: Site) -> None:
    for text in ("o", "ot", "oth"):
        site.write("policies/law.toml", text)
        assert not site.due()
    assert site.due()


def test_what_was_read_is_not_due_again_however_bad_it_was(site: Site) -> None:
    site.write("policies/law.toml", "bad")
    assert site.rests()
    site.watch.read()
    assert not any(site.due() for _ in range(3))
    site.write("policies/law.toml", "good")
    assert site.rests()


def test_a_reload_that_somebody_asked_for_has_read_them(site: Site) -> None:
    site.write("policies/law.toml", "another text")
    site.watch.read()
    assert not any(site.due() for _ in range(3))


@pytest.mark.parametrize("name", [".law.toml.swp", "law.toml~", "README.md"])
def test_what_is_no_policy_is_not_looked_at(site: Site, name: str) -> None:
    site.write(f"policies/{name}", "text")
    assert not any(site.due() for _ in range(3))


def test_what_a_list_holds_is_its_own_business(site: Site) -> None:
    site.write("policies/lists/partners.domains", "a.example\n")
    assert site.rests()
    site.watch.read()
    site.write("policies/lists/partners.domains", "a.example\nb.example\n")
    assert not any(site.due() for _ in range(3))


def test_files_are_looked_at_once_in_a_second(site: Site) -> None:
    site.due()
    site.write("policies/law.toml", "another text")
    assert not any(site.watch.due(100.0 + each / 100) for each in range(90))


def test_without_the_option_nothing_is_due(tmp_path: Path) -> None:
    site = Site(tmp_path, on=False)
    site.write("policies/law.toml", "another text")
    assert not any(site.due() for _ in range(3))


def test_folders_that_are_not_there_are_empty(tmp_path: Path) -> None:
    watch = Watch(Settings(folder=tmp_path / "none", reload=Reload(watch=True)))
    assert not any(watch.due(each) for each in (1.0, 3.0, 5.0))
