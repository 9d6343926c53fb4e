"""`millrace model`: what people read and what machines read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from millrace.engine.cli.model import model

WORDS = {"ham": "patch review lunch friday", "spam": "cheap pills click offer"}


@pytest.fixture(scope="module")
def mails(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mails")
    for label, words in WORDS.items():
        (root / label).mkdir()
        for number in range(60):
            own = "".join(chr(97 + int(digit)) for digit in f"{number:03}")
            text = f"From: a@b.example\n\n{words} {own}\n"
            (root / label / f"{number}.eml").write_text(text)
    return root


def run(*arguments: object) -> Result:
    return CliRunner().invoke(model, [str(argument) for argument in arguments])


def test_list_shows_the_shipped_model() -> None:
    result = run("list")
    assert result.exit_code == 0
    assert result.output.startswith("default ")
    assert "shipped" in result.output


def test_show_tells_the_figures_on_held_out_mail() -> None:
    assert "of spam found" in run("show").output
    assert json.loads(run("show", "--json").output)["name"] == "default"


def test_trained_model_can_be_listed_and_judged(mails: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    trained = run("train", mails, "--name", "ours", "--registry", tmp_path)
    assert trained.exit_code == 0, trained.output
    assert 'model = "ours"' in trained.output
    listed = json.loads(run("list", "--registry", tmp_path, "--json").output)
    assert [entry["name"] for entry in listed] == ["default", "ours"]
    judged = run("eval", mails, "--model", "ours", "--registry", tmp_path, "--all", "--json")
    assert json.loads(judged.output)["spam"] == 60


def test_help_gives_a_sentence_and_two_examples() -> None:
    for command in ("train", "eval", "list", "show"):
        text = run(command, "--help").output
        assert text.count(f"  millrace model {command}") == 2, text


def test_missing_folder_is_wrong_usage() -> None:
    assert run("eval", "/nowhere/at/all").exit_code == 2
