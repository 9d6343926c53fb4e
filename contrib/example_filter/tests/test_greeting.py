"""A filter is tested by calling it."""

from __future__ import annotations

from millrace_greeting import CheckGreeting

from millrace.engine.mail.session import Helo
from millrace.engine.mail.verdict import Action

CHECK = CheckGreeting(ours=frozenset({"mx.example.org", "192.0.2.1"}))


def test_who_greets_with_our_name_is_forged_and_refused() -> None:
    found = CHECK.run(Helo("MX.example.org"))
    assert found.fact is not None
    assert found.fact.forged
    assert found.advice.action is Action.REJECT


def test_our_address_in_brackets_is_ours_too() -> None:
    assert CHECK.run(Helo("[192.0.2.1]")).advice.action is Action.REJECT


def test_everybody_else_may_greet_as_they_like() -> None:
    found = CHECK.run(Helo("mail.example.net"))
    assert found.fact is not None
    assert not found.fact.forged
    assert found.advice.action is Action.PASS
