"""The schemas take what the loaders take, and refuse what they refuse."""

import datetime
import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured
from millrace.engine.pipeline import schema
from millrace.engine.pipeline.graph import vocabulary
from millrace.engine.policy import overlay, rules

ROOT = Path(__file__).resolve().parents[3]
POLICIES = [p for p in sorted((ROOT / "policies").glob("*.toml")) if ".test." not in p.name]
PIPELINES = [p for p in sorted((ROOT / "pipelines").glob("*.toml")) if ".test." not in p.name]


def data(text: str) -> Any:
    """As an editor's language server hands it to a schema: dates are texts."""
    return json.loads(json.dumps(tomllib.loads(text), default=datetime.date.isoformat))


def errors(kind: str, text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(
        schema.SCHEMAS[kind](), format_checker=jsonschema.FormatChecker()
    )
    return [error.message for error in validator.iter_errors(data(text))]


@pytest.mark.parametrize("kind", schema.SCHEMAS)
def test_schema_is_a_schema(kind):
    jsonschema.Draft202012Validator.check_schema(schema.SCHEMAS[kind]())


@pytest.mark.parametrize("path", POLICIES, ids=lambda p: p.name)
def test_shipped_policies_fit_their_schema(path):
    assert errors("policy", path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", PIPELINES, ids=lambda p: p.name)
def test_shipped_pipelines_fit_their_schema(path):
    assert errors("pipeline", path.read_text("utf-8")) == []


RULE = '[[rule]]\nname = "r"\nwhen = "peer"\n'
FILTER = '[[filter]]\nuse = "greylist"\n'


@pytest.mark.parametrize(
    "text",
    [
        RULE + 'then = "reject"\nreply = "550 5.7.1 No"',
        RULE + 'stop = false\nadd_header = { X-A = "b" }',
        RULE + 'then = "tag"\nexpires = 2027-01-31\nowner = "o"\nnote = "n"\nwhy = "w"',
        RULE + 'then = "quarantine"\nquarantine = "q"\nredirect = "a@b.example"',
        '[[weight]]\nname = "w"\nadd = 1.5',
        '[[weight]]\nname = "w"\nadd = "2 * score"\nwhen = "peer"',
    ],
)
def test_every_key_that_the_loader_takes_fits(text):
    assert errors("policy", text) == []


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("policy", "titel = 'x'", "'titel' was unexpected"),
        ("policy", RULE, "'then' is a required property"),
        ("policy", RULE + "then = 'refuse'", "'refuse' is not one of"),
        ("policy", RULE + "then = 'tag'\nwhy = 5", "5 is not of type 'string'"),
        ("policy", RULE + "then = 'tag'\nexpires = 'soon'", "'soon' is not a 'date'"),
        ("policy", RULE + "then = 'reject'\nreply = 'no'", "'no' does not match"),
        ("policy", "[[weight]]\nname = 'w'", "'add' is a required property"),
        ("pipeline", FILTER + "wiat = '5m'", "'wiat' was unexpected"),
        ("pipeline", FILTER + "wait = 5", "5 is not of type 'string'"),
        ("pipeline", FILTER + "wait = '5'", "'5' does not match"),
        ("pipeline", FILTER + "on_error = 'pass'", "'pass' is not one of"),
        ("pipeline", "[[filter]]\nuse = 'spff'", "'spff' is not one of"),
        ("pipeline", "[[filter]]\nwait = '5m'", "'use' is a required property"),
        ("pipeline", "deadline = '20'", "'20' does not match"),
    ],
)
def test_what_the_loader_refuses_fits_not(kind, text, words):
    assert any(words in message for message in errors(kind, text))


BASE = RULE + 'then = "tag"\n[[rule]]\nname = "greylist"\nwhen = "peer"\nthen = "defer"\n'


def laid(text: str) -> None:
    words = vocabulary(())
    base = Document(BASE, "default.toml")
    policy = rules.load(base, "default", words)
    overlay.load(Document(text, "acme.toml"), "acme", (base, policy), words, {})


ACME = 'for = { recipient = [".acme.example", "ann@other.example"] }\n'


@pytest.mark.parametrize(
    "text",
    [
        'policy = "default"\n' + ACME + 'drop = ["greylist"]\n' + RULE + 'then = "tag"',
        'for = [{ login = "ann" }, { listener = ["inet:25@192.0.2.1"] }]\ndrop = ["greylist"]',
    ],
)
def test_overlays_that_the_loader_takes_fit_the_schema(text):
    laid(text)
    assert errors("overlay", text) == []


@pytest.mark.parametrize(
    "text",
    ['drop = ["greylist"]', 'for = { domain = "acme.example" }', "for = {}", ACME + "rules = []"],
)
def test_overlays_that_the_loader_refuses_do_not_fit_the_schema(text):
    with pytest.raises(Misconfigured):
        laid(text)
    assert errors("overlay", text) != []
