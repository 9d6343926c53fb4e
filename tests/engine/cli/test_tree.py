"""A decision for people: who decided, and what other rules did."""

import asyncio

from fakes import Walker, plan_of, uses

from millrace.engine.cli.tree import tree
from millrace.engine.mail.finding import Fact
from millrace.engine.mail.message import Message


class Measured(Fact):
    """A fact."""


POLICY = """
[[rule]]
name = "known"
when = "peer"
stop = false
add_header = { X-A = "b" }
why = "we know it"
[[rule]]
name = "own"
when = "recipient"
then = "pass"
redirect = "team@example.net"
[[rule]]
name = "look"
when = "message"
then = "quarantine"
quarantine = "a look at {peer.ip}"
"""


def test_what_each_rule_did_is_told_with_its_place_and_reason():
    walker = Walker(plan_of("", POLICY))
    asyncio.run(walker.whole())
    lines = list(tree(walker.records[0].as_data()))
    assert lines[0] == "HELD"
    assert lines[1].startswith("         rule look · law.toml:13 · decided at BODY in ")
    assert lines[2] == "         held: a look at 192.0.2.7"
    assert lines[3] == "         rule known adds X-A: b · law.toml:2 · we know it"
    assert "  ann@example.net: accepted" in lines
    assert "    rule own sends it to team@example.net · law.toml:8" in lines


def test_how_conditions_read_what_is_absent_is_told():
    class Measure:
        def run(self, message: Message) -> Measured:
            return Measured()

    pipeline = uses("measure") + 'when = "login"\n'
    walker = Walker(plan_of(pipeline, measure=Measure))
    asyncio.run(walker.whole())
    text = "\n".join(tree(walker.records[0].as_data()))
    assert "\n\n  absent: measure   (false in a condition; equals nothing, is in nothing)\n" in text
