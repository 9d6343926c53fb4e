"""What was in force: kept whole, found by name, bounded in number."""

import pytest

from millrace.engine.errors import Misconfigured
from millrace.engine.store.history import History, KeptList, Rollback, Snapshot


def snapshot(revision: str, *, lists=None) -> Snapshot:
    files = {"pipelines/inbound": f"# {revision}\n", "policies/a/b.toml": "x = 1\n"}
    return Snapshot(revision, {"inbound": revision}, files, lists or {})


def accept(history: History, *revisions: str) -> None:
    for at, revision in enumerate(revisions):
        history.accept(snapshot(revision), "reload", float(at), "ann", f"reason {at}", "c" * 40)


def test_revision_comes_back_as_it_was(tmp_path):
    history = History(tmp_path / "history", 10)
    lists = {
        "small": KeptList("domains", 1, "d1", "a.example\n"),
        "large": KeptList("domains", 10**6, "d2"),
    }
    kept = snapshot("aaa", lists=lists)
    assert history.accept(kept, "start", 5.0, "ann", "first", "")
    (entry,) = history.log()
    assert (entry.revision, entry.time, entry.who, entry.why, entry.how) == (
        "aaa",
        5.0,
        "ann",
        "first",
        "start",
    )
    assert history.snapshot(entry) == kept


def test_what_is_accepted_again_at_once_is_one_acceptance(tmp_path):
    history = History(tmp_path, 10)
    accept(history, "aaa", "aaa", "bbb", "aaa")
    assert [entry.revision for entry in history.log()] == ["aaa", "bbb", "aaa"]


def test_oldest_acceptances_and_their_files_are_forgotten(tmp_path):
    history = History(tmp_path, 3)
    history.accept(
        snapshot("old", lists={"l": KeptList("map", 1, "digest", "a = b\n")}), "start", 0, "", ""
    )
    history.roll_back(Rollback("pinned", "over"))
    accept(history, "pinned", "bbb", "ccc", "ddd", "bbb")
    assert [entry.revision for entry in history.log()] == ["bbb", "ddd", "ccc"]
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == {"bbb", "ccc", "ddd", "pinned", "lists"}
    assert list((tmp_path / "lists").iterdir()) == []


def test_revision_is_found_by_its_first_letters(tmp_path):
    history = History(tmp_path, 10)
    accept(history, "3f9c", "3fab", "3f9c")
    assert history.find("3f9").time == 2.0
    with pytest.raises(Misconfigured, match="'3f' begins 2 revisions"):
        history.find("3f")
    with pytest.raises(Misconfigured, match="revision 'zz' is not kept"):
        history.find("zz")


def test_half_a_line_that_a_crash_left_is_passed_over_and_swallows_nothing(tmp_path):
    history = History(tmp_path, 10)
    accept(history, "aaa")
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"revision": "bb')
    accept(history, "bbb")
    assert [entry.revision for entry in history.log()] == ["bbb", "aaa"]


def test_rollback_holds_until_it_is_taken_back(tmp_path):
    history = History(tmp_path / "new", 10)
    assert history.rollback() is None
    history.roll_back(Rollback("aaa", "over", "ann", "too much"))
    assert History(tmp_path / "new", 10).rollback() == Rollback("aaa", "over", "ann", "too much")
    history.roll_back(None)
    assert history.rollback() is None


def test_revision_whose_files_are_gone_is_told(tmp_path):
    history = History(tmp_path, 10)
    accept(history, "aaa")
    for path in (tmp_path / "aaa").rglob("*.toml"):
        path.unlink()
    with pytest.raises(Misconfigured, match="revision aaa is not kept"):
        history.snapshot(history.find("aaa"))


def test_rollback_in_a_folder_that_is_none_is_told(tmp_path):
    (tmp_path / "history").write_text("no folder")
    with pytest.raises(Misconfigured, match="cannot be written"):
        History(tmp_path / "history", 10).roll_back(Rollback("aaa", "over"))
