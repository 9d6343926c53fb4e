"""Tests of a policy, told by facts or by a mail: `NAME.test.toml` beside it.

    [[case]]
    name   = "a disowned mail is refused"
    given  = { dmarc = { result = "fail", policy = "reject" }, headers = { List-Id = "<a>" } }
    expect = "reject"
    rule   = "dmarc"          # optional
    score  = 2.5              # optional

A fact that is not given is absent, and so is a field that is not given.  The stages are
walked as for a mail, so that an early rule beats a later one here as it does in service.
A case with a mail (see `mailcase`) is rehearsed by whoever can; `pipeline` limits a case to
one of the pipelines that share the policy.

Fails: `load` raises `Misconfigured` for a file that does not fit the policy's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from millrace.engine.document import Document, Path_, meant
from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import ACTIONS, PASS, Action
from millrace.engine.policy import judge, mailcase, mismatch, places
from millrace.engine.policy.given import GivenHeaders, is_field_name
from millrace.engine.policy.given import GivenRecord as GivenRecord
from millrace.engine.policy.judge import Act, Term
from millrace.engine.policy.kinds import TEXT, Kind, Word, fields_of
from millrace.engine.policy.mailcase import MailCase
from millrace.engine.policy.rule import Policy, Rule, Vocabulary

_WANTED: dict[str, Word] = {
    "name": "text",
    "given": "record",
    "rule": "text",
    "score": "number",
    "pipeline": "text",
}
NUMBER_MAX = 2**63  # TOML asks for no more, and a float has no room for some that are greater
_TYPES: dict[Word, tuple[type, ...]] = {
    "text": (str,),
    "choice": (str,),
    "number": (int, float),
    "truth": (bool,),
    "list": (list,),
    "record": (dict,),
}
_WORDS: dict[Word, str] = {
    "text": "a text in quotes",
    "choice": "a text in quotes",
    "number": "a number",
    "truth": "true or false",
    "list": "a list",
    "record": "a table: { field = … }",
}
KEYS = ("name", "given", "expect", "rule", "score", "pipeline", *mailcase.KEYS)


@dataclass(frozen=True, slots=True)
class Case:
    """One test."""

    name: str
    given: Mapping[str, Any]
    expect: Action
    rule: str | None
    score: float | None
    place: Place
    mail: MailCase | None = None
    pipeline: str = ""
    now: float = 0.0  # Unix seconds; of facts 0 means that nothing has expired


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case came to; `problem` is "" when it did as it should.

    `difference` says line by line why it did not, as far as that can be told.
    """

    case: Case
    action: Action
    rule: str
    terms: tuple[Term, ...]
    problem: str
    difference: tuple[str, ...] = ()


def load(document: Document, words: Vocabulary) -> tuple[Case, ...]:
    """Read the cases of a file; `words` is what the policy may name."""
    faults: list[Fault] = []
    tables = document.data.get("case", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise Misconfigured(document.fault(("case",), "'case' is written [[case]]"))
    faults += [
        document.fault((key,), f"unknown key '{key}'", "one of: case")
        for key in document.data
        if key != "case"
    ]
    cases = [_case(document, ("case", at), t, words, faults) for at, t in enumerate(tables)]
    if faults:
        raise Misconfigured(*faults)
    return tuple(case for case in cases if case is not None)


def _case(
    document: Document,
    path: Path_,
    table: Mapping[str, Any],
    words: Vocabulary,
    faults: list[Fault],
) -> Case | None:
    found: list[Fault] = [
        document.fault((*path, key), f"unknown key '{key}'", meant(key, KEYS))
        for key in table
        if key not in KEYS
    ]
    action = ACTIONS.get(str(table.get("expect", "")))
    if action is None:
        hint = meant(str(table.get("expect", "")), ACTIONS)
        found.append(document.fault((*path, "expect"), "'expect' names an action", hint))
    found += [
        document.fault((*path, key), f"{key} wants {_WORDS[wanted]}")
        for key, wanted in _WANTED.items()
        if key in table and not _fits(table[key], wanted)
    ]
    given = table.get("given", {})
    given = given if isinstance(given, dict) else {}
    values = {
        name: _given(document, (*path, "given", name), name, value, words, found)
        for name, value in given.items()
    }
    mail = mailcase.read(document, path, table, found)
    dated = mailcase.at_a_time(table)
    if dated and not mailcase.is_time(table["now"]):
        found.append(document.fault((*path, "now"), f"now wants {mailcase.TIME}"))
    faults += found
    if found or action is None:
        return None
    name = str(table.get("name", f"case {path[-1]}"))
    rule, score, pipeline = table.get("rule"), table.get("score"), table.get("pipeline", "")
    now = mailcase.moment(table["now"]) if dated else 0.0
    return Case(name, values, action, rule, score, document.place(path), mail, pipeline, now)


def _given(
    document: Document,
    path: Path_,
    name: str,
    value: object,
    words: Vocabulary,
    faults: list[Fault],
) -> object:
    word = words.get(name)
    if word is None or word.kind.record is None:
        faults.append(document.fault(path, f"there is no fact '{name}'", meant(name, words)))
        return None
    return _record(document, path, word.kind, value, faults)


def _record(
    document: Document, path: Path_, kind: Kind, value: object, faults: list[Fault]
) -> object:
    if not _fits(value, kind.word):
        faults.append(document.fault(path, f"{path[-1]} wants {_WORDS[kind.word]}"))
        return None
    if kind.record is None or not isinstance(value, dict):
        if kind.word == "choice" and value not in kind.choices:
            sentence = f"{path[-1]} can never be {value!r}"
            faults.append(document.fault(path, sentence, meant(str(value), kind.choices)))
        place = kind.place if isinstance(value, str) else ""
        return sorted(places.forms(kind, str(value)))[0] if place else value
    fields = fields_of(kind.record)
    named = {key for key in value if kind.record is Headers and is_field_name(key)}
    for key in [key for key in value if key not in fields and key not in named]:
        hint = meant(key, fields)
        if kind.record is Headers:
            hint += f"\nThe name of a header field begins with a capital: {key.title()}."
        faults.append(document.fault((*path, key), f"'{path[-1]}' has no field '{key}'", hint))
    inner = {
        key: _record(document, (*path, key), fields[key], each, faults)
        for key, each in value.items()
        if key in fields
    }
    if kind.record is Headers:
        texts = {key: _record(document, (*path, key), TEXT, value[key], faults) for key in named}
        return GivenHeaders(inner, texts)
    return GivenRecord(_whole(kind, inner))


def _whole(kind: Kind, inner: dict[str, object]) -> dict[str, object]:
    """One address told in parts or as a whole is both: `sender.local`, `sender.address.local`."""
    if not kind.mailbox or "address" not in fields_of(kind.record or object):
        return inner
    address = inner.get("address")
    if address is None:
        parts: dict[str, object] = {key: inner[key] for key in ("local", "domain") if key in inner}
        return {**inner, "address": GivenRecord(parts)} if any(parts.values()) else inner
    return {key: getattr(address, key, None) for key in ("local", "domain")} | inner


def _fits(value: object, word: Word) -> bool:
    if isinstance(value, int) and abs(value) > NUMBER_MAX:
        return False
    return isinstance(value, _TYPES[word]) and isinstance(value, bool) == (word == "truth")


def try_case(policy: Policy, case: Case) -> Outcome:
    """Judge one case, stage by stage."""
    values = dict(case.given)
    terms: list[Term] = []
    rule: Rule | None = None
    acts: list[Act] = []
    for stage in Stage:
        weights = tuple(w for w in policy.weights if w.stage == stage)
        terms += judge.terms(weights, values, case.now)
        values["score"] = judge.score(terms)
        here = tuple(r for r in sorted(policy.rules, key=_of_mail) if r.stage == stage)
        if rule is None:
            rule, more = judge.speak(here, values, case.now)
            acts += more
        if rule is not None and judge.verdict(rule, values).refuses:
            break  # the mail goes no further, and nothing more is weighed
    spoken = judge.marked(judge.verdict(rule, values) if rule else PASS, acts)
    action, name = spoken.action, spoken.because.rule if spoken.because else ""
    return Outcome(case, action, name, tuple(terms), _problem(case, action, name, terms))


def conclude(case: Case, action: Action, rule: str, terms: tuple[Term, ...]) -> Outcome:
    """The outcome of a case that somebody else has walked."""
    return Outcome(case, action, rule, terms, _problem(case, action, rule, list(terms)))


def explained(policy: Policy, outcome: Outcome, values: Mapping[str, Any]) -> Outcome:
    """A red outcome with its difference; `values` are the facts that were judged."""
    if not outcome.problem:
        return outcome
    known = {**values, "score": judge.score(list(outcome.terms))}
    expected, got = (outcome.case.expect, outcome.case.rule), (outcome.action, outcome.rule)
    return replace(outcome, difference=mismatch.told(policy, expected, got, known))


def _of_mail(rule: Rule) -> bool:
    return not rule.recipient  # at RCPT each recipient is judged before the mail


def _problem(case: Case, action: Action, rule: str, terms: list[Term]) -> str:
    score = judge.score(terms)
    by = f" by rule {rule}" if rule else " by no rule"
    if action is not case.expect:
        return f"expected {case.expect.word}, got {action.word}{by}, score {score:g}"
    if case.rule is not None and rule != case.rule:
        return f"expected rule {case.rule}, got {action.word}{by}"
    if case.score is not None and abs(score - case.score) > 0.0005:
        summed = " + ".join(f"{term.name} {term.add:g}" for term in terms) or "nothing"
        return f"expected score {case.score:g}, got {score:g} = {summed}"
    return ""
