"""What a settings file says by now, and only a restart will read."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.engine.pending import Pending, pending
from millrace.engine.settings import Settings, load

FILE = """
profile = "production"
[limits]
mails = 10
[[listener]]
kind = "milter"
address = "inet:9900@127.0.0.1"
"""
SECOND = '[[listener]]\nkind = "smtp"\naddress = "inet:9925@127.0.0.1"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "millrace.toml"
    path.write_text(FILE)
    return path


def changed(file: Path, old: str, new: str, *given: dict[str, str]) -> Pending:
    """In force is the file as it was; then it is edited."""
    in_force = load(file, *given)
    file.write_text(file.read_text().replace(old, new))
    return pending(in_force)


def test_file_that_is_as_it_was_waits_for_nothing(file):
    assert changed(file, "mails = 10", "mails = 10  # ten") == Pending()
    assert str(Pending()) == ""


def test_settings_without_a_file_wait_for_nothing():
    assert pending(Settings()) == Pending()


def test_changed_setting_is_named(file):
    found = changed(file, "mails = 10", "mails = 20")
    assert str(found) == "changed, but needs `millrace restart`: limits.mails"


def test_setting_that_was_taken_out_is_named(file):
    assert changed(file, "mails = 10", "").keys == ("limits.mails",)


def test_what_a_profile_brings_is_named_with_it(file):
    found = changed(file, "production", "development")
    assert found.keys == ("profile", "workers", "scanner.when_absent")


def test_listener_is_named_by_its_number_and_key(file):
    found = changed(file, "inet:9900", "inet:9901")
    assert found.keys == ("listener[1].address",)


def test_listener_that_came_or_went_is_named(file):
    assert changed(file, '9900@127.0.0.1"\n', '9900@127.0.0.1"\n' + SECOND).keys == ("listener[2]",)
    assert changed(file, SECOND, "").keys == ("listener[2]",)


def test_what_the_environment_or_the_command_line_chose_is_not_the_files_to_change(file):
    by_variable = {"MILLRACE_LIMITS_MAILS": "5"}
    assert changed(file, "mails = 10", "mails = 20", by_variable) == Pending()
    assert changed(file, "mails = 20", "mails = 30", {}, {"limits.mails": "5"}) == Pending()


def test_profile_of_the_command_line_is_that_of_the_comparison_too(file):
    in_force = load(file, {}, {"profile": "development"})
    assert pending(in_force) == Pending()


def test_file_that_is_no_good_says_why_in_place_of_names(file):
    found = changed(file, "mails = 10", "mils = 10")
    assert "millrace.toml:4" in found.trouble
    assert "unknown key 'mils' in [limits]" in str(found)
    assert "a restart would be refused" in str(found)
