"""`millrace list`: what it says, what it changes, and how it exits."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from millrace.engine.cli.list import listing


@pytest.fixture
def lists(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUDO_USER", "ann")
    folder = tmp_path / "policies/lists"
    folder.mkdir(parents=True)
    (folder / "partners.domains").write_text(
        "# partners\n.a.example\nold.example until 2020-01-01\n"
    )
    (folder / "tier.map").write_text("a.example = gold\n")
    return folder


def call(*arguments: str) -> Result:
    return CliRunner().invoke(listing, arguments, standalone_mode=False)


def test_addition_is_shown_with_its_place_and_kept(lists):
    found = call("add", "partners", "B.example", "--why", "fair")
    assert found.output == "policies/lists/partners.domains:4: b.example   # fair\n"
    assert (lists / "partners.domains").read_text().endswith("b.example   # fair\n")
    assert "stands there already" in call("add", "partners", "b.example").output


def test_addition_for_a_time_has_an_end(lists):
    call("add", "partners", "b.example", "--for", "30d")
    call("add", "partners", "c.example", "--for", "6h")
    _, _, _, days, hours = (lists / "partners.domains").read_text().splitlines()
    assert len(days.split("until ")[1]) == len("2026-12-31")
    assert hours.endswith("Z")


def test_addition_makes_a_list_when_its_kind_is_told(lists):
    assert call("add", "offices.networks", "192.0.2.0/24").exit_code == 0
    assert (lists / "offices.networks").read_text() == "192.0.2.0/24\n"


def test_no_second_list_of_one_name_is_made(lists):
    found = call("add", "partners.addresses", "a@b.example")
    assert "there is a list partners.domains already" in str(found.exception)
    assert not (lists / "partners.addresses").exists()


def test_list_that_is_not_there_is_told_with_the_nearest_name(lists):
    found = call("add", "partner", "b.example")
    assert "there is no list 'partner'" in str(found.exception)
    assert "did you mean 'partners'?" in str(found.exception)
    assert "millrace list add partner.KIND" in str(found.exception)


def test_removal_tells_what_still_holds_the_value(lists):
    call("add", "partners", "mail.a.example")
    found = call("remove", "partners", "mail.a.example")
    assert "policies/lists/partners.domains:4: removed mail.a.example" in found.output
    assert "mail.a.example is still held by line 2: .a.example" in found.output
    assert found.return_value == 0


def test_removal_of_what_is_not_there_exits_with_one(lists):
    found = call("remove", "partners", "z.example")
    assert found.return_value == 1
    assert "z.example does not stand in" in found.output


def test_key_of_a_map_is_removed_without_its_value(lists):
    assert call("remove", "tier", "A.example").return_value == 0
    assert (lists / "tier.map").read_text() == ""


def test_pair_of_a_map_needs_no_quotes(lists):
    assert call("add", "tier", "b.example", "=", "silver").return_value == 0
    assert (lists / "tier.map").read_text() == "a.example = gold\nb.example = silver\n"


def test_finding_exits_by_whether_anything_is_in_force(lists):
    held = call("find", "partners", "mail.a.example")
    assert (held.return_value, held.output) == (
        0,
        "policies/lists/partners.domains:2: .a.example\n",
    )
    ended = call("find", "partners", "old.example")
    assert ended.return_value == 1
    assert "(ended: 2020-01-01)" in ended.output
    assert call("find", "partners", "new.example").return_value == 1


def test_pruning_tells_what_it_removed(lists):
    assert "1 removed" in call("prune", "partners").output
    assert (lists / "partners.domains").read_text() == "# partners\n.a.example\n"


def test_showing_counts_all_lists_or_tells_one_with_its_trail(lists):
    first, second = call("show").output.splitlines()
    assert first == "partners             domains    2 entries, 1 of them ended"
    assert second == "tier                 map        1 entry"
    call("add", "partners", "b.example", "--why", "fair")
    page = call("show", "partners").output
    assert "     2  .a.example" in page
    assert page.endswith("ann added b.example: fair\n")


def test_kind_that_is_misspelt_is_told(lists):
    found = call("add", "offices.network", "192.0.2.0/24")
    assert "To make one: millrace list add offices.networks …" in str(found.exception)


def test_one_entry_is_counted_as_one_and_none_is_said(lists):
    assert "tier                 map        1 entry\n" in call("show").output
    (lists / "none.domains").write_text("# nobody yet\n")
    assert "none.domains holds nothing\n" in call("show", "none").output


def test_folder_without_lists_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "there are no lists in " in call("show").output
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/lists").write_text("")
    assert "policies/lists  cannot be read: Not a directory" in str(call("show").exception)


def test_list_that_cannot_be_read_is_told(lists):
    (lists / "odd.domains").write_bytes(b"\xff\xfe\n")
    for words in (("show",), ("show", "odd"), ("find", "odd", "a.example"), ("prune", "odd")):
        assert "odd.domains  is not UTF-8" in str(call(*words).exception)
