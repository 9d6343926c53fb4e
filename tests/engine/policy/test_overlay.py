"""Overlay files: for whom they are, what they replace, and what is said of bad ones."""

import datetime

import pytest

from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured
from millrace.engine.mail.session import Helo
from millrace.engine.mail.stage import Stage
from millrace.engine.policy import rules
from millrace.engine.policy.kinds import Kind
from millrace.engine.policy.laying import effective
from millrace.engine.policy.overlay import Overlay, Subject, load
from millrace.engine.policy.rule import Word

BASE = """
[[weight]]
name = "w"
when = "helo"
add = 3
[[rule]]
name = "early"
when = "helo.name == 'a'"
then = "reject"
[[rule]]
name = "scored"
when = "score >= 7"
then = "reject"
"""
WORDS = {"helo": Word(Kind("record", record=Helo), Stage.HELO)}


def read(text: str) -> Overlay:
    base = Document(BASE, "base.toml")
    policy = rules.load(base, "base", WORDS)
    return load(Document(text, "over.toml"), "over", (base, policy), WORDS, {})


@pytest.mark.parametrize(
    ("who", "subject", "fits"),
    [
        ('{ recipient = "a.example" }', Subject(("ann@A.example",)), True),
        ('{ recipient = "a.example" }', Subject(("ann@b.a.example",)), False),
        ('{ recipient = ".A.example" }', Subject(("ann@b.a.example",)), True),
        ('{ recipient = ".a.example" }', Subject(("ann@a.example",)), True),
        ('{ recipient = "@a.example" }', Subject(("ann@a.example",)), True),
        ('{ recipient = "ann@a.example" }', Subject(("Ann@a.example",)), True),
        ('{ recipient = "ann@a.example" }', Subject(("bob@a.example",)), False),
        ('{ recipient = ["a.example", "b.c"] }', Subject(("x@a.example", "x@b.c")), True),
        ('{ recipient = "a.example" }', Subject(("x@a.example", "x@b.example")), False),
        ('{ recipient = "a.example" }', Subject(), False),
        ('{ recipient = "Bücher.example" }', Subject(("x@xn--bcher-kva.example",)), True),
        ('{ recipient = "xn--bcher-kva.example" }', Subject(("x@bücher.example",)), True),
        ('{ recipient = "a.example." }', Subject(("x@a.example",)), True),
        ('{ login = "ann" }', Subject(login="Ann"), True),
        ('{ login = "ann" }', Subject(login="bob"), False),
        ('{ login = "@a.example" }', Subject(login="ann@a.example"), True),
        ('{ login = "ann" }', Subject(), False),
        ('{ listener = "inet:25@127.0.0.1" }', Subject(listener="inet:25@127.0.0.1"), True),
        ('{ listener = "inet:25@127.0.0.1" }', Subject(listener="inet:26@127.0.0.1"), False),
        ('{ login = "ann", listener = "x" }', Subject(login="ann"), False),
        ('[{ login = "ann" }, { recipient = "a.example" }]', Subject(("x@a.example",)), True),
        ('[{ login = "ann" }, { recipient = "a.example" }]', Subject(login="ann"), True),
    ],
)  # fmt: skip
def test_overlay_fits_the_mail_that_it_is_for(who, subject, fits):
    assert read(f"for = {who}\n").fits(subject) is fits


def test_rules_are_read_with_the_scores_of_the_policy():
    over = read(
        'for = { login = "a" }\ndrop = ["early"]\n'
        '[[rule]]\nname = "scored"\nwhen = "score >= 9"\nthen = "tag"\n'
    )
    assert (over.rules["scored"].stage, over.rules["scored"].live) == (Stage.HELO, True)
    assert over.rules["scored"].place.file == "over.toml"
    assert over.dropped == {"early"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'for' must say for which mail the overlay is"),
        ("for = 'a.example'\n", "'for' must say for which mail the overlay is"),
        ("for = {}\n", "'for' must say for which mail the overlay is"),
        ("for = { recipients = 'a' }\n", "over.toml:1:9  unknown key 'recipients'\n"),
        ("for = { recipient = 7 }\n", "'recipient' is a text in quotes, or a list of them"),
        ("for = { login = 'a' }\nweight = 3\n", "over.toml:2:1  unknown key 'weight'"),
        (
            "for = { login = 'a' }\n[[rule]]\nname = 'erly'\nwhen = 'helo'\nthen = 'tag'\n",
            "over.toml:3:1  the policy has no rule \"erly\"\n.*\n *did you mean 'early'",
        ),
        ("for = { recipient = '*.c.example' }\n", r"'\*.c.example' fits no recipient\n.*below"),
        ("for = { recipient = ['a.example', '@'] }\n", "'@' fits no recipient"),
        ("for = { recipient = 'ann@' }\n", "'ann@' fits no recipient"),
        ("for = { recipient = 'a b.example' }\n", "'a b.example' fits no recipient"),
        ("for = { login = '*' }\n", r"'\*' fits no login"),
        ("for = { listener = '' }\n", "'listener' is empty"),
        ("drop = ['scord']\nfor = { login = 'a' }\n", 'the policy has no rule "scord"'),
        (
            "drop = ['early']\nfor = { login = 'a' }\n"
            "[[rule]]\nname = 'early'\nwhen = 'helo'\nthen = 'tag'\n",
            '"early" is dropped and replaced',
        ),
        (
            "for = { login = 'a' }\n[[rule]]\nname = 'early'\nwhen = 'helo.nme'\nthen = 'tag'\n",
            "over.toml:4:9  'helo' has no field 'nme'",
        ),
    ],
)  # fmt: skip
def test_overlay_that_does_not_fit_is_told_with_its_place(text, told):
    with pytest.raises(Misconfigured, match=told):
        read(text)


def test_effective_rules_are_those_of_the_time_that_is_asked_for():
    policy = rules.load(Document(BASE, "base.toml"), "base", WORDS)
    over = read(
        'for = { recipient = "a.example" }\n[[rule]]\nname = "early"\nwhen = "helo"\n'
        'then = "pass"\nexpires = 2020-01-31\n'
    )
    end = datetime.datetime(2020, 2, 1, tzinfo=datetime.UTC).timestamp()
    subject = Subject(("x@a.example",))
    found = [effective(policy, [over], subject, now)[0] for now in (end - 1, end)]
    assert [rule.then.word for rule in found] == ["pass", "reject"]
