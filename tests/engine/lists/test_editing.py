"""Edits of a list's file: nothing else in it changes, and a trail tells who and why."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from millrace.engine.errors import Misconfigured
from millrace.engine.lists.editing import ListFile, trail
from millrace.engine.lists.entries import FOREVER

TEXT = "# our partners\n\na.example   # first\n.b.example until 2020-01-01\nnot a domain\n"


@pytest.fixture
def file(tmp_path: Path) -> ListFile:
    path = tmp_path / "partners.domains"
    path.write_text(TEXT)
    return ListFile(path, "domains", "ann")


def told(file: ListFile) -> list[dict]:
    return [json.loads(line) for line in trail(file.path).read_text().splitlines()]


def test_addition_stands_at_the_end_and_all_else_stays(file):
    done = file.add(file.entry("C.example", 1_767_225_600, "fair\nin March"))
    assert done is not None
    assert file.path.read_text() == TEXT + "c.example   until 2025-12-31   # fair in March\n"
    (change,) = told(file)
    assert change.pop("time").endswith("Z")
    assert change == {
        "who": "ann",
        "what": "added",
        "value": "c.example",
        "line": 6,
        "until": "2025-12-31",
        "why": "fair in March",
    }


def test_addition_of_what_is_there_renews_its_line(file):
    done = file.add(file.entry(".b.example"))
    assert (done.line, done.entry.until) == (4, FOREVER)
    assert file.path.read_text() == TEXT.replace(".b.example until 2020-01-01", ".b.example")
    assert told(file)[0]["what"] == "changed"


def test_addition_that_says_nothing_new_changes_nothing(file):
    assert file.add(file.entry("A.EXAMPLE")) is None
    assert file.path.read_text() == TEXT
    assert not trail(file.path).exists()


def test_removal_takes_just_that_line(file):
    assert [each.line for each in file.remove(file.entry("a.example"), "left")] == [3]
    assert file.path.read_text() == TEXT.replace("a.example   # first\n", "")
    assert (told(file)[0]["what"], told(file)[0]["why"]) == ("removed", "left")
    assert file.remove(file.entry("a.example")) == []


def test_pruning_takes_what_has_ended(file):
    assert [each.entry.key for each in file.prune()] == [".b.example"]
    assert file.path.read_text() == TEXT.replace(".b.example until 2020-01-01\n", "")


def test_finding_tells_lines_and_whether_they_are_in_force(file):
    assert [(e.line, e.in_force) for e in file.finding("x.b.example")] == [(4, False)]
    assert [(e.line, e.in_force) for e in file.finding("A.example")] == [(3, True)]
    assert file.finding("c.example") == []


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("*.example", "is no domain"),
        ("a.example # why", "holds more than a value"),
        ("", "holds more than a value"),
    ],
)
def test_value_that_fits_no_line_is_refused(file, value, sentence):
    with pytest.raises(Misconfigured, match=sentence):
        file.entry(value)


def test_mode_of_the_file_is_kept_and_no_half_is_left(file):
    file.path.chmod(0o640)
    file.add(file.entry("c.example"))
    assert file.path.stat().st_mode & 0o777 == 0o640
    left = {path.name for path in file.path.parent.iterdir()} - {file.path.name}
    assert left == {".partners.domains.lock", "partners.domains.trail"}


def test_link_to_a_list_stays_a_link(file):
    link = file.path.with_name("linked.domains")
    link.symlink_to(file.path)
    ListFile(link, "domains").add(file.entry("c.example"))
    assert link.is_symlink()
    assert "c.example\n" in file.path.read_text()


EDITOR = """
import sys, pathlib
from millrace.engine.lists.editing import ListFile
file = ListFile(pathlib.Path(sys.argv[1]), "domains")
for n in range(25):
    file.add(file.entry(f"{sys.argv[2]}{n}.example"))
"""


def test_two_editors_at_once_lose_nothing(tmp_path):
    path = tmp_path / "partners.domains"
    command = [sys.executable, "-c", EDITOR, str(path)]
    editors = [subprocess.Popen([*command, word]) for word in "ab"]
    assert [editor.wait() for editor in editors] == [0, 0]
    assert len(set(path.read_text().splitlines())) == 50
    assert len(told(ListFile(path, "domains"))) == 50


def test_end_of_an_entry_is_compared_with_now(tmp_path):
    path = tmp_path / "offices.networks"
    file = ListFile(path, "networks")
    file.add(file.entry("192.0.2.0/24", int(time.time()) + 3600))
    assert [each.in_force for each in file.finding("192.0.2.9")] == [True]
    assert file.finding("192.0.3.9") == []


def test_file_of_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "lists").write_text("no folder")
    file = ListFile(tmp_path / "lists" / "a.domains", "domains")
    with pytest.raises(Misconfigured, match=r"lists/a\.domains  cannot be changed"):
        file.add(file.entry("a.example"))


def test_new_list_can_be_read_by_the_daemon_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        file = ListFile(tmp_path / "a.domains", "domains")
        file.add(file.entry("a.example"))
    finally:
        os.umask(before)
    assert file.path.stat().st_mode & 0o777 == 0o644
