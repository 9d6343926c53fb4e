"""Compiled conditions and policies agree with a plain interpreter of what they mean."""

import json
import os
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import plain_judge
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from listed import lists
from plain_judge import meant, written

from millrace.engine.document import Document
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.stage import Stage
from millrace.engine.options import Octets, Seconds
from millrace.engine.policy import judge, rules
from millrace.engine.policy.expr import DEPTH_MAX, TEXT_MAX, compile_text
from millrace.engine.policy.kinds import NUMBER, Kind
from millrace.engine.policy.rules import Word

PAIRS = settings(
    max_examples=int(os.environ.get("MILLRACE_PAIRS", "1000")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
WORDS = ("pass", "fail", "none")
DOMAINS = ("a.example", "x.a.example", "B.Example", "c.example", "", "é.example")
ADDRESSES = ("192.0.2.7", "192.0.2.8", "198.51.100.1", "2001:db8::1", "", "mx.example")
NETWORKS = ("192.0.2.0/24", "192.0.2.8/32", "2001:db8::/32", "0.0.0.0/0")


@dataclass(frozen=True, slots=True)
class Inner:
    ok: bool
    size: Octets


@dataclass(frozen=True, slots=True)
class It:
    result: Literal["pass", "fail", "none"]
    domain: str
    ip: str
    size: Octets
    wait: Seconds
    part: float
    count: int
    ok: bool
    names: tuple[str, ...]
    inner: Inner
    maybe: str | None


FACTS = ("early", "late", "from")
STAGES = {"early": Stage.HELO, "late": Stage.BODY, "from": Stage.HEADERS, "headers": Stage.HEADERS}
VOCABULARY = {name: Word(Kind("record", record=It), STAGES[name]) for name in FACTS}
VOCABULARY["headers"] = Word(Kind("record", record=Headers), STAGES["headers"])
KINDS = {name: word.kind for name, word in VOCABULARY.items()} | {"score": NUMBER}
LISTS = lists(
    domains=("domains", dict.fromkeys(plain_judge.HELD["domains"], "")),
    offices=("networks", dict.fromkeys(plain_judge.HELD["offices"], "")),
    tier=("map", plain_judge.HELD["tier"]),
)

SMALL = st.sampled_from([0, 1, 2, 3, 0.5, 60, 1000, 1 << 20])
RECORDS = st.builds(
    It,
    st.sampled_from(WORDS), st.sampled_from(DOMAINS), st.sampled_from(ADDRESSES),
    st.sampled_from([0, 1000, 5000, 1 << 20]), st.sampled_from([0.0, 1.0, 60.0, 300.0]),
    st.floats(0, 1), st.integers(0, 5), st.booleans(),
    st.lists(st.sampled_from(DOMAINS), max_size=2).map(tuple),
    st.builds(Inner, st.booleans(), st.sampled_from([0, 1000])),
    st.none() | st.sampled_from(DOMAINS),
)  # fmt: skip
FIELDS = st.tuples(
    st.sampled_from([b"List-Id", b"X-Tier", b"x-tier", b"Subject"]),
    st.sampled_from([b"a.example", b"", b"gold", b"=?utf-8?q?=C3=A9?=.example"]),
)
MAILS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(FACTS, RECORDS),
        "headers": st.lists(FIELDS, max_size=3).map(Headers),
    },
)


def of(*fields: str) -> st.SearchStrategy[Any]:
    return st.tuples(
        st.just("field"), st.builds("{}.{}".format, st.sampled_from(FACTS), st.sampled_from(fields))
    )


def tuples(head: str, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(head), *parts)


TEXT_FIELDS = of("domain", "ip", "maybe")
HEADER_NAMES = st.sampled_from(["List-Id", "X-Tier", "subject"])
HOSTS = st.one_of(  # what may be looked for in networks
    TEXT_FIELDS,
    tuples("header", HEADER_NAMES),
    tuples("call", st.just("lower"), TEXT_FIELDS),
    tuples("map", TEXT_FIELDS),
)
TEXTS = st.one_of(HOSTS, st.just(("field", "headers.subject")))
PLAIN = st.one_of(
    of("part", "count"),
    SMALL.map(lambda n: ("const", n)),
    tuples("call", st.just("len"), of("names", "domain", "maybe")),
)
SIZES = st.one_of(
    of("size", "inner.size"), tuples("amount", st.integers(0, 5), st.sampled_from(["KB", "MiB"]))
)
TIMES = st.one_of(
    of("wait"), tuples("amount", st.integers(0, 5), st.sampled_from(["ms", "s", "m", "h"]))
)


def computed(terms: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.tuples(st.sampled_from(["+", "-"]), terms, terms),
        tuples("call", st.sampled_from(["min", "max"]), terms, terms),
        tuples("neg", terms),
    )


NUMBERS = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        computed(inner), st.tuples(st.sampled_from(["*", "/"]), inner, inner),
        st.tuples(st.just("/"), SIZES, SIZES),
    ),
    max_leaves=4,
)  # fmt: skip
MEASURES = st.one_of(SIZES | computed(SIZES), TIMES | computed(TIMES))
ORDER = st.sampled_from(list(plain_judge.COMPARE))
MEMBER = st.sampled_from(["in", "not in"])


def chains(terms: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(1, 3).flatmap(
        lambda n: tuples(
            "chain",
            st.lists(ORDER, min_size=n, max_size=n),
            st.lists(terms, min_size=n + 1, max_size=n + 1),
        )
    )


def some(values: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3)


def equal(left: st.SearchStrategy[Any], right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda op, a, b: ("chain", [op], [a, b]), st.sampled_from(["==", "!="]), left, right
    )


WORD = st.sampled_from(WORDS).map(lambda word: ("const", word))
DOMAIN = st.sampled_from(DOMAINS).map(lambda name: ("const", name))
NETWORK = st.sampled_from(NETWORKS).map(lambda net: ("const", net))
ATOMS = st.one_of(
    of("ok", "inner.ok"),
    tuples("has_header", HEADER_NAMES),
    st.sampled_from(FACTS).map(lambda name: ("field", name)),
    chains(NUMBERS), chains(SIZES | computed(SIZES)), chains(TIMES | computed(TIMES)),
    equal(of("result"), WORD), equal(WORD, of("result")), equal(of("result"), of("result")),
    equal(TEXTS, DOMAIN), equal(TEXTS, TEXTS),
    tuples("in", MEMBER, of("result"), some(WORDS)),
    tuples("in", MEMBER, TEXTS, some(DOMAINS)),
    tuples("in", MEMBER, of("count"), st.lists(st.integers(0, 5), min_size=1, max_size=3)),
    tuples("in", MEMBER, HOSTS, some(NETWORKS) | st.sampled_from(NETWORKS)),
    tuples("held", MEMBER, TEXTS, st.sampled_from(["domains", "offices", "tier"])),
    tuples("call", st.just("under"), TEXTS, st.sampled_from(["a.example", "example"]).map(
        lambda name: ("const", name))),
    tuples("call", st.just("within"), TEXTS, NETWORK, NETWORK),
    tuples("call", st.just("matches"), TEXTS, st.sampled_from(
        ["^a", "example$", "[0-9]+[.]", "(x|c).", "é"]).map(lambda text: ("const", text))),
)  # fmt: skip
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        tuples("not", inner),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: ("and", *parts)),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: ("or", *parts)),
    ),
    max_leaves=6,
)
SCORES = st.builds(lambda op, n: ("chain", [op], [("field", "score"), ("const", n)]), ORDER, SMALL)


@PAIRS
@given(CONDITIONS, MAILS)
@example(("chain", ["!="], [("field", "early.part"), ("field", "early.part")]), {})
@example(("in", "not in", ("field", "late.ip"), "0.0.0.0/0"), {})
@example(("held", "not in", ("field", "from.maybe"), "tier"), {})
@example(("chain", ["!="], [("map", ("field", "from.domain")), ("const", "gold")]), {})
def test_condition_means_what_a_plain_interpreter_says(tree, facts):
    text = written(tree)
    if len(text) > TEXT_MAX:
        return
    found = compile_text(text, KINDS, LISTS)
    assert bool(found.run(facts)) is bool(meant(tree, facts)), text
    assert found.names == plain_judge.names(tree)


@PAIRS
@given(st.one_of(NUMBERS, MEASURES), MAILS)
def test_number_is_what_a_plain_interpreter_computes(tree, facts):
    assert compile_text(written(tree), KINDS, LISTS).run(facts) == meant(tree, facts)


# --- whole policies


def numbered(entries: list[dict[str, Any]], letter: str) -> list[dict[str, Any]]:
    return [{"name": f"{letter}{at}", **entry} for at, entry in enumerate(entries)]


WEIGHTS = st.lists(
    st.fixed_dictionaries({"add": NUMBERS, "when": st.none() | CONDITIONS}), max_size=4
).map(lambda found: numbered(found, "w"))
RULES = st.lists(
    st.fixed_dictionaries({"when": st.one_of(CONDITIONS, SCORES), "stop": st.booleans()}),
    max_size=6,
).map(lambda found: numbered(found, "r"))
POLICIES = st.fixed_dictionaries({"weights": WEIGHTS, "rules": RULES})


def toml(policy: dict[str, list[dict[str, Any]]]) -> str:
    lines = []
    for weight in policy["weights"]:
        lines += ["[[weight]]", f'name = "{weight["name"]}"']
        lines.append(f"add = {json.dumps(written(weight['add']))}")
        lines += [f"when = {json.dumps(written(weight['when']))}"] if weight["when"] else []
    for rule in policy["rules"]:
        lines += ["[[rule]]", f'name = "{rule["name"]}"', 'then = "tag"']
        lines.append(f"when = {json.dumps(written(rule['when']))}")
        lines.append(f"stop = {json.dumps(rule['stop'])}")
    return "\n".join(lines)


@PAIRS
@given(POLICIES, MAILS)
def test_policy_judges_as_a_plain_interpreter_does(policy, facts):
    loaded = rules.load(Document(toml(policy), "law.toml"), "law", VOCABULARY, LISTS)
    values: dict[str, Any] = dict(facts)
    terms: list[judge.Term] = []
    decided, marks = None, []
    for stage in Stage:
        terms += judge.terms(loaded.weights_at(stage), values)
        values["score"] = judge.score(terms)
        if decided is None:
            decided, acts = judge.speak(loaded.rules_at(stage), values)
            marks += [act.because.rule for act in acts]
    expected = plain_judge.judged(policy, facts, STAGES)
    shown = [(term.name, Decimal(repr(term.add))) for term in terms]
    assert (decided and decided.name, marks, shown) == expected
    assert Decimal(repr(judge.score(terms))) == sum((add for _, add in shown), Decimal(0))


@pytest.mark.parametrize("depth", [DEPTH_MAX - 2])
def test_deepest_condition_means_what_it_says(depth):
    tree: Any = ("field", "early.ok")
    for _ in range(depth):
        tree = ("not", tree)
    assert compile_text(written(tree), KINDS).run({}) is meant(tree, {})
