"""What `millrace filters` and the docs say of a filter is what its code says."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from millrace.engine.cli import filters as command
from millrace.engine.mail.stage import Stage
from millrace.engine.options import Octets, Seconds
from millrace.engine.pipeline import shelf
from millrace.engine.pipeline.describe import describe, shown

PAGE = Path(__file__).resolve().parents[3] / "contrib/docs/filters.md"


def test_the_page_in_the_docs_is_what_the_code_says():
    made = CliRunner().invoke(command.filters, ["--markdown", *shelf.names()])
    words = "run: millrace filters --markdown > contrib/docs/filters.md"
    assert made.output == PAGE.read_text("utf-8"), words


def test_a_filter_runs_where_the_last_of_its_asks_is_known():
    assert describe("spf").stage is Stage.MAIL
    assert describe("greylist").stage is Stage.RCPT
    assert describe("dmarc").stage is Stage.BODY
    assert "spf" in describe("dmarc").after
    assert describe("archive").late


def test_options_and_facts_are_told_with_their_choices():
    found = describe("greylist")
    wait = next(setting for setting in found.settings if setting.name == "wait")
    assert (wait.type, wait.default) == ("time", '"5m"')
    words = {word.name: word.kind for word in found.words}
    assert words["greylist.state"] == "new early passed known client-known"


def test_a_default_of_this_machine_is_not_told():
    settings = {setting.name: setting for setting in describe("stamp").settings}
    assert settings["authserv_id"].default == ""
    assert not settings["authserv_id"].required


@pytest.mark.parametrize(
    ("value", "hint", "text"),
    [
        (Seconds(7 * 31557600), Seconds, '"7y"'),
        (Seconds(0.25), Seconds, '"0.25s"'),
        (Octets(25 << 20), Octets, '"25MiB"'),
        (("a", "b"), None, '["a", "b"]'),
        (True, bool, "true"),
        (None, None, "none"),
    ],
)
def test_defaults_are_told_as_the_file_would_say_them(value, hint, text):
    assert shown(value, hint) == text


def test_an_unknown_filter_is_named_with_the_nearest_right_one():
    result = CliRunner().invoke(command.filters, ["greylit"])
    assert "did you mean 'greylist'?" in str(result.exception)
