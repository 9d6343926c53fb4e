"""Lists alive: good files take their place, bad ones leave what was in force."""

import os
from pathlib import Path

import pytest

from millrace.engine.errors import Misconfigured
from millrace.engine.lists.shelf import Shelf


@pytest.fixture(params=[1 << 20, 0], ids=["in memory", "by an image file"])
def shelf(request, tmp_path: Path) -> Shelf:
    (tmp_path / "lists").mkdir()
    return Shelf(tmp_path / "lists", tmp_path / "index", lambda: 1.0, small=request.param)


def put(shelf: Shelf, name: str, text: str) -> None:
    path = shelf.folder / name
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 1_000_000, before + 1_000_000))


def poll(shelf: Shelf) -> list[str]:
    """Two looks, as a worker takes them; the lists that were renewed well."""
    shelf.changed()
    return [each.name for each in shelf.changed() if shelf.renew(each)]


def test_file_that_changes_well_is_in_force_after_two_looks(shelf):
    put(shelf, "partners.domains", "a.example\n")
    partners = shelf.open()["partners"]
    put(shelf, "partners.domains", "b.example\n")
    assert shelf.changed() == []
    assert poll(shelf) == ["partners"]
    assert (partners.holds("a.example"), partners.holds("b.example")) == (False, True)
    assert poll(shelf) == []


def test_half_written_file_leaves_the_old_one_and_says_so_once(shelf, caplog):
    put(shelf, "partners.domains", "a.example\n")
    partners = shelf.open()["partners"]
    put(shelf, "partners.domains", "a.example\nb.exam")
    assert poll(shelf) == []
    assert partners.holds("a.example")
    assert "partners.domains:2  ends in the middle of a line" in partners.trouble
    assert poll(shelf) == []
    assert caplog.text.count("list partners stays as it was") == 1
    put(shelf, "partners.domains", "a.example\nb.example\n")
    assert poll(shelf) == ["partners"]
    assert (partners.trouble, partners.holds("b.example")) == ("", True)


def test_file_that_is_gone_leaves_the_old_one_for_those_who_have_it(shelf):
    put(shelf, "partners.domains", "a.example\n")
    partners = shelf.open()["partners"]
    (shelf.folder / "partners.domains").unlink()
    assert poll(shelf) == []
    assert partners.holds("a.example")
    assert "cannot be read" in partners.trouble
    assert dict(shelf.open()) == {}


def test_reload_keeps_a_list_whose_file_went_bad_in_force(shelf):
    put(shelf, "partners.domains", "a.example\n")
    partners = shelf.open()["partners"]
    put(shelf, "partners.domains", "*.bad\n")
    assert shelf.open()["partners"] is partners
    assert partners.holds("a.example")
    assert "'*.bad' is no domain" in partners.trouble


def test_bad_list_that_was_never_in_force_is_a_fault(shelf):
    put(shelf, "partners.domains", "*.bad\n")
    with pytest.raises(Misconfigured, match="is no domain"):
        shelf.open()
    put(shelf, "partners.domains", "good.example\n")
    assert shelf.open()["partners"].holds("good.example")


def test_trouble_is_over_when_the_old_file_comes_back(shelf):
    put(shelf, "partners.domains", "a.example\n")
    kept = shelf.folder / "kept"
    partners = shelf.open()["partners"]
    os.link(shelf.folder / "partners.domains", kept)
    (shelf.folder / "partners.domains").unlink()
    poll(shelf)
    os.rename(kept, shelf.folder / "partners.domains")
    poll(shelf)
    assert partners.trouble == ""


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["partners.domain"], "'.domain' is no kind of list\n    did you mean '.domains'?"),
        (["our-own.domains"], "a condition cannot name 'our-own'\n    .*our_own.domains"),
        (["vips.addresses", "vips.map"], "two lists have one name\n    The other is vips.address"),
    ],
)
def test_file_that_no_condition_could_name_is_told(shelf, names, sentence):
    for name in names:
        put(shelf, name, "")
    with pytest.raises(Misconfigured, match=sentence):
        shelf.open()


def test_other_files_beside_the_lists_are_nobody_s_business(shelf):
    for name in (
        "tier.map~",
        "#tier.map#",
        "#a.domains",
        "README.md",
        ".partners.domains.lock",
        "partners.domains.trail",
        "old.txt",
    ):
        put(shelf, name, "words\n")
    assert dict(shelf.open()) == {}


def test_image_is_made_once_for_all_who_ask(tmp_path):
    (tmp_path / "big.domains").write_text("a.example\n")
    first, second = (Shelf(tmp_path, tmp_path / "index", small=0) for _ in range(2))
    assert first.open()["big"].holds("a.example")
    (image,) = (tmp_path / "index").glob("*.image")
    made = image.stat()
    assert second.open()["big"].holds("a.example")
    assert image.stat().st_mtime_ns == made.st_mtime_ns
    assert image.stat().st_ino == made.st_ino


def test_images_of_earlier_contents_are_swept_up(tmp_path):
    (tmp_path / "lists").mkdir()
    shelf = Shelf(tmp_path / "lists", tmp_path / "index", small=0)
    for n in range(5):
        put(shelf, "big.domains", f"a{n}.example\n")
        big = shelf.open()["big"]
    assert big.holds("a4.example")
    assert len(list((tmp_path / "index").glob("*.image"))) == 2


def test_folder_that_cannot_be_written_costs_memory_and_is_told(tmp_path, caplog):
    (tmp_path / "index").write_text("no folder")
    (tmp_path / "big.domains").write_text("a.example\n")
    assert Shelf(tmp_path, tmp_path / "index", small=0).open()["big"].holds("a.example")
    assert "each process keeps one of its own" in caplog.text
