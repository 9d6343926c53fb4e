"""The commands of `millrace policy` that tell and tidy: what they print and change."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from millrace.engine.cli.policy import policy
from millrace.engine.errors import Misconfigured

MESSY = '[[rule]]\nthen="tag"\nname = "r"\nwhen = "peer"\n'
TIDY = '[[rule]]\nname = "r"\nwhen = "peer"\nthen = "tag"\n'


def run(*arguments: str):
    return CliRunner().invoke(policy, arguments, standalone_mode=False)


def test_reference_tells_one_fact_with_its_choices():
    out = run("reference", "spf").output
    assert out.startswith("spf ")
    assert "spf.result" in out
    assert "softfail" in out
    assert "dmarc" not in out


def test_reference_without_a_name_tells_everything():
    out = run("reference").output
    for word in ("message.size", "lists.NAME", "matches(", "25MiB", "add_header", "quarantine"):
        assert word in out


def test_reference_tells_one_function():
    out = run("reference", "matches").output
    assert out.startswith("matches(TEXT, 'regular expression')  whether")
    assert len(out.splitlines()) <= 2


def test_fmt_of_a_folder_says_to_name_its_files(tmp_path):
    error = run("fmt", str(tmp_path)).exception
    assert f"Name its files: {tmp_path}/*.toml" in str(error)


def test_reference_as_json_is_json():
    assert "functions" in json.loads(run("reference", "--json").output)


def test_reference_of_a_word_that_is_not_there_names_the_nearest():
    error = run("reference", "spff").exception
    assert isinstance(error, Misconfigured)
    assert "did you mean 'spf'?" in str(error)


@pytest.mark.parametrize("kind", ["policy", "pipeline"])
def test_schema_is_printed_as_json(kind):
    assert json.loads(run("schema", kind).output)["title"] == f"A {kind} of Millrace"


def test_fmt_writes_what_was_not_in_order_and_keeps_the_mode(tmp_path: Path):
    messy, tidy = tmp_path / "a.toml", tmp_path / "b.toml"
    messy.write_text(MESSY)
    messy.chmod(0o640)
    tidy.write_text(TIDY)
    result = run("fmt", str(messy), str(tidy))
    assert (result.return_value, result.output) == (0, f"put in order  {messy}\n")
    assert messy.read_text() == TIDY
    assert messy.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.toml", "b.toml"]


def test_fmt_check_changes_nothing_and_says_no(tmp_path: Path):
    messy = tmp_path / "a.toml"
    messy.write_text(MESSY)
    result = run("fmt", "--check", str(messy))
    assert (result.return_value, result.output) == (1, f"not in order  {messy}\n")
    assert messy.read_text() == MESSY
    messy.write_text(TIDY)
    assert run("fmt", "--check", str(messy)).return_value == 0


def test_fmt_follows_a_link_and_leaves_it(tmp_path: Path):
    real, link = tmp_path / "real.toml", tmp_path / "link.toml"
    real.write_text(MESSY)
    link.symlink_to(real)
    run("fmt", str(link))
    assert link.is_symlink()
    assert real.read_text() == TIDY


@pytest.mark.parametrize(("data", "words"), [(b"a = ", "is not TOML"), (b"\xff", "is not UTF-8")])
def test_fmt_says_what_is_wrong_with_a_file_and_does_the_others(tmp_path: Path, data, words):
    broken, messy = tmp_path / "a.toml", tmp_path / "b.toml"
    broken.write_bytes(data)
    messy.write_text(MESSY)
    error = run("fmt", str(broken), str(messy)).exception
    assert isinstance(error, Misconfigured)
    assert words in str(error)
    assert messy.read_text() == TIDY
    assert "cannot be read" in str(run("fmt", str(tmp_path / "none.toml")).exception)
