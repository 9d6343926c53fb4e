"""Greeting: does the peer call itself by one of our own names?  RFC 5321 §4.1.1.1.

A complete filter of a third party: a fact, a class with `run`, an entry point.

Gives:  whether the greeting is forged.
Fails:  never; it asks nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from millrace.engine.mail.finding import PASS, Fact, Finding, reject
from millrace.engine.mail.session import Helo


@dataclass(frozen=True, slots=True)
class Greeting(Fact):
    """What the HELO name says about its speaker."""

    forged: bool


@dataclass(frozen=True, slots=True)
class CheckGreeting:
    """Advise to refuse peers that greet us with our own name."""

    ours: Annotated[frozenset[str], "names and addresses that only we may bear"] = frozenset()

    def run(self, helo: Helo) -> Finding[Greeting]:
        forged = helo.name.casefold().strip("[]") in self.ours
        advice = reject("5.7.1", "That is my name") if forged else PASS
        return Finding(Greeting(forged), advice)
