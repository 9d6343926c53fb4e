"""Hostile conditions and policy files: a clear error or a policy, in time and in bounds.

Each kind is mutated as often as MILLRACE_MUTATIONS says; CI does ten thousand of each.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from listed import lists

from millrace.engine.document import SENTENCE_MAX, Document
from millrace.engine.errors import EXCERPT_MAX, Misconfigured
from millrace.engine.mail.stage import Stage
from millrace.engine.pipeline.graph import vocabulary
from millrace.engine.policy import judge, rules
from millrace.engine.policy.expr import DEPTH_MAX, TEXT_MAX, Expression, Misfit, compile_text
from millrace.engine.policy.reader import FAULTS_MAX

MUTATIONS = int(os.environ.get("MILLRACE_MUTATIONS", "10000" if os.environ.get("CI") else "300"))
HOSTILE = settings(
    max_examples=MUTATIONS, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
SECONDS = 5.0  # of processor time for one small file: a hundred times what most take
WORDS = vocabulary(())
KINDS = {name: word.kind for name, word in WORDS.items()}
LISTS = lists(partners=("domains", {}), tier=("map", {}))
SHIPPED = (Path(__file__).resolve().parents[3] / "policies" / "default.toml").read_text("utf-8")
CONDITIONS = [
    "dmarc.result == 'fail' and dmarc.policy == 'reject' and not (login or arc.trusted)",
    "message.size > 25MiB or greylist.left < 5m",
    "peer.ip in ['192.0.2.0/24', '2001:db8::/32'] and from.domain not in lists.partners",
    "matches(helo.name, '^[a-z]+([0-9]{1,3})?$') and under(from.domain, 'example.org')",
    "12 * max(spam.probability - 0.5, 0) >= 3 and lists.tier[from.domain] == 'gold'",
]
RICH = SHIPPED[:2000] + "".join(
    f'[[rule]]\nname = "n{at}"\nwhen = """\n{when}\n"""\nthen = "tag"\nexpires = 2027-01-31\n'
    'stop = false\nadd_header = { X-A = "{from.domain}" }\nowner = "o"\n'
    for at, when in enumerate(CONDITIONS)
)
PIECES = [
    "", " ", "\n", "'", '"', '"""', "'''", "(", ")", "[", "]", "{", "}", ".", ",", "=", "==",
    "#", "\\", "\0", "\x7f", "é", "\u2028", "\ud7ff", "not ", " and ", " or ", " in ", "from",
    "lists.", "lists", "matches(", "under(", "-", "*", "/", "~", "**", "if ", "lambda: ", "5m",
    "25MiB", "1e999", "9" * 400, "0x", "1_0", "'a' 'b'", "f'{x}'", "b'x'", "[[rule]]\n",
    "[rule]\n", "stop = true\n", "(" * 60, "not " * 60, "a." * 30, "{peer}", "true", "1979-05-27",
    "(a{1000}){1000}", "[" * 90, "x" * 5000, "\t", "\r\n", "*" * 50,
]  # fmt: skip
CUTS = st.lists(
    st.tuples(st.integers(0, 9999), st.sampled_from([0, 0, 1, 2, 9, 80]), st.sampled_from(PIECES)),
    min_size=1,
    max_size=5,
)


def mutated(text: str, cuts: list[tuple[int, int, str]]) -> str:
    """Replace some characters, here and there, by others."""
    for place, length, piece in cuts:
        at = place % (len(text) + 1)
        text = text[:at] + piece + text[at + length :]
    return text


@contextmanager
def in_time(seconds: float = SECONDS) -> Iterator[None]:
    began = time.process_time()
    yield
    assert time.process_time() - began < seconds


def compiled(text: str) -> Expression | Misfit:
    try:
        return compile_text(text, KINDS, LISTS)
    except Misfit as misfit:
        return misfit


def loaded(text: str) -> rules.Policy | Misconfigured:
    try:
        return rules.load(Document(text, "law.toml"), "law", WORDS, LISTS)
    except Misconfigured as error:
        return error


def clear(error: Misconfigured) -> None:
    """Each fault says something, of bounded length, at a place of the file."""
    assert 1 <= len(error.faults) <= FAULTS_MAX + 1
    for fault in error.faults:
        assert 0 < len(fault.sentence) <= SENTENCE_MAX + 3
        assert fault.place.file == "law.toml"
    longest = max(len(line) for line in str(error).split("\n"))
    assert longest <= 2 * EXCERPT_MAX + SENTENCE_MAX


@HOSTILE
@given(st.sampled_from(CONDITIONS), CUTS)
def test_mutated_condition_is_told_clearly_or_runs(text, cuts):
    text = mutated(text, cuts)
    with in_time():
        found = compiled(text)
        if isinstance(found, Misfit):
            assert found.sentence
            assert 0 <= found.offset <= len(text)
            assert found.width >= 1
            return
        found.run({})


@HOSTILE
@given(CUTS)
def test_mutated_policy_is_told_clearly_or_judges(cuts):
    with in_time():
        found = loaded(mutated(RICH, cuts))
        if isinstance(found, Misconfigured):
            clear(found)
            return
        for stage in Stage:
            judge.terms(found.weights_at(stage), {})
            judge.speak(found.rules_at(stage), {})


@HOSTILE
@given(st.text(max_size=300))
def test_text_of_any_kind_is_no_condition_that_raises(text):
    with in_time():
        found = compiled(text)
        if isinstance(found, Misfit):
            assert found.sentence
            return
        found.run({})


def rule(when: str) -> str:
    return f'[[rule]]\nname = "r"\nthen = "tag"\nwhen = "{when}"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (rule("(" * 2000 + "peer" + ")" * 2000), "is no condition: too many nested parentheses"),
        (rule("not " * 1000 + "peer"), "is nested too deeply"),
        (rule("-" * 4000 + "1 > 0"), "cannot be read: nested too deeply, or holds a NUL"),
        (rule("peer" + ".ip" * 1000), "is nested too deeply"),
        (rule("9" * 4000 + " > 1"), "is too large a number"),
        (rule("1" + "0" * 16 + "GiB > 1"), "is too large a number"),
        (rule("peer.ip == '" + "a" * 10_000 + "'"), f"is longer than {TEXT_MAX} characters"),
        ("a = " + "[" * 100_000, "is nested too deeply"),
        ("a=" + "{a=" * 5000, "is nested too deeply"),
        (".".join(["a"] * 100_000) + " = 1", "a key has too many parts"),
        ("x = {" + ".".join(["a"] * 100_000) + " = 1}", "a key has too many parts"),
        (".".join(['"a"'] * 100_000) + " = 1", "a key has too many parts"),
        ("a" * 1_000_000 + " = 1", "unknown key '" + "a" * 137 + " … " + "a" * 149 + "'"),
    ],
)
def test_depth_and_length_are_bounded_and_told(text, sentence):
    with in_time(5):
        found = loaded(text)
    assert isinstance(found, Misconfigured)
    assert found.faults[0].sentence == sentence
    clear(found)


def test_name_with_many_labels_is_no_endless_key():
    name = ".".join("0" * 34) + ".ip6.arpa"
    assert isinstance(loaded(rule(f"peer.rdns == '{name}'")), rules.Policy)


def test_faults_of_a_file_are_told_up_to_a_hundred():
    found = loaded("".join(rule("per") for _ in range(2000)))
    assert isinstance(found, Misconfigured)
    assert found.faults[-1].sentence == f"has more faults; these are the first {FAULTS_MAX}"
    clear(found)


def test_products_of_large_numbers_end():
    product = " * ".join(["999999999999999"] * (DEPTH_MAX - 5))
    with in_time():
        assert compile_text(product, KINDS).run({}) is not None


def test_long_or_is_one_condition_and_deep_or_is_none():
    wide: Any = " or ".join(["peer.port == 1"] * 200)
    assert compile_text(wide, KINDS).run({}) is False
    deep = "(peer or " * (DEPTH_MAX + 1) + "peer" + ")" * (DEPTH_MAX + 1)
    with pytest.raises(Misfit, match="nested too deeply"):
        compile_text(deep, KINDS)
